/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of each row over its own sequence. Plain: one warp for each (row,
   head); positions one after another, with a running maximum (online softmax);
   lane l holds elements l, l + 32, ... of the head, up to 256. */
#include "backends/cuda/any/number.cuh"
#include "backends/cuda/kernels.h"

constexpr int lane_elements = 8;

__global__ void attend_rows(cuda_batch batch, const void *q, int64_t q_stride, int n_heads,
                            int dtype, cuda_cache cache, float scale, void *out) {
  cuda_row row = batch.rows[blockIdx.x];
  int head = blockIdx.y, d = cache.head_size;
  int kv_head = head / (n_heads / cache.n_kv_heads);
  int64_t q_at = blockIdx.x * q_stride + head * d;
  int64_t out_at = (blockIdx.x * static_cast<int64_t>(n_heads) + head) * d;
  float query[lane_elements] = {}, sum[lane_elements] = {};
  for (int e = 0; e < lane_elements; e++)
    if (32 * e + static_cast<int>(threadIdx.x) < d)
      query[e] = load_any(q, dtype, q_at + 32 * e + threadIdx.x);
  float peak = -INFINITY, total = 0;
  for (int p = 0; p <= row.position; p++) {
    int64_t slot =
        static_cast<int64_t>(batch.pages[row.first_page + p / cache.page_size]) * cache.page_size +
        p % cache.page_size;
    int64_t at = (slot * cache.n_kv_heads + kv_head) * d + threadIdx.x;
    float product = 0;
    for (int e = 0; e < lane_elements; e++)
      if (32 * e + static_cast<int>(threadIdx.x) < d)
        product += query[e] * load_cached(cache.keys, cache.dtype, cache.key_scale, at + 32 * e);
    float score = warp_sum(product) * scale;
    float new_peak = fmaxf(peak, score);
    float shrink = expf(peak - new_peak), weight = expf(score - new_peak);
    peak = new_peak;
    total = total * shrink + weight;
    for (int e = 0; e < lane_elements; e++)
      if (32 * e + static_cast<int>(threadIdx.x) < d)
        sum[e] = sum[e] * shrink +
                 weight * load_cached(cache.values, cache.dtype, cache.value_scale, at + 32 * e);
  }
  for (int e = 0; e < lane_elements; e++)
    if (32 * e + static_cast<int>(threadIdx.x) < d)
      store_any(out, dtype, out_at + 32 * e + threadIdx.x, sum[e] / total);
}

cudaError_t any_attention(cudaStream_t stream, const cuda_batch *batch, const void *q,
                          int64_t q_stride, int n_heads, int dtype, const cuda_cache *cache,
                          float scale, void *out) {
  if (cache->head_size > 32 * lane_elements)
    return cudaErrorInvalidValue;
  dim3 grid(static_cast<unsigned>(batch->n_rows), static_cast<unsigned>(n_heads));
  attend_rows<<<grid, 32, 0, stream>>>(*batch, q, q_stride, n_heads, dtype, *cache, scale, out);
  return cudaGetLastError();
}
