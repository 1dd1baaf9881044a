/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized weights as bf16 fragments. A fragment is operand A of m16n8k16 for
   16 outputs and 16 inputs; lane l (g = l / 4, t = l % 4) has rows g and g + 8.
   Each format says how a block's stage of 64 inputs lies in shared memory, and
   which inputs a lane's registers stand for: x must agree (load_x).

   fours = false: the order of the instruction, inputs 2 t, 2 t + 1 and those + 8.
   fours = true:  4 t to 4 t + 3, so that a lane takes a word of a row of bytes. */
#ifndef LLQ_CUDA_SM80_MIXED_WEIGHT_CUH
#define LLQ_CUDA_SM80_MIXED_WEIGHT_CUH

#include <cuda_bf16.h>

#include "backends/cuda/common/codes.cuh"
#include "backends/cuda/common/instructions.cuh"
#include "backends/cuda/kernels.h"

namespace {

/* A lane's scales of one tile row and group: rows g (low half) and g + 8. */
struct lane_scales {
  uint32_t scale, zero;
};

template <bool has_zero> struct int4_weight {
  static constexpr int row_bytes = 32; /* of an output's 64 inputs */
  static constexpr bool fours = false;
  static constexpr bool scales_sums = false;
  static constexpr float unit = code_unit; /* of sums */
  uint32_t words[4];
  int4_scales<has_zero> scales;

  /* Tiles of 512 bytes, as they lie in global memory. `chunk` counts 16 bytes of
     the tile row. */
  static __device__ __forceinline__ int64_t global_offset(const cuda_linear &w, int tile_row,
                                                          int chunk) {
    return tile_row * (w.n_in / 64) * 512 + chunk * 16;
  }
  static constexpr int global_step = 512; /* to the next 64 inputs */
  static __device__ __forceinline__ uint32_t shared_offset(int tile, int chunk) {
    return tile * 512 + chunk * 16;
  }
  static __device__ __forceinline__ lane_scales load_scales(const cuda_linear &w, int tile_row,
                                                            int group, int lane) {
    int64_t at = (tile_row * w.n_groups + group) * 8 + lane / 4;
    return {__ldg(static_cast<const uint32_t *>(w.scale) + at),
            has_zero ? __ldg(reinterpret_cast<const uint32_t *>(w.zero) + at) : 0};
  }
  __device__ __forceinline__ void load(uint32_t codes, int tile, int lane, lane_scales s) {
    uint4 v = load_shared_16(codes + tile * 512 + lane * 16);
    words[0] = v.x;
    words[1] = v.y;
    words[2] = v.z;
    words[3] = v.w;
    scales.set(s.scale, s.zero);
  }
  __device__ __forceinline__ void fragment(int step, uint32_t (&a)[4]) const {
    scales.fragment(words[step], a);
  }
};

/* A byte an input, row-major. In shared memory an output's 64 bytes are four
   chunks of 16, permuted so that eight rows of a chunk lie in all banks. */
struct byte_weight {
  static constexpr int row_bytes = 64;
  static constexpr bool fours = true;
  static constexpr int global_step = 64;
  uint32_t words[4][2]; /* of 16 inputs each: rows g, g + 8 */
  uint32_t scale[2];    /* twice in a word */

  static __device__ __forceinline__ int64_t global_offset(const cuda_linear &w, int tile_row,
                                                          int chunk) {
    return (tile_row * 16 + chunk / 4) * w.n_in + chunk % 4 * 16;
  }
  static __device__ __forceinline__ uint32_t shared_offset(int tile, int chunk) {
    int row = chunk / 4;
    return tile * 1024 + row * 64 + (chunk % 4 ^ (row / 2 & 3)) * 16;
  }
  static __device__ __forceinline__ lane_scales load_scales(const cuda_linear &w, int tile_row,
                                                            int group, int lane) {
    const uint16_t *scales = static_cast<const uint16_t *>(w.scale);
    int64_t row = tile_row * 16 + lane / 4;
    uint32_t low = __ldg(scales + row * w.n_groups + group);
    uint32_t high = __ldg(scales + (row + 8) * w.n_groups + group);
    return {low | high << 16, 0};
  }
  __device__ __forceinline__ void load(uint32_t codes, int tile, int lane, lane_scales s) {
    const int row = lane % 16; /* lanes 0 to 15: the first chunk's rows, then the second's */
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int chunk = 2 * i + lane / 16;
      uint4 v = load_matrices(codes + tile * 1024 + row * 64 + (chunk ^ (row / 2 & 3)) * 16);
      words[2 * i][0] = v.x;
      words[2 * i][1] = v.y;
      words[2 * i + 1][0] = v.z;
      words[2 * i + 1][1] = v.w;
    }
    scale[0] = twice_low(s.scale);
    scale[1] = twice_high(s.scale);
  }
};

struct int8_weight : byte_weight {
  static constexpr bool scales_sums = false;
  static constexpr float unit = code_unit;

  __device__ __forceinline__ void fragment(int step, uint32_t (&a)[4]) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      uint32_t codes = turn_signs(words[step][i]);
      int8_scale of_row(scale[i]);
      a[i] = of_row.weights(codes, 0);
      a[i + 2] = of_row.weights(codes, 1);
    }
  }
};

/* Two E4M3 codes in the high bytes of a word's halves. Exponent and mantissa go
   where bf16 has the lowest bits of them; 2^120 makes up for the other bias. The
   one NaN has ones only there: 1 carries out of them, to be all exponent bits. */
__device__ __forceinline__ uint32_t e4m3_pair(uint32_t pair) {
  uint32_t size = pair >> 4 & 0x07f007f0u;
  uint32_t is_nan = (size + 0x00100010u) & 0x08000800u;
  uint32_t bits = (pair & 0x80008000u) | size | is_nan * 15;
  return product_of(bits, 0x7b807b80);
}

struct e4m3_codes : byte_weight {
  static constexpr bool scales_sums = true;
  static constexpr float unit = 1;

  __device__ __forceinline__ void fragment(int step, uint32_t (&a)[4]) const {
#pragma unroll
    for (int j = 0; j < 4; j++)
      a[j] = e4m3_pair(__byte_perm(words[step][j & 1], 0, j < 2 ? 0x1404 : 0x3424));
  }
};

struct e4m3_weight : byte_weight {
  static constexpr bool scales_sums = false;
  static constexpr float unit = 1;

  __device__ __forceinline__ void fragment(int step, uint32_t (&a)[4]) const {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      uint32_t pair = __byte_perm(words[step][j & 1], 0, j < 2 ? 0x1404 : 0x3424);
      a[j] = product_of(e4m3_pair(pair), scale[j & 1]);
    }
  }
};

} // namespace

#endif
