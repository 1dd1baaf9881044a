/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LLQ_CUDA_ORDER_H
#define LLQ_CUDA_ORDER_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Int4 codes as in llq_weight, [n_out, n_in / 8]: input i of `to` is input
   order[i] of `from`. */
cudaError_t common_order_codes(cudaStream_t stream, const void *from, int64_t n_out, int64_t n_in,
                               const int32_t *order, void *to);

/* to[r, i] = x[r, order[i]], bf16 */
cudaError_t common_order_inputs(cudaStream_t stream, const void *x, int64_t n_rows, int64_t n_in,
                                const int32_t *order, void *to);

#ifdef __cplusplus
}
#endif

#endif
