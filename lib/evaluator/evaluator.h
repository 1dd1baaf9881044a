/* SPDX-License-Identifier: Apache-2.0 */
/* What a sweep needs of an evaluation beyond the public interface. */
#ifndef LLQI_EVALUATOR_EVALUATOR_H
#define LLQI_EVALUATOR_EVALUATOR_H

#include <jansson.h>
#include <llq/evaluator.h>

/* A finished run's result. Borrowed; NULL before the last step. */
const json_t *llqi_evaluator_result(const llq_evaluator *evaluator);

#endif
