/* SPDX-License-Identifier: Apache-2.0 */
/* Attention as in attention.c: scores and their largest, exponentials, then
   the weighted sum of values; always in order of position. The scales of codes
   are factors of the scores and of the sums. */
#include <math.h>

#include "backends/cpu/kernels_simd.h"
#include "base/status.h"
#include "tensor/dtype.h"

#define HEAD_MAX 128
#define VECTORS_MAX (HEAD_MAX / LANES)

/* One row's part of a call. */
struct row {
  const llq_kv *cache;
  const int32_t *pages;
  int n_positions;
  float scale; /* of scores */
  float value_scale;
};

/* A position's head, in elements from the start of the cache. */
INLINE int64_t head_at(const struct row *row, int position, int head) {
  const llq_kv *kv = row->cache;
  int64_t slot = (int64_t)row->pages[position / kv->page_size] * kv->page_size +
                 position % kv->page_size;
  return (slot * kv->n_kv_heads + head) * kv->head_size;
}

/* 16 numbers of the cache, without their scale. */
INLINE v16 load_cached(int dtype, const void *from, int64_t at) {
  const char *bytes = from;
  switch (dtype) {
  case LLQ_I8:
    return v16_load_i8(bytes + at);
  case LLQ_F8_E4M3:
    return v16_load_e4m3(bytes + at);
  default:
    return v16_load_type(dtype, from, at);
  }
}

INLINE void score(int dtype, int n, const struct row *row, int head,
                  const v16 *q, float *scores) {
  for (int p = 0; p < row->n_positions; p++) {
    int64_t at = head_at(row, p, head);
    v16 sum = v16_zero();
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
      sum = v16_fma(q[i], load_cached(dtype, row->cache->keys, at + LANES * i),
                    sum);
    scores[p] = row->scale * v16_sum(sum);
  }
}

INLINE void weigh(int dtype, int n, const struct row *row, int head,
                  const float *weights, v16 *sum) {
#pragma GCC unroll 8
  for (int i = 0; i < n; i++)
    sum[i] = v16_zero();
  for (int p = 0; p < row->n_positions; p++) {
    int64_t at = head_at(row, p, head);
    v16 weight = v16_set(weights[p]);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
      sum[i] = v16_fma(weight,
                       load_cached(dtype, row->cache->values, at + LANES * i),
                       sum[i]);
  }
}

/* Scores to weights in place, padded to whole sixteens; returns their sum. */
static float softmax(float *scores, int n) {
  int end = (n + LANES - 1) / LANES * LANES;
  for (int p = n; p < end; p++)
    scores[p] = -INFINITY;
  v16 max = v16_load(scores), sum = v16_zero();
  for (int p = LANES; p < end; p += LANES)
    max = v16_max(max, v16_load(scores + p));
  v16 top = v16_set(v16_largest(max));
  for (int p = 0; p < end; p += LANES) {
    v16 weight = v16_exp(v16_sub(v16_load(scores + p), top));
    v16_store(scores + p, weight);
    sum = v16_add(sum, weight);
  }
  return v16_sum(sum);
}

INLINE void attend(int dtype, int n, const struct row *row, int head,
                   const v16 *q, float *scores, v16 *out) {
  score(dtype, n, row, head, q, scores);
  v16 total = v16_set(softmax(scores, row->n_positions));
  v16 value_scale = v16_set(row->value_scale);
  int has_codes = dtype == LLQ_I8 || dtype == LLQ_F8_E4M3;
  weigh(dtype, n, row, head, scores, out);
#pragma GCC unroll 8
  for (int i = 0; i < n; i++) {
    out[i] = v16_div(out[i], total);
    out[i] = has_codes ? v16_mul(out[i], value_scale) : out[i];
  }
}

/* The heads of query that share a head of keys: q, out are [n_heads, n * 16]
   from element `at` of their rows. */
INLINE void attend_group(int dtype, int n, const struct row *row, int head,
                         int n_heads, const llq_view *q, llq_view *out,
                         int64_t at, float *scores) {
  for (int h = 0; h < n_heads; h++, at += n * LANES) {
    v16 query[VECTORS_MAX], mean[VECTORS_MAX];
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
      query[i] = v16_load_type(q->dtype, q->data, at + LANES * i);
    attend(dtype, n, row, head, query, scores, mean);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
      v16_store_type(out->dtype, out->data, at + LANES * i, mean[i]);
  }
}

typedef void (*group_fn)(const struct row *row, int head, int n_heads,
                         const llq_view *q, llq_view *out, int64_t at,
                         float *scores);

