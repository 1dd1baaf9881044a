/* SPDX-License-Identifier: Apache-2.0 */
/* What the streaming kernels know of each weight format.

   Weights come in tiles of 16 outputs by 64 inputs. A lane copies to shared
   memory the very bytes that it multiplies later: with g = lane / 4, t = lane %
   4, those of rows g and g + 8. A format says how a tile is copied, which
   numbers of x go with a lane's (the order of inputs within a tile is free as
   long as both agree), and how to multiply:

     is_dense   numbers, not codes
     n_bytes    of a slot: a block of both tiles of a pair, or two of one tile, with
                what scales belong to them
     input      how rows of x are stored: see stream_input.cuh
     order      which inputs a lane takes of them
     sum        the type of sums
     scaled     sums are multiplied by scales of rows and outputs at the end
     unit       what sums are counted in
     source     where a lane's part of two rows of tiles lies, or of one; copy()
                starts a slot's copies
     fragment   a lane's part of a block in registers, from the first or second half
                of a slot
     inputs()   the registers of operand B for 8 rows of x and 64 inputs, from
                where they lie + first_inputs(lane)
     add()      adds a tile's products to the sums of eights of rows */
#ifndef LLQ_CUDA_STREAM_WEIGHT_CUH
#define LLQ_CUDA_STREAM_WEIGHT_CUH

#include <cuda_bf16.h>

#include "backends/cuda/common/codes.cuh"
#include "backends/cuda/common/groups.cuh"
#include "backends/cuda/common/instructions.cuh"
#include "backends/cuda/common/stream_input.cuh"

constexpr int tile_outputs = 16, tile_inputs = 64;

struct stream_weight {
  const char *data, *scale, *zero;
  int n_in, n_blocks, n_groups; /* a block is 64 inputs */
  uint32_t group_factor;        /* for group_at() */
};

/* From a slot's first block to its second: one of them is 0. Both: the first block
   once more. */
struct slot_second {
  int tiles, blocks;
};

__device__ __forceinline__ int group_of(const stream_weight &w, int block) {
  return group_at(block, w.group_factor);
}

/* Int4 in CUDA_LAYOUT_TILED (repack.h). A slot: codes of the first block, of the
   second; scales of both; zero points of both, or the scales again. */
template <bool has_zero> struct stream_int4 {
  typedef float sum;
  static constexpr bool is_dense = false;
  static constexpr int n_bytes = 1024 + 128;
  static constexpr stream_input input = stream_bf16;
  static constexpr stream_order order = stream_in_order;
  static constexpr bool scaled = false;
  static constexpr float unit = code_unit;

  struct source {
    const char *codes, *side; /* side: 4 bytes of the scales or zero points */
    int64_t to_second;
    int side_ahead;

    __device__ __forceinline__ source(const stream_weight &w, int tile, slot_second second,
                                      int lane) {
      codes = w.data + 512ll * tile * w.n_blocks + 16 * lane;
      to_second = 512ll * (static_cast<int64_t>(second.tiles) * w.n_blocks + second.blocks);
      side_ahead = lane & 8 ? second.blocks : 0;
      int64_t side_tile = tile + (lane & 8 ? second.tiles : 0);
      side = (has_zero && lane >= 16 ? w.zero : w.scale) + 32 * side_tile * w.n_groups +
             4 * (lane % 8);
    }

    __device__ __forceinline__ void copy(const stream_weight &w, int block, int lane,
                                         uint32_t to) const {
      const char *from = codes + 512ll * block;
      copy_16_once(to + 16 * lane, from);
      copy_16_once(to + 512 + 16 * lane, from + to_second);
      copy_4(to + 1024 + 4 * lane, side + 32ll * group_of(w, block + side_ahead));
    }
  };

  struct fragment {
    uint32_t words[4], scale, zero; /* scale, zero: of rows g and g + 8 */

    __device__ __forceinline__ fragment(const stream_weight &, int, int half, uint32_t from,
                                        int lane) {
      uint32_t side = from + 1024 + 32 * half + lane / 4 * 4;
      store_four(load_shared_16(from + 512 * half + 16 * lane), words);
      scale = load_shared_4(side);
      zero = has_zero ? load_shared_4(side + 64) : 0x43084308; /* 136, for fixed.cuh */
    }
  };

  static __device__ __forceinline__ uint32_t first_inputs(int lane) {
    return input_chunk(lane % 8, lane / 8);
  }

  static __device__ __forceinline__ void inputs(uint32_t from, uint32_t (&x)[8]) {
    store_four(load_matrices(from), x);
    store_four(load_matrices(from ^ 64), x + 4);
  }

  template <int n>
  static __device__ __forceinline__ void add(const fragment &w, const uint32_t (&x)[n][8],
                                             float (&sums)[n][4]) {
    int4_scales<has_zero> scales;
    scales.set(w.scale, w.zero);
#pragma unroll
    for (int step = 0; step < 4; step++) {
      uint32_t a[4];
      scales.fragment(w.words[step], a);
#pragma unroll
      for (int i = 0; i < n; i++)
        multiply_bf16(sums[i], a, x[i][2 * step], x[i][2 * step + 1]);
    }
  }
};

