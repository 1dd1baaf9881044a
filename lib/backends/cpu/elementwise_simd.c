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

struct norm {
  const llq_view *x, *weight, *out;
  float eps;
};

static void norm_item(void *user, uint32_t r, int thread) {
  const struct norm *norm = user;
  norm_row(row_at(norm->x, r), norm->weight->data, norm->x->n_cols, norm->eps,
           norm->x->dtype, row_at(norm->out, r));
}

int ARCH(rms_norm)(void *self, const llq_view *x, const llq_view *weight,
                   float eps, llq_view *out) {
  struct llqi_cpu *cpu = self;
  struct norm norm = {x, weight, out, eps};
  llqi_threads_run(cpu->threads,
                   llqi_cpu_threads(cpu, (double)x->n_rows * x->n_cols),
                   (uint32_t)x->n_rows, norm_item, &norm);
  return LLQ_OK;
}

INLINE v16 gated(v16 gate, v16 up) {
  v16 one = v16_set(1);
  v16 e = v16_exp(v16_sub(v16_zero(), gate));
  return v16_mul(v16_div(gate, v16_add(one, e)), up);
}

struct swiglu {
  const llq_view *gate, *up, *out;
};

static void swiglu_item(void *user, uint32_t r, int thread) {
  const struct swiglu *s = user;
  int64_t n = s->gate->n_cols;
  int dtype = s->gate->dtype;
  for (int64_t i = 0; i < n; i += LANES)
    v16_row_store(dtype, row_at(s->out, r), i, n,
                  gated(v16_row_load(dtype, row_at(s->gate, r), i, n),
                        v16_row_load(dtype, row_at(s->up, r), i, n)));
}

int ARCH(swiglu)(void *self, const llq_view *gate, const llq_view *up,
                 llq_view *out) {
  struct llqi_cpu *cpu = self;
  struct swiglu swiglu = {gate, up, out};
  double work = 8 * (double)gate->n_rows * gate->n_cols;
  llqi_threads_run(cpu->threads, llqi_cpu_threads(cpu, work),
                   (uint32_t)gate->n_rows, swiglu_item, &swiglu);
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
