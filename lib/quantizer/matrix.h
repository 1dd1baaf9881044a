/* SPDX-License-Identifier: Apache-2.0 */
/* A linear's weight as floats, with what is folded into it. */
#ifndef LLQI_QUANTIZER_MATRIX_H
#define LLQI_QUANTIZER_MATRIX_H

#include "base/threads.h"
#include "tensor/weight.h"

/* Column i is multiplied by in[i], row r divided by out[r]; NULL: it is not. */
struct llqi_fold {
  const float *in, *out;
};

/* Fills w [n_out, n_in]. */
void llqi_matrix_load(const llq_weight *from, const struct llqi_fold *fold,
                      struct llqi_threads *threads, float *w);

/* out [n_rows, n_out] = x [n_rows, n_in] w^T. */
void llqi_matrix_apply(const float *w, int64_t n_out, int64_t n_in,
                       const float *x, int64_t n_rows, float *out);

#endif
