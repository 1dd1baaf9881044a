/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of each row over its own sequence, in two passes: all scores and
   their largest, then the weighted sum of values in order of position. */
#include <math.h>

#include "backends/cpu/cpu.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* Where a segment's keys and values lie. */
struct sequence {
  const llq_kv *cache;
  const int32_t *pages;
};

/* The index in the cache of a position's head. */
static size_t head_at(const struct sequence *sequence, int position, int head) {
  const llq_kv *kv = sequence->cache;
  size_t slot = (size_t)sequence->pages[position / kv->page_size] *
                    (size_t)kv->page_size +
                (size_t)(position % kv->page_size);
  return (slot * (size_t)kv->n_kv_heads + (size_t)head) * (size_t)kv->head_size;
}

/* A number of the cache: of codes, what they mean. */
static float load(const llq_kv *kv, const void *from, float scale, size_t at) {
  float x = llqi_load_f32(kv->dtype, from, at);
  return llqi_dtype_size(kv->dtype) == 1 ? x * scale : x;
}

static float dot(const llq_kv *kv, size_t key, const float *q) {
  double sum = 0;
  for (int i = 0; i < kv->head_size; i++)
    sum += (double)q[i] * load(kv, kv->keys, kv->key_scale, key + (size_t)i);
  return (float)sum;
}

/* One query head: q and out are [head_size]; scores has n_positions. */
static void attend(const struct sequence *sequence, int head, int n_positions,
                   float scale, const float *q, float *scores, float *out) {
  const llq_kv *kv = sequence->cache;
  float max = -INFINITY;
  for (int p = 0; p < n_positions; p++) {
    scores[p] = scale * dot(kv, head_at(sequence, p, head), q);
    max = fmaxf(max, scores[p]);
  }
  double sum = 0;
  for (int p = 0; p < n_positions; p++) {
    scores[p] = expf(scores[p] - max);
    sum += scores[p];
  }
  for (int i = 0; i < kv->head_size; i++) {
    double mean = 0;
    for (int p = 0; p < n_positions; p++)
      mean += (double)scores[p] * load(kv, kv->values, kv->value_scale,
                                       head_at(sequence, p, head) + (size_t)i);
    out[i] = (float)(mean / sum);
  }
}

static int positions_max(const llq_batch *batch) {
  int max = 0;
  for (int s = 0; s < batch->n_segments; s++) {
    int end = batch->segments[s].first_position + batch->segments[s].n_rows;
    max = end > max ? end : max;
  }
  return max;
}

int llqi_cpu_attention(void *self, const llq_batch *batch, const llq_view *q,
                       const llq_kv *cache, float scale, llq_view *out) {
  int64_t n_cols = q->n_cols, d = cache->head_size;
  int64_t heads_per_kv = n_cols / d / cache->n_kv_heads;
  float *row = llqi_cpu_scratch(
      self, (size_t)(2 * n_cols + positions_max(batch)) * sizeof *row);
  if (row == NULL)
    return LLQ_ERROR_MEMORY;
  float *mean = row + n_cols, *scores = mean + n_cols;
  for (int s = 0; s < batch->n_segments; s++) {
    const llq_segment *segment = &batch->segments[s];
    struct sequence sequence = {cache, batch->pages + segment->first_page};
    for (int i = 0; i < segment->n_rows; i++) {
      llqi_cpu_load_row(q, segment->first_row + i, row);
      for (int64_t h = 0; h * d < n_cols; h++)
        attend(&sequence, (int)(h / heads_per_kv),
               segment->first_position + i + 1, scale, row + h * d, scores,
               mean + h * d);
      llqi_cpu_store_row(out, segment->first_row + i, mean);
    }
  }
  return LLQ_OK;
}
