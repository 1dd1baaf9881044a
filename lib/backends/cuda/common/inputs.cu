/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/common/inputs.h"

#include "backends/cuda/common/launch.cuh"

namespace {

constexpr int n_threads = 256;

/* No early release: the chain behind it takes a step's inputs for constants. */
__global__ void __launch_bounds__(n_threads) fetch(const uint4 *from, int n, uint4 *to) {
  int i = static_cast<int>(blockIdx.x) * n_threads + static_cast<int>(threadIdx.x);
  if (i < n)
    to[i] = __ldcv(from + i); /* another copy may lie in a cache */
}

__global__ void __launch_bounds__(n_threads)
    pick(const uint4 *table, const int32_t *ids, int n_chunks, uint4 *out) {
  dependency_release();
  dependency_wait();
  const uint4 *from = table + static_cast<int64_t>(ids[blockIdx.x]) * n_chunks;
  uint4 *to = out + static_cast<int64_t>(blockIdx.x) * n_chunks;
  for (int i = threadIdx.x; i < n_chunks; i += n_threads)
    to[i] = from[i];
}

bool is_aligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % sizeof(uint4) == 0;
}

} // namespace

cudaError_t common_fetch(const cuda_launch *launch, const void *from, size_t size, void *to) {
  cuda_launch alone = *launch;
  alone.overlaps = 0;
  int n = static_cast<int>(size / sizeof(uint4));
  if (n == 0)
    return cudaSuccess;
  cudaError_t error = divide_alike(launch, fetch);
  if (error != cudaSuccess)
    return error;
  return launch_kernel(&alone, fetch, dim3((n + n_threads - 1) / n_threads), dim3(n_threads), 0,
                       static_cast<const uint4 *>(from), n, static_cast<uint4 *>(to));
}

int common_pick_takes(const void *table, int table_dtype, int64_t n_cols, const void *out,
                      int dtype) {
  return table_dtype == LLQ_BF16 && dtype == LLQ_BF16 && n_cols % 8 == 0 &&
         n_cols / 8 <= INT32_MAX && is_aligned(table) && is_aligned(out);
}

cudaError_t common_pick(const cuda_launch *launch, const void *table, const int32_t *ids,
                        int64_t n_rows, int64_t n_cols, void *out) {
  if (n_rows == 0)
    return cudaSuccess;
  return launch_kernel(launch, pick, dim3(static_cast<unsigned>(n_rows)), dim3(n_threads), 0,
                       static_cast<const uint4 *>(table), ids, static_cast<int>(n_cols / 8),
                       static_cast<uint4 *>(out));
}
