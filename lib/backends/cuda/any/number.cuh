/* SPDX-License-Identifier: Apache-2.0 */
/* Number types in kernels: loads to float, stores with one rounding. */
#ifndef LLQ_CUDA_NUMBER_CUH
#define LLQ_CUDA_NUMBER_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <llq/backend.h>
#include <stdint.h>

__device__ inline float load(const float *p, int64_t i) {
  return p[i];
}
__device__ inline float load(const __half *p, int64_t i) {
  return __half2float(p[i]);
}
__device__ inline float load(const __nv_bfloat16 *p, int64_t i) {
  return __bfloat162float(p[i]);
}

/* A value of a type known only at run time. */
__device__ inline float load_any(const void *p, int dtype, int64_t i) {
  switch (dtype) {
  case LLQ_F32:
    return static_cast<const float *>(p)[i];
  case LLQ_F16:
    return load(static_cast<const __half *>(p), i);
  default:
    return load(static_cast<const __nv_bfloat16 *>(p), i);
  }
}

__device__ inline void store(float *p, int64_t i, float x) {
  p[i] = x;
}
__device__ inline void store(__half *p, int64_t i, float x) {
  p[i] = __float2half_rn(x);
}
__device__ inline void store(__nv_bfloat16 *p, int64_t i, float x) {
  p[i] = __float2bfloat16_rn(x);
}

__device__ inline void store_any(void *p, int dtype, int64_t i, float x) {
  switch (dtype) {
  case LLQ_F32:
    return store(static_cast<float *>(p), i, x);
  case LLQ_F16:
    return store(static_cast<__half *>(p), i, x);
  default:
    return store(static_cast<__nv_bfloat16 *>(p), i, x);
  }
}

/* x rounded to a type and back. */
__device__ inline float round_to(int dtype, float x) {
  switch (dtype) {
  case LLQ_F32:
    return x;
  case LLQ_F16:
    return __half2float(__float2half_rn(x));
  default:
    return __bfloat162float(__float2bfloat16_rn(x));
  }
}

__device__ inline float e4m3_to_float(uint8_t x) {
  __nv_fp8_e4m3 value;
  value.__x = x;
  return static_cast<float>(value);
}

/* Rounds to the nearest E4M3 value, saturating at 448. */
__device__ inline float round_to_e4m3(float x) {
  return static_cast<float>(__nv_fp8_e4m3(x));
}

/* A number of a KV cache; codes are multiplied by their scale. */
__device__ inline float load_cached(const void *p, int dtype, float scale, int64_t i) {
  switch (dtype) {
  case LLQ_F8_E4M3:
    return e4m3_to_float(static_cast<const uint8_t *>(p)[i]) * scale;
  case LLQ_I8:
    return static_cast<float>(static_cast<const int8_t *>(p)[i]) * scale;
  default:
    return load_any(p, dtype, i);
  }
}

/* The code nearest to x / scale; that of NaN is 0. */
__device__ inline uint8_t code_of(int dtype, float scale, float x) {
  float largest = dtype == LLQ_I8 ? 127 : 448, least = dtype == LLQ_I8 ? -128 : -448;
  float clamped = x == x ? fminf(fmaxf(__fdiv_rn(x, scale), least), largest) : 0;
  return dtype == LLQ_I8 ? static_cast<uint8_t>(__float2int_rn(clamped))
                         : __nv_fp8_e4m3(clamped).__x;
}

__device__ inline void store_cached(void *p, int dtype, float scale, int64_t i, float x) {
  if (dtype == LLQ_F8_E4M3 || dtype == LLQ_I8)
    static_cast<uint8_t *>(p)[i] = code_of(dtype, scale, x);
  else
    store_any(p, dtype, i, x);
}

/* The same sum in every lane of a warp, in a fixed order. */
__device__ inline float warp_sum(float x) {
  for (int distance = 16; distance > 0; distance /= 2)
    x += __shfl_xor_sync(~0u, x, distance);
  return x;
}

__device__ inline float warp_max(float x) {
  for (int distance = 16; distance > 0; distance /= 2)
    x = fmaxf(x, __shfl_xor_sync(~0u, x, distance));
  return x;
}

#endif
