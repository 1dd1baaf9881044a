/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of the MLP, and residual additions. */
#include <math.h>

#include "backends/cpu/cpu.h"
#include "base/status.h"

/* out = f(a, b) row by row; out may be a or b. */
static int map(struct llqi_cpu *cpu, float (*f)(float a, float b),
               const llq_view *a, const llq_view *b, llq_view *out) {
  float *values = llqi_cpu_scratch(cpu, 2 * (size_t)a->n_cols * sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  float *others = values + a->n_cols;
  for (int64_t r = 0; r < a->n_rows; r++) {
    llqi_cpu_load_row(a, r, values);
    llqi_cpu_load_row(b, r, others);
    for (int64_t i = 0; i < a->n_cols; i++)
      values[i] = f(values[i], others[i]);
    llqi_cpu_store_row(out, r, values);
  }
  return LLQ_OK;
}

static float gated(float gate, float up) {
  return gate / (1 + expf(-gate)) * up;
}

static float sum(float x, float y) {
  return x + y;
}

int llqi_cpu_swiglu(void *self, const llq_view *gate, const llq_view *up,
                    llq_view *out) {
  return map(self, gated, gate, up, out);
}

int llqi_cpu_add(void *self, llq_view *x, const llq_view *y) {
  return map(self, sum, x, y, x);
}
