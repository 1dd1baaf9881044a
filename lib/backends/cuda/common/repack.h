/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 weights from the checkpoint's layout to CUDA_LAYOUT_TILED.

   A tile is 16 outputs by 64 inputs in 512 bytes; tiles are [n_out / 16]
   [n_in / 64]. Lane l of a warp (g = l / 4, t = l % 4) owns the 16 bytes at
   16 l: four words, word s for inputs 16 s .. 16 s + 15, which are the four
   registers of operand A of mma.m16n8k16:

     bits  31..28 27..24 23..20 19..16 15..12 11..8  7..4   3..0
     row   g + 8  g      g + 8  g      g + 8  g      g + 8  g
     input +9     +9     +1     +1     +8     +8     +0     +0    from 16 s + 2 t

   Scales and zero points: [n_out / 16][n_groups][8][2], rows g and g + 8 of a
   tile adjacent. A zero point is stored as bf16 136 + zero. */
#ifndef LLQ_CUDA_REPACK_H
#define LLQ_CUDA_REPACK_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All pointers are to device memory; `from` and `to` are as large and distinct.
   n_out is a multiple of 16, n_in of 64. */
cudaError_t cuda_repack_int4(cudaStream_t stream, const void *from, int64_t n_out, int64_t n_in,
                             void *to);
/* Scales of 2 bytes. */
cudaError_t cuda_repack_scales(cudaStream_t stream, const void *from, int64_t n_out,
                               int64_t n_groups, void *to);
/* From int8 to bf16: `to` is twice as large. */
cudaError_t cuda_repack_zeros(cudaStream_t stream, const int8_t *from, int64_t n_out,
                              int64_t n_groups, void *to);

#ifdef __cplusplus
}
#endif

#endif
