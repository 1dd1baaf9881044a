/* SPDX-License-Identifier: Apache-2.0 */
/* What every operation requires of its arguments; `what` names them. */
#ifndef LLQI_BACKEND_CHECKS_H
#define LLQI_BACKEND_CHECKS_H

#include <llq/backend.h>

int llqi_check_view(const llq_view *view, const char *what);

/* A matrix of a compute type. */
int llqi_check_values(const llq_view *view, const char *what);
int llqi_check_shape(const llq_view *view, int64_t n_rows, int64_t n_cols,
                     const char *what);

/* As x, with the same type. */
int llqi_check_same(const llq_view *view, const llq_view *x, const char *what);

/* Each from 0 to below end. */
int llqi_check_numbers(const int32_t *numbers, int64_t n, int64_t end,
                       const char *what);
int llqi_check_cache(const llq_kv *cache);
int llqi_check_batch(const llq_batch *batch, const llq_kv *cache);

/* A table of angles that reaches all positions of the batch. */
int llqi_check_positions(const llq_view *cos_sin, const llq_batch *batch,
                         const llq_kv *cache);

#endif
