/* SPDX-License-Identifier: Apache-2.0 */
/* One thread for each word or scale of the result. */
#include "backends/cuda/common/repack.h"

#include <cuda_bf16.h>

namespace {

constexpr int threads = 256;

unsigned blocks_for(int64_t n) {
  return static_cast<unsigned>((n + threads - 1) / threads);
}

__device__ int64_t thread_index() {
  return blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x;
}

__device__ uint32_t code_at(const uint32_t *codes, int64_t n_in, int64_t row, int64_t input) {
  return codes[(row * n_in + input) / 8] >> 4 * (input % 8) & 15;
}

__global__ void repack_codes(const uint32_t *from, int64_t n_words, int64_t n_in, uint32_t *to) {
  int64_t i = thread_index();
  if (i >= n_words)
    return;
  int step = i % 4, lane = i / 4 % 32;
  int64_t tile = i / 128, n_blocks = n_in / 64;
  int64_t row = tile / n_blocks * 16 + lane / 4;
  int64_t input = tile % n_blocks * 64 + 16 * step + 2 * (lane % 4);
  uint32_t word = 0;
  for (int j = 0; j < 4; j++)
    for (int h = 0; h < 2; h++)
      word |= code_at(from, n_in, row + 8 * (j & 1), input + 8 * (j >> 1) + h) << (4 * j + 16 * h);
  to[i] = word;
}

/* Where entry i of the tiled order comes from. */
__device__ int64_t group_entry(int64_t i, int64_t n_groups) {
  int64_t row = i / (16 * n_groups) * 16 + i % 16 / 2 + 8 * (i % 2);
  return row * n_groups + i / 16 % n_groups;
}

__global__ void repack_group_scales(const uint16_t *from, int64_t n, int64_t n_groups,
                                    uint16_t *to) {
  int64_t i = thread_index();
  if (i < n)
    to[i] = from[group_entry(i, n_groups)];
}

__global__ void repack_group_zeros(const int8_t *from, int64_t n, int64_t n_groups,
                                   __nv_bfloat16 *to) {
  int64_t i = thread_index();
  if (i < n)
    to[i] = __float2bfloat16_rn(136.0f + from[group_entry(i, n_groups)]);
}

} // namespace

cudaError_t cuda_repack_int4(cudaStream_t stream, const void *from, int64_t n_out, int64_t n_in,
                             void *to) {
  int64_t n = n_out * n_in / 8;
  repack_codes<<<blocks_for(n), threads, 0, stream>>>(static_cast<const uint32_t *>(from), n, n_in,
                                                      static_cast<uint32_t *>(to));
  return cudaGetLastError();
}

cudaError_t cuda_repack_scales(cudaStream_t stream, const void *from, int64_t n_out,
                               int64_t n_groups, void *to) {
  int64_t n = n_out * n_groups;
  repack_group_scales<<<blocks_for(n), threads, 0, stream>>>(static_cast<const uint16_t *>(from), n,
                                                             n_groups, static_cast<uint16_t *>(to));
  return cudaGetLastError();
}

cudaError_t cuda_repack_zeros(cudaStream_t stream, const int8_t *from, int64_t n_out,
                              int64_t n_groups, void *to) {
  int64_t n = n_out * n_groups;
  repack_group_zeros<<<blocks_for(n), threads, 0, stream>>>(from, n, n_groups,
                                                            static_cast<__nv_bfloat16 *>(to));
  return cudaGetLastError();
}
