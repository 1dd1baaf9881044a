/* SPDX-License-Identifier: Apache-2.0 */
/* What steps begin with: inputs of the host, and rows by their numbers. As
   kernels, so that they take part in a chain (launch.cuh) and a recorded step
   consists of kernels alone. */
#ifndef LLQ_CUDA_INPUTS_H
#define LLQ_CUDA_INPUTS_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Copies from pinned memory of the host; `size` is a multiple of 16. It waits for
   what comes before, whatever launch->overlaps is. */
cudaError_t common_fetch(const struct cuda_launch *launch, const void *from, size_t size, void *to);

/* out[r, :] = table[ids[r], :] of bf16; n_cols % 8 == 0, 16-byte aligned. */
int common_pick_takes(const void *table, int table_dtype, int64_t n_cols, const void *out,
                      int dtype);
cudaError_t common_pick(const struct cuda_launch *launch, const void *table, const int32_t *ids,
                        int64_t n_rows, int64_t n_cols, void *out);

#ifdef __cplusplus
}
#endif

#endif
