/* SPDX-License-Identifier: Apache-2.0 */
/* Root mean square normalization. */
#include <math.h>

#include "backends/cpu/cpu.h"
#include "base/status.h"
#include "tensor/dtype.h"

static float round_to(int dtype, float x) {
  return dtype == LLQ_BF16 ? llqi_bf16_to_f32(llqi_f32_to_bf16(x)) : x;
}

static void norm_row(const float *x, const float *weight, int64_t n, float eps,
                     int dtype, float *out) {
  double squares = 0;
  for (int64_t i = 0; i < n; i++)
    squares += (double)x[i] * x[i];
  float factor = (float)(1 / sqrt(squares / (double)n + eps));
  for (int64_t i = 0; i < n; i++)
    out[i] = round_to(dtype, x[i] * factor) * weight[i];
}

int llqi_cpu_rms_norm(void *self, const llq_view *x, const llq_view *weight,
                      float eps, llq_view *out) {
  float *row = llqi_cpu_scratch(self, 2 * (size_t)x->n_cols * sizeof *row);
  if (row == NULL)
    return LLQ_ERROR_MEMORY;
  float *weights = row + x->n_cols;
  llqi_cpu_load_row(weight, 0, weights);
  for (int64_t r = 0; r < x->n_rows; r++) {
    llqi_cpu_load_row(x, r, row);
    norm_row(row, weights, x->n_cols, eps, x->dtype, row);
    llqi_cpu_store_row(out, r, row);
  }
  return LLQ_OK;
}
