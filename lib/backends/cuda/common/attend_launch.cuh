/* SPDX-License-Identifier: Apache-2.0 */
/* Launching the attention kernels: what a table takes, and the shapes. */
#ifndef LLQ_CUDA_ATTEND_LAUNCH_CUH
#define LLQ_CUDA_ATTEND_LAUNCH_CUH

#include "backends/cuda/common/attend_chunk.cuh"
#include "backends/cuda/common/attend_token.cuh"

namespace {

inline bool is_coded(const cuda_cache &cache) {
  return cache.dtype == LLQ_F8_E4M3 || cache.dtype == LLQ_I8;
}

inline bool takes_attention(const cuda_attention *attention) {
  const cuda_cache *cache = attention->cache;
  int d = cache->head_size, n_kv = cache->n_kv_heads, page = cache->page_size;
  bool heads = n_kv > 0 && attention->n_heads % n_kv == 0 && attention->n_heads / n_kv >= 1 &&
               attention->n_heads / n_kv <= group_max;
  bool is_bf16 = cache->dtype == LLQ_BF16;
  return (is_bf16 || is_coded(*cache)) && heads && (d == 32 || d == 64 || d == 96 || d == 128) &&
         page >= 16 && (page & (page - 1)) == 0 && attention->scale > 0 &&
         attention->batch->n_segments <= 65535 && n_kv <= 65535;
}

inline attend_arguments arguments_of(const cuda_attention *attention) {
  attend_arguments a = {};
  a.batch = *attention->batch;
  a.cache = *attention->cache;
  a.qkv = static_cast<const __nv_bfloat16 *>(attention->qkv);
  a.cos_sin = attention->cos_sin;
  a.out = static_cast<__nv_bfloat16 *>(attention->out);
  bool coded = is_coded(a.cache);
  a.scale = attention->scale * (coded ? a.cache.key_scale : 1) * 1.4426950408889634f;
  a.value_scale = coded ? a.cache.value_scale : 1;
  a.n_heads = attention->n_heads;
  a.group = attention->n_heads / attention->cache->n_kv_heads;
  while (1 << a.page_shift < attention->cache->page_size)
    a.page_shift++;
  return a;
}

/* A cluster of n_blocks for each segment of one row and head of k. */
template <int D, int n_heads, int n_blocks, int n_stages, bool coded>
cudaError_t launch_token_of(const cuda_launch *launch, const attend_arguments &a) {
  constexpr int size = sizeof(token_memory<D, n_heads, n_blocks, n_stages, coded>);
  auto kernel = attend_token<D, n_heads, n_blocks, n_stages, coded>;
  cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, size);
  if (error == cudaSuccess)
    error = divide_alike(launch, kernel);
  if (error != cudaSuccess)
    return error;
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = launch->overlaps ? 1 : 0;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = n_blocks;
  attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(n_blocks, static_cast<unsigned>(a.cache.n_kv_heads),
                        static_cast<unsigned>(a.batch.n_segments));
  config.blockDim = token_threads;
  config.dynamicSmemBytes = size;
  config.stream = launch->stream;
  config.attrs = attributes;
  config.numAttrs = n_blocks > 1 ? 2 : 1;
  return cudaLaunchKernelEx(&config, kernel, a);
}

template <int D, int n_blocks, int n_stages, bool coded>
cudaError_t launch_token(const cuda_launch *launch, const attend_arguments &a) {
  return a.group <= 4 ? launch_token_of<D, 4, n_blocks, n_stages, coded>(launch, a)
                      : launch_token_of<D, group_max, n_blocks, n_stages, coded>(launch, a);
}

template <int D, bool coded>
cudaError_t launch_append(const cuda_launch *launch, const attend_arguments &a) {
  return launch_kernel(launch, append_rows<D, coded>, static_cast<unsigned>(a.batch.n_rows),
                       append_threads, 0, a);
}

template <int D, typename products, int n_warps, int n_stages, bool coded>
cudaError_t launch_chunk(const cuda_launch *launch, const attend_arguments &a) {
  constexpr int size = n_stages * 2 * head_tile<D>::size;
  auto kernel = attend_chunk<D, products, n_warps, n_stages, coded>;
  cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, size);
  if (error != cudaSuccess)
    return error;
  /* No fewer than the chunks of any such batch. */
  int n_chunks = a.batch.n_rows / (16 * n_warps / a.group) + a.batch.n_segments;
  dim3 grid(static_cast<unsigned>(n_chunks), static_cast<unsigned>(a.cache.n_kv_heads));
  return launch_kernel(launch, kernel, grid, 32 * n_warps, size, a);
}

} // namespace

#endif
