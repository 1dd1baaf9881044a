/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs in the order of their groups, for int4 weights with activation order:
   the codes once, when they are loaded, and every x. */
#include "backends/cuda/common/order.h"

constexpr int threads = 256;

__global__ void order_codes(const uint32_t *from, int64_t n_words_all, int64_t n_in,
                            const int32_t *order, uint32_t *to) {
  int64_t at = blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x;
  if (at >= n_words_all)
    return;
  int64_t n_words = n_in / 8;
  const uint32_t *row = from + at / n_words * n_words;
  const int32_t *sources = order + at % n_words * 8;
  uint32_t word = 0;
  for (int i = 0; i < 8; i++)
    word |= (row[sources[i] / 8] >> (4 * (sources[i] % 8)) & 15u) << (4 * i);
  to[at] = word;
}

__global__ void order_inputs(const uint16_t *x, int64_t n_in, const int32_t *order, uint16_t *to) {
  const uint16_t *row = x + blockIdx.x * n_in;
  for (int64_t i = threadIdx.x; i < n_in; i += threads)
    to[blockIdx.x * n_in + i] = row[order[i]];
}

cudaError_t common_order_codes(cudaStream_t stream, const void *from, int64_t n_out, int64_t n_in,
                               const int32_t *order, void *to) {
  int64_t n_words = n_out * n_in / 8;
  order_codes<<<static_cast<unsigned>((n_words + threads - 1) / threads), threads, 0, stream>>>(
      static_cast<const uint32_t *>(from), n_words, n_in, order, static_cast<uint32_t *>(to));
  return cudaGetLastError();
}

cudaError_t common_order_inputs(cudaStream_t stream, const void *x, int64_t n_rows, int64_t n_in,
                                const int32_t *order, void *to) {
  order_inputs<<<static_cast<unsigned>(n_rows), threads, 0, stream>>>(
      static_cast<const uint16_t *>(x), n_in, order, static_cast<uint16_t *>(to));
  return cudaGetLastError();
}
