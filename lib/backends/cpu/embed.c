/* SPDX-License-Identifier: Apache-2.0 */
/* Rows copied by number: of the embedding by token, of a batch by row. */
#include <string.h>

#include "backends/cpu/cpu.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* The working memory for one row. */
static float *row_of(struct llqi_cpu *cpu, int64_t n) {
  return llqi_cpu_scratch(cpu, (size_t)n * sizeof(float));
}

int llqi_cpu_embed(void *self, const llq_view *table, const int32_t *ids,
                   llq_view *out) {
  float *row = row_of(self, out->n_cols);
  if (row == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t r = 0; r < out->n_rows; r++) {
    llqi_cpu_load_row(table, ids[r], row);
    llqi_cpu_store_row(out, r, row);
  }
  return LLQ_OK;
}

int llqi_cpu_gather(void *self, const llq_view *x, const int32_t *rows,
                    llq_view *out) {
  size_t stride = (size_t)x->n_cols * llqi_dtype_size(x->dtype);
  for (int64_t r = 0; r < out->n_rows; r++)
    memcpy((char *)out->data + (size_t)r * stride,
           (const char *)x->data + (size_t)rows[r] * stride, stride);
  return LLQ_OK;
}
