/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of few rows, for sm_80: see common/stream.cuh. A row's result depends
   neither on the other rows nor on their number, bit by bit, and is that of the
   other table. Any number of rows is taken, in pieces that read the weights once
   each: fast up to 32 rows.

   Formats, with bf16 scales: int4 (CUDA_LAYOUT_TILED), int8 with bf16
   activations, int8 with int8, FP8 with FP8, dense bf16 (all CUDA_LAYOUT_PLAIN);
   n_out a multiple of 16 (32 with swiglu), n_in and the group size of 64; no
   group_index. */
#ifndef LLQ_CUDA_SM80_STREAM_H
#define LLQ_CUDA_SM80_STREAM_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

int sm80_stream_takes(const struct cuda_product *product);
/* Bytes of launch->scratch that a call can use; with less it is slower, and
   right. */
size_t sm80_stream_scratch(const struct cuda_product *product, int n_units);
cudaError_t sm80_stream(const struct cuda_launch *launch, const struct cuda_product *product);

/* The norm of such a product alone, with the same sums: x normalized to `out`. */
cudaError_t sm80_stream_norm(const struct cuda_launch *launch, const struct cuda_product *product,
                             void *out);

#ifdef __cplusplus
}
#endif

#endif
