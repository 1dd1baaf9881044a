/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the bf16 matrix that they stand for, for products that take no
   other: each is rounded to the type of its scale, bf16. */
#ifndef LLQ_CUDA_COMMON_DEQUANTIZE_H
#define LLQ_CUDA_COMMON_DEQUANTIZE_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1 for int4 TILED, and for PLAIN int8 and E4M3 whose groups are a multiple of
   16; bf16 scales. */
int common_dequantize_takes(const struct cuda_linear *linear);

/* out: bf16 [n_outs, n_in], the outputs from first_out on. Both numbers of
   outputs are multiples of 16 if TILED. */
cudaError_t common_dequantize(const struct cuda_launch *launch, const struct cuda_linear *linear,
                              int64_t first_out, int64_t n_outs, void *out);

#ifdef __cplusplus
}
#endif

#endif
