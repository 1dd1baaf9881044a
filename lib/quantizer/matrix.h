/* SPDX-License-Identifier: Apache-2.0 */
/* A linear's weight as floats, with what is folded into it. */
#ifndef LLQI_QUANTIZER_MATRIX_H
#define LLQI_QUANTIZER_MATRIX_H

#include "backend/backend.h"
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

/* Blocks of `width` numbers of a matrix of F32 on a backend to host memory: the
   first is block number `first` in row-major order, each that follows `stride`
   blocks further. */
int llqi_matrix_fetch(llq_backend *backend, const llq_view *matrix,
                      int64_t first, int64_t stride, int64_t n_rows,
                      int64_t width, float *to);

#endif
