/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LLQ_CUDA_RATES_H
#define LLQ_CUDA_RATES_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads all of `from`; may write 4 bytes to `to`. */
cudaError_t common_read_all(cudaStream_t stream, int n_units, const void *from, size_t n_bytes,
                            void *to);

#ifdef __cplusplus
}
#endif

#endif
