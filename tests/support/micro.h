/* SPDX-License-Identifier: Apache-2.0 */
/* llq-micro, the model that comes with libllq. */
#ifndef LLQ_TEST_MICRO_H
#define LLQ_TEST_MICRO_H

#include <llq/llq.h>

/* Rounded to nearest, with the scheme's default groups. */
llq_model *quantized_micro(const char *scheme);

#endif