/* One byte a code, row-major: lane t takes inputs 16 t .. 16 t + 15. */
struct stream_bytes {
  static constexpr bool is_dense = false;
  static constexpr stream_order order = stream_by_sixteens;

  struct source {
    const char *low;
    int64_t to_second;

    __device__ __forceinline__ source(const stream_weight &w, int tile, slot_second second,
                                      int lane) {
      low = w.data + (16ll * tile + lane / 4) * w.n_in + 16 * (lane % 4);
      to_second = 16ll * second.tiles * w.n_in + 64ll * second.blocks;
    }

    __device__ __forceinline__ void copy(const stream_weight &w, int block, int lane,
                                         uint32_t to) const {
      const char *first = low + 64ll * block, *second = first + to_second;
      copy_16_once(to + 16 * lane, first);
      copy_16_once(to + 512 + 16 * lane, first + 8ll * w.n_in);
      copy_16_once(to + 1024 + 16 * lane, second);
      copy_16_once(to + 1536 + 16 * lane, second + 8ll * w.n_in);
    }
  };

  struct fragment {
    uint32_t low[4], high[4]; /* of rows g and g + 8 */

    __device__ __forceinline__ fragment(const stream_weight &, int, int half, uint32_t from,
                                        int lane) {
      store_four(load_shared_16(from + 1024 * half + 16 * lane), low);
      store_four(load_shared_16(from + 1024 * half + 512 + 16 * lane), high);
    }
  };

  static __device__ __forceinline__ uint32_t first_inputs(int lane) {
    return input_chunk(lane / 4, 2 * (lane % 4));
  }

  static __device__ __forceinline__ void inputs(uint32_t from, uint32_t (&x)[8]) {
    store_four(load_shared_16(from), x);
    store_four(load_shared_16(from ^ 16), x + 4);
  }
};

/* Int8 for bf16 activations. Beside the codes lie 32 words, one a row: the word of
   the checkpoint's scales that holds the group's in its low or high half. */
struct stream_int8 : stream_bytes {
  typedef float sum;
  static constexpr int n_bytes = 2048 + 128;
  static constexpr stream_input input = stream_bf16;
  static constexpr bool scaled = false;
  static constexpr float unit = code_unit;

  struct source : stream_bytes::source {
    int64_t scale; /* of the lane's row's first group */
    int ahead;

    __device__ __forceinline__ source(const stream_weight &w, int tile, slot_second second,
                                      int lane)
        : stream_bytes::source(w, tile, second, lane) {
      scale = (16ll * (tile + (lane < 16 ? 0 : second.tiles)) + lane % 16) * w.n_groups;
      ahead = lane < 16 ? 0 : second.blocks;
    }

    __device__ __forceinline__ void copy(const stream_weight &w, int block, int lane,
                                         uint32_t to) const {
      stream_bytes::source::copy(w, block, lane, to);
      copy_4(to + 2048 + 4 * lane, w.scale + (2 * (scale + group_of(w, block + ahead)) & ~3ll));
    }
  };

  struct fragment : stream_bytes::fragment {
    uint32_t scale[2];

    __device__ __forceinline__ fragment(const stream_weight &w, int block, int half, uint32_t from,
                                        int lane)
        : stream_bytes::fragment(w, block, half, from, lane) {
      int row = lane / 4;
      uint32_t of_word = (row * w.n_groups + group_of(w, block)) & 1 ? 0x3232 : 0x1010;
      uint32_t words = from + 2048 + 64 * half + 4 * row;
      scale[0] = __byte_perm(load_shared_4(words), 0, of_word);
      scale[1] = __byte_perm(load_shared_4(words + 32), 0, of_word);
    }
  };

  template <int n>
  static __device__ __forceinline__ void add(const fragment &w, const uint32_t (&x)[n][8],
                                             float (&sums)[n][4]) {
    const int8_scale scales[] = {int8_scale(w.scale[0]), int8_scale(w.scale[1])};
#pragma unroll
    for (int step = 0; step < 4; step++) {
      uint32_t low = turn_signs(w.low[step]), high = turn_signs(w.high[step]);
      uint32_t a[] = {scales[0].weights(low, 0), scales[1].weights(high, 0),
                      scales[0].weights(low, 1), scales[1].weights(high, 1)};
#pragma unroll
      for (int i = 0; i < n; i++)
        multiply_bf16(sums[i], a, x[i][2 * step], x[i][2 * step + 1]);
    }
  }
};

/* Int8 for activations quantized to int8: sums of products are exact. */
struct stream_int8_int8 : stream_bytes {
  typedef int sum;
  static constexpr int n_bytes = 2048;
  static constexpr stream_input input = stream_codes;
  static constexpr bool scaled = true;
  static constexpr float unit = 1;

  static __device__ __forceinline__ void inputs(uint32_t from, uint32_t (&x)[8]) {
    uint2 first = load_shared_8(from), second = load_shared_8(from ^ 16);
    x[0] = first.x;
    x[1] = first.y;
    x[2] = second.x;
    x[3] = second.y;
  }

