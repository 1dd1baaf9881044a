/* SPDX-License-Identifier: Apache-2.0 */
/* Which group of scales a block of 64 inputs belongs to: block / group_blocks, as the
   high half of a product, for kernels that ask at each block. */
#ifndef LLQ_CUDA_GROUPS_CUH
#define LLQ_CUDA_GROUPS_CUH

#include <stdint.h>

inline uint32_t group_factor_of(int64_t group_blocks) {
  return static_cast<uint32_t>((0x80000000 + group_blocks - 1) / group_blocks);
}

__device__ __forceinline__ int group_at(int block, uint32_t group_factor) {
  return static_cast<int>(__umulhi(2 * block, group_factor));
}

#endif
