/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary embedding, and the keys' and values' way into the cache. */
#include <math.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* Turns each pair (x[i], x[i + d/2]) of every head of a row by its angle. */
static void rotate(float *x, int64_t n_heads, int d, const float *cosines) {
  const float *sines = cosines + d / 2;
  for (int64_t h = 0; h < n_heads; h++, x += d)
    for (int i = 0; i < d / 2; i++) {
      float a = x[i], b = x[i + d / 2];
      x[i] = a * cosines[i] - b * sines[i];
      x[i + d / 2] = b * cosines[i] + a * sines[i];
    }
}

static void rotate_row(llq_view *x, int64_t row, int d, const float *cosines,
                       float *values) {
  llqi_cpu_load_row(x, row, values);
  rotate(values, x->n_cols / d, d, cosines);
  llqi_cpu_store_row(x, row, values);
}

/* What becomes the nearest codes. */
static void divide(float *values, int64_t n, float scale) {
  for (int64_t i = 0; i < n; i++)
    values[i] = isnan(values[i]) ? 0 : values[i] / scale;
}

/* Stores a row as one position of keys or values. */
static void append(void *cache, int dtype, float scale, int64_t slot,
                   const llq_view *x, int64_t row, float *values) {
  llq_view slots = {cache, 0, x->n_cols, dtype};
  llqi_cpu_load_row(x, row, values);
  if (llqi_dtype_size(dtype) == 1)
    divide(values, x->n_cols, scale);
  llqi_cpu_store_row(&slots, slot, values);
}

int llqi_cpu_rope_append(void *self, const llq_batch *batch,
                         const llq_view *cos_sin, llq_view *q, llq_view *k,
                         const llq_view *v, llq_kv *cache) {
  int d = cache->head_size;
  size_t n = (size_t)(q->n_cols > k->n_cols ? q->n_cols : k->n_cols);
  float *values = llqi_cpu_scratch(self, n * sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  for (int s = 0; s < batch->n_segments; s++) {
    const llq_segment *segment = &batch->segments[s];
    for (int i = 0; i < segment->n_rows; i++) {
      int64_t row = segment->first_row + i;
      int position = segment->first_position + i;
      const float *cosines =
          (const float *)cos_sin->data + (int64_t)position * d;
      rotate_row(q, row, d, cosines, values);
      rotate_row(k, row, d, cosines, values);
      int page =
          batch->pages[segment->first_page + position / cache->page_size];
      int64_t slot =
          (int64_t)page * cache->page_size + position % cache->page_size;
      append(cache->keys, cache->dtype, cache->key_scale, slot, k, row, values);
      append(cache->values, cache->dtype, cache->value_scale, slot, v, row,
             values);
    }
  }
  return LLQ_OK;
}

int llqi_cpu_page_copy(void *self, llq_kv *cache, int from, int to) {
  size_t size = (size_t)cache->page_size * (size_t)cache->n_kv_heads *
                (size_t)cache->head_size * llqi_dtype_size(cache->dtype);
  char *keys = cache->keys, *values = cache->values;
  memmove(keys + (size_t)to * size, keys + (size_t)from * size, size);
  memmove(values + (size_t)to * size, values + (size_t)from * size, size);
  return LLQ_OK;
}
