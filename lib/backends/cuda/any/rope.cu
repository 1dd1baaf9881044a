/* SPDX-License-Identifier: Apache-2.0 */
/* Rotates the heads of q and k, and stores k and v in the cache. One block a
   row; a thread takes pairs (i, i + d / 2) of all heads. */
#include "backends/cuda/any/number.cuh"
#include "backends/cuda/kernels.h"

__device__ void rotate(void *heads, int dtype, int64_t row, int n_heads, int d,
                       const float *cos_sin) {
  int half = d / 2;
  for (int t = threadIdx.x; t < n_heads * half; t += blockDim.x) {
    int i = t % half;
    int64_t first = row + static_cast<int64_t>(t / half) * d + i, second = first + half;
    float a = load_any(heads, dtype, first), b = load_any(heads, dtype, second);
    float c = cos_sin[i], s = cos_sin[half + i];
    store_any(heads, dtype, first, a * c - b * s);
    store_any(heads, dtype, second, b * c + a * s);
  }
}

__global__ void rope_rows(cuda_batch batch, const float *cos_sin, cuda_qkv qkv, int dtype,
                          cuda_cache cache) {
  cuda_row row = batch.rows[blockIdx.x];
  int d = cache.head_size, kv_width = cache.n_kv_heads * d;
  const float *table = cos_sin + static_cast<int64_t>(row.position) * d;
  rotate(qkv.q, dtype, blockIdx.x * qkv.q_stride, qkv.n_heads, d, table);
  rotate(qkv.k, dtype, blockIdx.x * qkv.kv_stride, cache.n_kv_heads, d, table);
  __syncthreads();
  int64_t slot =
      static_cast<int64_t>(batch.pages[row.first_page + row.position / cache.page_size]) *
          cache.page_size +
      row.position % cache.page_size;
  for (int i = threadIdx.x; i < kv_width; i += blockDim.x) {
    int64_t from = blockIdx.x * qkv.kv_stride + i, to = slot * kv_width + i;
    store_cached(cache.keys, cache.dtype, cache.key_scale, to, load_any(qkv.k, dtype, from));
    store_cached(cache.values, cache.dtype, cache.value_scale, to, load_any(qkv.v, dtype, from));
  }
}

cudaError_t any_rope_append(cudaStream_t stream, const cuda_batch *batch, const float *cos_sin,
                            const cuda_qkv *qkv, int dtype, const cuda_cache *cache) {
  rope_rows<<<static_cast<unsigned>(batch->n_rows), 256, 0, stream>>>(*batch, cos_sin, *qkv, dtype,
                                                                      *cache);
  return cudaGetLastError();
}