#define GROUP(type, n)                                                         \
  static void group_##type##_##n(const struct row *row, int head, int n_heads, \
                                 const llq_view *q, llq_view *out, int64_t at, \
                                 float *scores) {                              \
    attend_group(LLQ_##type, n, row, head, n_heads, q, out, at, scores);       \
  }

GROUP(F32, 2)
GROUP(F32, 4)
GROUP(F32, 8)
GROUP(BF16, 2)
GROUP(BF16, 4)
GROUP(BF16, 8)
GROUP(I8, 2)
GROUP(I8, 4)
GROUP(I8, 8)
GROUP(F8_E4M3, 2)
GROUP(F8_E4M3, 4)
GROUP(F8_E4M3, 8)

/* The kernel for heads of 32, 64 or 128; NULL for others. */
static group_fn choose_group(const llq_kv *cache) {
  static const struct {
    int dtype;
    group_fn groups[3];
  } kernels[] = {
      {LLQ_F32, {group_F32_2, group_F32_4, group_F32_8}},
      {LLQ_BF16, {group_BF16_2, group_BF16_4, group_BF16_8}},
      {LLQ_I8, {group_I8_2, group_I8_4, group_I8_8}},
      {LLQ_F8_E4M3, {group_F8_E4M3_2, group_F8_E4M3_4, group_F8_E4M3_8}},
  };
  for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
    for (int j = 0; j < 3; j++)
      if (cache->dtype == kernels[i].dtype && cache->head_size == 32 << j)
        return kernels[i].groups[j];
  return NULL;
}

/* Which segment each row belongs to; -1: none. */
static void find_segments(const llq_batch *batch, int32_t *segment_of) {
  for (int r = 0; r < batch->n_rows; r++)
    segment_of[r] = -1;
  for (int s = 0; s < batch->n_segments; s++)
    for (int i = 0; i < batch->segments[s].n_rows; i++)
      segment_of[batch->segments[s].first_row + i] = s;
}

static int64_t n_positions_max(const llq_batch *batch) {
  int64_t n = 0;
  for (int s = 0; s < batch->n_segments; s++) {
    const llq_segment *segment = &batch->segments[s];
    int64_t end = (int64_t)segment->first_position + segment->n_rows;
    n = end > n ? end : n;
  }
  return n;
}

/* A call, for the threads that share it. */
struct call {
  const llq_batch *batch;
  const llq_view *q, *out;
  const llq_kv *cache;
  group_fn group;
  float scale;
  float *scores; /* [n_threads, n_scores] */
  size_t n_scores;
  const int32_t *segment_of;
};

/* One row's query heads that share a key and value head. */
static void attend_item(void *user, uint32_t item, int thread) {
  const struct call *call = user;
  const llq_kv *cache = call->cache;
  int r = (int)item / cache->n_kv_heads, head = (int)item % cache->n_kv_heads;
  if (call->segment_of[r] < 0)
    return;
  const llq_segment *segment = &call->batch->segments[call->segment_of[r]];
  struct row row = {cache, call->batch->pages + segment->first_page,
                    segment->first_position + r - segment->first_row + 1,
                    call->scale, cache->value_scale};
  int n_heads = (int)(call->q->n_cols / cache->head_size / cache->n_kv_heads);
  call->group(&row, head, n_heads, call->q, (llq_view *)call->out,
              r * call->q->n_cols + (int64_t)head * n_heads * cache->head_size,
              call->scores + call->n_scores * (size_t)thread);
}

int ARCH(attention)(void *self, const llq_batch *batch, const llq_view *q,
                    const llq_kv *cache, float scale, llq_view *out) {
  struct llqi_cpu *cpu = self;
  group_fn group = choose_group(cache);
  if (group == NULL)
    return llqi_cpu_attention(self, batch, q, cache, scale, out);
  int64_t n_positions = n_positions_max(batch);
  size_t n_scores = (size_t)(n_positions / LANES + 1) * LANES;
  size_t n_all = n_scores * (size_t)llqi_threads_count(cpu->threads);
  float *scores = llqi_cpu_scratch(
      cpu, n_all * sizeof *scores + (size_t)batch->n_rows * sizeof(int32_t));
  if (scores == NULL)
    return LLQ_ERROR_MEMORY;
  int32_t *segment_of = (int32_t *)(scores + n_all);
  find_segments(batch, segment_of);
  float key_scale = llqi_dtype_size(cache->dtype) == 1 ? cache->key_scale : 1;
  struct call call = {batch,  q,        out,
                      cache,  group,    scale * key_scale,
                      scores, n_scores, segment_of};
  double work = (double)batch->n_rows * q->n_cols * n_positions / 4;
  llqi_threads_run(cpu->threads, llqi_cpu_threads(cpu, work),
                   (uint32_t)(batch->n_rows * cache->n_kv_heads), attend_item,
                   &call);
  return LLQ_OK;
}
