/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 weights in TILED layout, from shared memory to the A fragments of wgmma.
   A block's stage holds, for each part of 64 outputs: 4 tiles of 512 bytes (one a
   warp) of 64 inputs; their scales, 32 bytes a tile; their zero points alike. */
#ifndef LLQ_CUDA_INT4_CUH
#define LLQ_CUDA_INT4_CUH

#include <cuda_bf16.h>
#include <stdint.h>

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

__device__ __forceinline__ __nv_bfloat162 as_pair(uint32_t word) {
  return *reinterpret_cast<__nv_bfloat162 *>(&word);
}

/* One lane's share of 64 outputs by 64 inputs: rows g and g + 8 of its warp's
   tile. */
struct int4_fragments {
  uint32_t words[4];       /* one for each 16 inputs */
  __nv_bfloat162 scale[2]; /* of row g, of row g + 8, in both halves */
  __nv_bfloat162 offset[2];

  /* `part` counts the block's parts, of which there are n_parts. */
  __device__ __forceinline__ void load(uint32_t stage, int n_parts, int part, int warp, int lane,
                                       bool has_zero) {
    uint32_t tile = stage + part * part_bytes + warp * 512 + lane * 16;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(tile));
    uint32_t scales =
        stage + n_parts * part_bytes + part * part_scale_bytes + warp * 32 + lane / 4 * 4;
    uint32_t pair = load_word(scales);
    scale[0] = as_pair(__byte_perm(pair, 0, 0x1010));
    scale[1] = as_pair(__byte_perm(pair, 0, 0x3232));
    pair = has_zero ? load_word(scales + n_parts * part_scale_bytes) : 0x43084308; /* 136 */
    offset[0] = as_pair(__byte_perm(pair, 0, 0x1010));
    offset[1] = as_pair(__byte_perm(pair, 0, 0x3232));
  }

  /* Weights of inputs 16 s to 16 s + 15 in bf16: nibbles become 128 + q + 8 by
     their bits, the difference is exact, and the product is rounded once. */
  __device__ __forceinline__ void make(int s, uint32_t (&a)[4]) const {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      uint32_t bits = and_or<0x000f000f, 0x43004300>(words[s] >> 4 * j);
      __nv_bfloat162 w = __hmul2(__hsub2(as_pair(bits), offset[j & 1]), scale[j & 1]);
      a[j] = *reinterpret_cast<uint32_t *>(&w);
    }
  }
};

#endif
