/* SPDX-License-Identifier: Apache-2.0 */
/* Eight bf16 values as 16 bytes, and the roundings of the fused operations. */
#ifndef LLQ_CUDA_VECTOR_CUH
#define LLQ_CUDA_VECTOR_CUH

#include <cuda_bf16.h>
#include <stdint.h>

constexpr int vector_size = 8;

__device__ __forceinline__ float low_half(uint32_t pair) {
  return __uint_as_float(pair << 16);
}
__device__ __forceinline__ float high_half(uint32_t pair) {
  return __uint_as_float(pair & 0xffff0000u);
}

__device__ __forceinline__ __nv_bfloat162 as_bf16(uint32_t x) {
  return *reinterpret_cast<__nv_bfloat162 *>(&x);
}

template <class T> __device__ __forceinline__ uint32_t as_word(T x) {
  return *reinterpret_cast<uint32_t *>(&x);
}

/* Both rounded to bf16; a in the low half. */
__device__ __forceinline__ uint32_t pair_of(float a, float b) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
  return *reinterpret_cast<uint32_t *>(&pair);
}

__device__ __forceinline__ float rounded(float x) {
  return __bfloat162float(__float2bfloat16_rn(x));
}

__device__ __forceinline__ void unpack(const uint4 &packed, float (&v)[vector_size]) {
  const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    v[2 * i] = low_half(words[i]);
    v[2 * i + 1] = high_half(words[i]);
  }
}

__device__ __forceinline__ uint4 packed(const float (&v)[vector_size]) {
  return make_uint4(pair_of(v[0], v[1]), pair_of(v[2], v[3]), pair_of(v[4], v[5]),
                    pair_of(v[6], v[7]));
}

/* gate and up are bf16 values; the result is not rounded yet. */
__device__ __forceinline__ float gated(float gate, float up) {
  return gate / (1.0f + expf(-gate)) * up;
}

#endif
