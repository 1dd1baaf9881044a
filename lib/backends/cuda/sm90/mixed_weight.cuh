/* SPDX-License-Identifier: Apache-2.0 */
/* Weight formats of the mixed product: how a stage of 64 inputs is fetched, and how a
   warpgroup makes operand A of wgmma from it, the same numbers in the same order as
   common/stream_weight.cuh. A stage has parts of 64 outputs; a format says

     outputs_a_row       of a row of the weights' map
     n_boxes, box_cols   of the map that 64 inputs take
     part_bytes          of a part
     has_groups          scales (and zero points) of 64 inputs come with each stage
     has_zero
     is_half             operands are f16, not bf16
     scaled              sums are multiplied by scales of rows and outputs at the end
     unit                what sums are counted in
     fragments           a lane's share of a part, outputs g and g + 8 of its warp's 16:
                         begin() a tile, load() a stage, make() 16 inputs,
                         in order and two at a time */
#ifndef LLQ_CUDA_MIXED_WEIGHT_CUH
#define LLQ_CUDA_MIXED_WEIGHT_CUH

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <stdint.h>

#include "backends/cuda/common/codes.cuh"
#include "backends/cuda/common/instructions.cuh"

__device__ __forceinline__ uint32_t load_word(uint32_t address) {
  uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(address));
  return word;
}

__device__ __forceinline__ void load_four(uint32_t address, uint32_t *to) {
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address));
}

/* Scales of outputs, for whole rows of weights. */
struct mixed_scales {
  const __nv_bfloat16 *of_output;
  int n_out;

  __device__ __forceinline__ __nv_bfloat16 at(int output) const {
    return output < n_out ? of_output[output] : __nv_bfloat16();
  }
};

/* Int4 in TILED layout. A stage: 4 tiles of 512 bytes (one a warp) for each part; their
   scales, 32 bytes a tile; their zero points alike. */
template <bool zeros> struct mixed_int4 {
  static constexpr int outputs_a_row = 16, n_boxes = 1, box_cols = 128;
  static constexpr int part_bytes = 4 * 512, part_scale_bytes = 4 * 32;
  static constexpr bool has_groups = true, has_zero = zeros;
  static constexpr bool is_half = false, scaled = false;
  static constexpr float unit = code_unit;

  struct fragments {
    uint32_t words[4]; /* one for each 16 inputs */
    int4_scales<zeros> scales;

    __device__ __forceinline__ void begin(const mixed_scales &, int) {
    }

    /* `part` counts the block's parts, of which there are n_parts. */
    __device__ __forceinline__ void load(uint32_t stage, int n_parts, int part, int warp,
                                         int lane) {
      load_four(stage + part * part_bytes + warp * 512 + lane * 16, words);
      uint32_t side =
          stage + n_parts * part_bytes + part * part_scale_bytes + warp * 32 + lane / 4 * 4;
      scales.set(load_word(side), zeros ? load_word(side + n_parts * part_scale_bytes) : 0);
    }

    /* Weights of inputs 16 s to 16 s + 15. */
    __device__ __forceinline__ void make(int s, uint32_t (&a)[4]) const {
      scales.fragment(words[s], a);
    }
  };
};

/* Formats without groups: rows of 64 bytes, so that eight lanes read two at a time. */
struct mixed_plain {
  static constexpr int outputs_a_row = 1, row_bytes = 64, part_scale_bytes = 0;
  static constexpr bool has_groups = false, has_zero = false;

  __device__ __forceinline__ static uint32_t row(uint32_t box, int part, int warp, int lane) {
    return box + (64 * part + 16 * warp + lane / 4) * row_bytes + lane % 4 * 16;
  }
};

/* A byte a weight: lane t has inputs 16 t to 16 t + 15. */
struct mixed_bytes : mixed_plain {
  static constexpr int n_boxes = 1, box_cols = 64, part_bytes = 64 * row_bytes;

  struct fragments {
    uint32_t low[4], high[4];

    __device__ __forceinline__ void load(uint32_t stage, int, int part, int warp, int lane) {
      uint32_t at = row(stage, part, warp, lane);
      load_four(at, low);
      load_four(at + 8 * row_bytes, high);
    }
  };
};

/* Int8 with a scale for each output. */
struct mixed_int8 : mixed_bytes {
  static constexpr bool is_half = false, scaled = false;
  static constexpr float unit = code_unit;

  struct fragments : mixed_bytes::fragments {
    int8_scale scales[2];

    __device__ __forceinline__ void begin(const mixed_scales &of, int output) {
#pragma unroll
      for (int h = 0; h < 2; h++)
        scales[h] = int8_scale(as_word(__bfloat162bfloat162(of.at(output + 8 * h))));
    }

    __device__ __forceinline__ void make(int s, uint32_t (&a)[4]) const {
      uint32_t first = turn_signs(low[s]), second = turn_signs(high[s]);
      a[0] = scales[0].weights(first, 0);
      a[1] = scales[1].weights(second, 0);
      a[2] = scales[0].weights(first, 1);
      a[3] = scales[1].weights(second, 1);
    }
  };
};

/* E4M3 for codes of E4M3, both as f16. */
struct mixed_fp8 : mixed_bytes {
  static constexpr bool is_half = true, scaled = true;
  static constexpr float unit = 1;

  struct fragments : mixed_bytes::fragments {
    __device__ __forceinline__ void begin(const mixed_scales &, int) {
    }

    __device__ __forceinline__ static uint32_t widened(uint32_t codes) {
      __nv_fp8x2_storage_t two = static_cast<__nv_fp8x2_storage_t>(codes);
      return as_word(__nv_cvt_fp8x2_to_halfraw2(two, __NV_E4M3));
    }

    __device__ __forceinline__ void make(int s, uint32_t (&a)[4]) const {
      a[0] = widened(low[s]);
      a[1] = widened(high[s]);
      a[2] = widened(low[s] >> 16);
      a[3] = widened(high[s] >> 16);
    }
  };
};

/* Bf16, in two boxes of 32 inputs: lane t has inputs 8 t to 8 t + 7 of each. They are
   loaded no sooner than they are made: ptxas takes a copy for the same register, and
   then loads the next stage's words into operands that products still read. */
struct mixed_dense : mixed_plain {
  static constexpr int n_boxes = 2, box_cols = 32, part_bytes = 2 * 64 * row_bytes;
  static constexpr bool is_half = false, scaled = false;
  static constexpr float unit = 1;

  struct fragments {
    uint32_t at, box_bytes;
    uint32_t low[4], high[4]; /* of one box */

    __device__ __forceinline__ void begin(const mixed_scales &, int) {
    }

    __device__ __forceinline__ void load(uint32_t stage, int n_parts, int part, int warp,
                                         int lane) {
      at = row(stage, part, warp, lane);
      box_bytes = n_parts * (part_bytes / 2);
    }

    __device__ __forceinline__ void make(int s, uint32_t (&a)[4]) {
      if (s % 2 == 0) {
        uint32_t of_box = at + s / 2 * box_bytes;
        load_four(of_box, low);
        load_four(of_box + 8 * row_bytes, high);
      }
      a[0] = low[s % 2 * 2];
      a[1] = high[s % 2 * 2];
      a[2] = low[s % 2 * 2 + 1];
      a[3] = high[s % 2 * 2 + 1];
    }
  };
};

#endif