  template <int n>
  static __device__ __forceinline__ void add(const fragment &w, const uint32_t (&x)[n][8],
                                             int (&sums)[n][4]) {
#pragma unroll
    for (int step = 0; step < 2; step++) {
      uint32_t a[] = {w.low[2 * step], w.high[2 * step], w.low[2 * step + 1], w.high[2 * step + 1]};
#pragma unroll
      for (int i = 0; i < n; i++)
        multiply_s8(sums[i], a, x[i][2 * step], x[i][2 * step + 1]);
    }
  }
};

/* E4M3 for activations quantized to E4M3: f16 holds both, and the matrix
   instruction's products of f16 are exact. */
struct stream_fp8_fp8 : stream_bytes {
  typedef float sum;
  static constexpr int n_bytes = 2048;
  static constexpr stream_input input = stream_fp8;
  static constexpr bool scaled = true;
#if __CUDA_ARCH__ >= 890
  static constexpr float unit = 1;
#else
  static constexpr float unit = 256;
#endif

  static __device__ __forceinline__ uint32_t widened(uint32_t w, int pair) {
#if __CUDA_ARCH__ >= 890
    __nv_fp8x2_storage_t codes = static_cast<__nv_fp8x2_storage_t>(pair == 0 ? w : w >> 16);
    return as_word(__nv_cvt_fp8x2_to_halfraw2(codes, __NV_E4M3));
#else /* the bits of E4M3 read as f16 without another exponent: value / 256 */
    uint32_t x = __byte_perm(w, 0, pair == 0 ? 0x1404 : 0x3424);
    return (x & 0x80008000) | (x >> 1 & 0x3f803f80);
#endif
  }

  template <int n>
  static __device__ __forceinline__ void add(const fragment &w, const uint32_t (&x)[n][8],
                                             float (&sums)[n][4]) {
#pragma unroll
    for (int step = 0; step < 4; step++) {
      uint32_t a[] = {widened(w.low[step], 0), widened(w.high[step], 0), widened(w.low[step], 1),
                      widened(w.high[step], 1)};
#pragma unroll
      for (int i = 0; i < n; i++)
        multiply_f16(sums[i], a, x[i][2 * step], x[i][2 * step + 1]);
    }
  }
};

/* Dense bf16, row-major: lane t takes inputs 8 t .. 8 t + 7 of each half. */
struct stream_dense {
  typedef float sum;
  static constexpr int n_bytes = 4096;
  static constexpr bool is_dense = true;
  static constexpr stream_input input = stream_bf16;
  static constexpr stream_order order = stream_by_eights;
  static constexpr bool scaled = false;
  static constexpr float unit = 1;

  struct source {
    const char *low;
    int64_t to_second;

    __device__ __forceinline__ source(const stream_weight &w, int tile, slot_second second,
                                      int lane) {
      low = w.data + 2 * (16ll * tile + lane / 4) * w.n_in + 16 * (lane % 4);
      to_second = 32ll * second.tiles * w.n_in + 128ll * second.blocks;
    }

    /* Not copy_16_once(): ptxas 13.0 gives such a copy and its address here the same
       uniform register, an illegal instruction. */
    __device__ __forceinline__ void copy(const stream_weight &w, int block, int lane,
                                         uint32_t to) const {
      const char *first = low + 128ll * block;
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const char *from = half == 0 ? first : first + to_second, *below = from + 16ll * w.n_in;
        uint32_t at = to + 2048 * half + 16 * lane;
        copy_16(at, from);
        copy_16(at + 512, from + 64);
        copy_16(at + 1024, below);
        copy_16(at + 1536, below + 64);
      }
    }
  };

  struct fragment {
    uint32_t low[8], high[8]; /* of rows g and g + 8 */

    __device__ __forceinline__ fragment(const stream_weight &, int, int half, uint32_t from,
                                        int lane) {
      uint32_t at = from + 2048 * half + 16 * lane;
      store_four(load_shared_16(at), low);
      store_four(load_shared_16(at + 512), low + 4);
      store_four(load_shared_16(at + 1024), high);
      store_four(load_shared_16(at + 1536), high + 4);
    }
  };

  static __device__ __forceinline__ uint32_t first_inputs(int lane) {
    return input_chunk(lane / 4, lane % 4);
  }

  static __device__ __forceinline__ void inputs(uint32_t from, uint32_t (&x)[8]) {
    store_four(load_shared_16(from), x);
    store_four(load_shared_16(from ^ 64), x + 4);
  }

  template <int n>
  static __device__ __forceinline__ void add(const fragment &w, const uint32_t (&x)[n][8],
                                             float (&sums)[n][4]) {
#pragma unroll
    for (int step = 0; step < 4; step++) {
      uint32_t a[] = {w.low[2 * step], w.high[2 * step], w.low[2 * step + 1], w.high[2 * step + 1]};
#pragma unroll
      for (int i = 0; i < n; i++)
        multiply_bf16(sums[i], a, x[i][2 * step], x[i][2 * step + 1]);
    }
  }
};

#endif
