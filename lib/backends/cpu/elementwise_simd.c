/* SPDX-License-Identifier: Apache-2.0 */
/* Norms, the MLP's gate and additions, row by row. */
#include <math.h>

#include "backends/cpu/kernels_simd.h"
#include "base/status.h"

INLINE void *row_at(const llq_view *view, int64_t row) {
  size_t size = view->dtype == LLQ_F32 ? 4 : 2;
  return (char *)view->data + (size_t)(row * view->n_cols) * size;
}

static void norm_row(const void *x, const void *weight, int64_t n, float eps,
                     int dtype, void *out) {
  v16 squares = v16_zero();
  for (int64_t i = 0; i < n; i += LANES) {
    v16 value = v16_row_load(dtype, x, i, n);
    squares = v16_fma(value, value, squares);
  }
  float mean = v16_sum(squares) / (float)n;
  v16 factor = v16_set(1 / sqrtf(mean + eps));
  for (int64_t i = 0; i < n; i += LANES) {
    v16 value = v16_mul(v16_row_load(dtype, x, i, n), factor);
    value = v16_mul(v16_round_type(dtype, value),
                    v16_row_load(dtype, weight, i, n));
    v16_row_store(dtype, out, i, n, value);
  }
}

int ARCH(rms_norm)(void *self, const llq_view *x, const llq_view *weight,
                   float eps, llq_view *out) {
  int n_threads = llqi_cpu_threads(self, (double)x->n_rows * x->n_cols);
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t r = 0; r < x->n_rows; r++)
    norm_row(row_at(x, r), weight->data, x->n_cols, eps, x->dtype,
             row_at(out, r));
  return LLQ_OK;
}

INLINE v16 gated(v16 gate, v16 up) {
  v16 one = v16_set(1);
  v16 e = v16_exp(v16_sub(v16_zero(), gate));
  return v16_mul(v16_div(gate, v16_add(one, e)), up);
}

int ARCH(swiglu)(void *self, const llq_view *gate, const llq_view *up,
                 llq_view *out) {
  int64_t n = gate->n_cols;
  int dtype = gate->dtype;
  int n_threads = llqi_cpu_threads(self, 8 * (double)gate->n_rows * n);
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t r = 0; r < gate->n_rows; r++)
    for (int64_t i = 0; i < n; i += LANES)
      v16_row_store(dtype, row_at(out, r), i, n,
                    gated(v16_row_load(dtype, row_at(gate, r), i, n),
                          v16_row_load(dtype, row_at(up, r), i, n)));
  return LLQ_OK;
}

int ARCH(add)(void *self, llq_view *x, const llq_view *y) {
  int64_t n = x->n_rows * x->n_cols;
  for (int64_t i = 0; i < n; i += LANES)
    v16_row_store(x->dtype, x->data, i, n,
                  v16_add(v16_row_load(x->dtype, x->data, i, n),
                          v16_row_load(y->dtype, y->data, i, n)));
  return LLQ_OK;
}
