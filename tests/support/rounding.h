/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of round-to-nearest begin with. */
#ifndef LLQ_TEST_ROUNDING_H
#define LLQ_TEST_ROUNDING_H

#include <llq/quantizer.h>

/* Of the quantizers that follow. */
extern int rounding_n_threads;

/* A random model of 3 layers; widths 64 and `intermediate`. */
llq_model *rounding_model(const char *dtype, int intermediate, int tied);

llq_quantizer_options rounding_options(const char *scheme, int32_t group_size,
                                       int32_t asymmetric);

/* The quantized model; drops the caller's reference to the other. */
llq_model *rounding_result(llq_model *model, const char *scheme,
                           int32_t group_size, int32_t asymmetric);

#endif
