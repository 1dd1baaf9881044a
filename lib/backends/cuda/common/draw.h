/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LLQ_CUDA_DRAW_H
#define LLQ_CUDA_DRAW_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Draws a token from each row of logits [n_rows, n]; `draws` says how, and in
   `drawn`, which may be the same or pinned memory of the host, the results are
   filled in. Scratch: as the first function says. */
size_t common_draw_scratch(int n_rows, int n, int has_temperature);
cudaError_t common_draw(const struct cuda_launch *launch, const float *logits, int n_rows, int n,
                        const llq_draw *draws, llq_draw *drawn);

#ifdef __cplusplus
}
#endif

#endif
