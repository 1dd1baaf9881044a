/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 tiles: a warp a tile. Its lanes hold pairs of neighbouring inputs, so the
   tile goes through shared memory to be stored in lines of 128 bytes. Int8 and
   E4M3: a thread has 16 neighbouring inputs. */
#include <cuda_fp8.h>

#include "backends/cuda/any/number.cuh"
#include "backends/cuda/common/dequantize.h"
#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/common/vector.cuh"

namespace {

constexpr int warps_per_block = 8;
constexpr int threads = 32 * warps_per_block;
constexpr int tile_inputs = 64;
constexpr int tile_outputs = 16;
/* Words of a tile's row in shared memory: 4 more than it has, so that the rows
   that a warp stores to lie in different banks. */
constexpr int row_words = tile_inputs / 2 + 4;

__device__ __forceinline__ __nv_bfloat162 pair_bits(uint32_t word) {
  return *reinterpret_cast<__nv_bfloat162 *>(&word);
}

/* Both halves of a word the same: rows g (0) or g + 8 (1) of a pair of scales. */
__device__ __forceinline__ __nv_bfloat162 both(uint32_t pair, int row) {
  return pair_bits(__byte_perm(pair, 0, row ? 0x3232 : 0x1010));
}

/* A lane's weights, as common/repack.h draws them, to the rows of the tile. */
__device__ void unpack_tile(const uint4 &codes, uint32_t scale, uint32_t zero, int lane,
                            uint32_t *rows) {
  const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
  for (int s = 0; s < 4; s++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      uint32_t bits = (words[s] >> 4 * j & 0x000f000fu) | 0x43004300u; /* 136 + q */
      __nv_bfloat162 w = __hmul2(__hsub2(pair_bits(bits), both(zero, j & 1)), both(scale, j & 1));
      rows[(lane / 4 + 8 * (j & 1)) * row_words + 8 * s + 4 * (j >> 1) + lane % 4] =
          *reinterpret_cast<uint32_t *>(&w);
    }
}

__global__ void __launch_bounds__(threads)
    dequantize_tiles(cuda_linear linear, int64_t first_tile, int64_t n_tiles, uint4 *out) {
  __shared__ uint32_t shared[warps_per_block][tile_outputs * row_words];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t tile = blockIdx.x * static_cast<int64_t>(warps_per_block) + warp;
  if (tile < n_tiles) {
    const int64_t at = first_tile + tile, n_blocks = linear.n_in / tile_inputs;
    const int64_t input = at % n_blocks * tile_inputs;
    const int64_t group = linear.group_size > 0 ? input / linear.group_size : 0;
    const int64_t scale_at = (at / n_blocks * linear.n_groups + group) * 8 + lane / 4;
    uint4 codes = __ldcs(static_cast<const uint4 *>(linear.data) + at * 32 + lane);
    uint32_t scale = __ldg(static_cast<const uint32_t *>(linear.scale) + scale_at);
    uint32_t zero = linear.zero != nullptr
                        ? __ldg(reinterpret_cast<const uint32_t *>(linear.zero) + scale_at)
                        : 0x43084308u; /* 136 */
    unpack_tile(codes, scale, zero, lane, shared[warp]);
  }
  __syncwarp();
  dependency_wait();
  if (tile < n_tiles) {
    const int64_t n_blocks = linear.n_in / tile_inputs, row_vectors = linear.n_in / vector_size;
    uint4 *to = out + tile / n_blocks * tile_outputs * row_vectors + tile % n_blocks * 8 + lane % 8;
#pragma unroll
    for (int row = lane / 8; row < tile_outputs; row += 4)
      to[row * row_vectors] =
          *reinterpret_cast<const uint4 *>(&shared[warp][row * row_words + lane % 8 * 4]);
  }
  dependency_release();
}

__device__ void eight_codes(uint2 codes, int format, float (&v)[vector_size]) {
  const uint32_t words[2] = {codes.x, codes.y};
#pragma unroll
  for (int i = 0; i < vector_size; i++) {
    uint8_t code = static_cast<uint8_t>(words[i / 4] >> 8 * (i % 4));
    v[i] = format == LLQ_WEIGHT_INT8 ? static_cast<float>(static_cast<int8_t>(code))
                                     : e4m3_to_float(code);
  }
}

__global__ void __launch_bounds__(threads)
    dequantize_bytes(cuda_linear linear, int64_t first_out, int64_t n_vectors, uint4 *out) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x;
  const int64_t at = first_out * linear.n_in + 16 * i;
  uint4 results[2];
  if (i < n_vectors) {
    const int64_t o = at / linear.n_in, input = at % linear.n_in;
    const int64_t group = linear.group_size > 0 ? input / linear.group_size : 0;
    float scale = __bfloat162float(
        static_cast<const __nv_bfloat16 *>(linear.scale)[o * linear.n_groups + group]);
    uint4 codes = __ldcs(static_cast<const uint4 *>(linear.data) + at / 16);
    const uint2 halves[2] = {make_uint2(codes.x, codes.y), make_uint2(codes.z, codes.w)};
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float v[vector_size];
      eight_codes(halves[h], linear.format, v);
#pragma unroll
      for (int j = 0; j < vector_size; j++)
        v[j] *= scale;
      results[h] = packed(v);
    }
  }
  dependency_wait();
  if (i < n_vectors) {
    out[2 * i] = results[0];
    out[2 * i + 1] = results[1];
  }
  dependency_release();
}

unsigned blocks_for(int64_t n, int64_t size) {
  return static_cast<unsigned>((n + size - 1) / size);
}

} // namespace

int common_dequantize_takes(const cuda_linear *linear) {
  if (linear->dtype != LLQ_BF16 || linear->group_index != nullptr || linear->order != nullptr)
    return 0;
  if (linear->format == LLQ_WEIGHT_INT4)
    return linear->layout == CUDA_LAYOUT_TILED;
  return (linear->format == LLQ_WEIGHT_INT8 || linear->format == LLQ_WEIGHT_FP8) &&
         linear->zero == nullptr && linear->n_in % 16 == 0 && linear->group_size % 16 == 0 &&
         reinterpret_cast<uintptr_t>(linear->data) % 16 == 0;
}

cudaError_t common_dequantize(const cuda_launch *launch, const cuda_linear *linear,
                              int64_t first_out, int64_t n_outs, void *out) {
  uint4 *to = static_cast<uint4 *>(out);
  int64_t n = n_outs * linear->n_in;
  if (n == 0)
    return cudaSuccess;
  if (linear->format == LLQ_WEIGHT_INT4)
    return launch_kernel(launch, dequantize_tiles, blocks_for(n, 1024 * warps_per_block), threads,
                         0, *linear, first_out * linear->n_in / 1024, n / 1024, to);
  return launch_kernel(launch, dequantize_bytes, blocks_for(n, 16 * threads), threads, 0, *linear,
                       first_out, n / 16, to);
}
