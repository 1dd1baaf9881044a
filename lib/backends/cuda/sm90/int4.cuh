/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 weights in TILED layout, from shared memory to the A fragments of wgmma.
   A block's stage holds, for each part of 64 outputs: 4 tiles of 512 bytes (one a
   warp) of 64 inputs; their scales, 32 bytes a tile; their zero points alike. */
#ifndef LLQ_CUDA_INT4_CUH
#define LLQ_CUDA_INT4_CUH

#include <cuda_bf16.h>
#include <stdint.h>

#include "backends/cuda/common/codes.cuh"
#include "backends/cuda/common/instructions.cuh"

constexpr int part_bytes = 4 * 512;
constexpr int part_scale_bytes = 4 * 32;

constexpr __host__ __device__ int int4_stage_bytes(int n_parts) {
  return n_parts * (part_bytes + 2 * part_scale_bytes);
}

__device__ __forceinline__ uint32_t load_word(uint32_t address) {
  uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(address));
  return word;
}

/* One lane's share of 64 outputs by 64 inputs: rows g and g + 8 of its warp's
   tile. */
template <bool has_zero> struct int4_fragments {
  uint32_t words[4]; /* one for each 16 inputs */
  int4_scales<has_zero> scales;

  /* `part` counts the block's parts, of which there are n_parts. */
  __device__ __forceinline__ void load(uint32_t stage, int n_parts, int part, int warp, int lane) {
    uint32_t tile = stage + part * part_bytes + warp * 512 + lane * 16;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(tile));
    uint32_t side =
        stage + n_parts * part_bytes + part * part_scale_bytes + warp * 32 + lane / 4 * 4;
    scales.set(load_word(side), has_zero ? load_word(side + n_parts * part_scale_bytes) : 0);
  }

  /* Weights of inputs 16 s to 16 s + 15. */
  __device__ __forceinline__ void make(int s, uint32_t (&a)[4]) const {
    scales.fragment(words[s], a);
  }
};

#endif
