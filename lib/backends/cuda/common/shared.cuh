/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory by the 32 bits that PTX takes for its addresses. */
#ifndef LLQ_CUDA_SHARED_CUH
#define LLQ_CUDA_SHARED_CUH

#include <stdint.h>

__device__ __forceinline__ uint32_t shared_address(const void *p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

#endif
