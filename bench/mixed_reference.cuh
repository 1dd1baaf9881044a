/* SPDX-License-Identifier: Apache-2.0 */
/* Random int4 linears in TILED layout and their products in the plainest way. */
#ifndef LLQ_MIXED_REFERENCE_CUH
#define LLQ_MIXED_REFERENCE_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/cuda/kernels.h"

static void check(cudaError_t error, const char *what) {
  if (error == cudaSuccess)
    return;
  printf("%s: %s\n", what, cudaGetErrorString(error));
  exit(1);
}

__device__ uint32_t mixed_bits(uint64_t i, uint32_t seed) {
  uint64_t z = i * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull + 1;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>(z >> 32);
}

__global__ void fill_words(uint32_t *p, int64_t n, uint32_t seed) {
  int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < n; i += step)
    p[i] = mixed_bits(i, seed);
}

/* Roughly normal numbers, times `scale`, plus `shift`. */
__global__ void fill_numbers(__nv_bfloat16 *p, int64_t n, float scale, float shift, uint32_t seed) {
  int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < n; i += step) {
    uint32_t bits = mixed_bits(i, seed);
    int sum = 0;
    for (int k = 0; k < 4; k++)
      sum += static_cast<int>(bits >> 8 * k & 255) - 128;
    p[i] = __float2bfloat16(shift + scale * static_cast<float>(sum) / 148.0f);
  }
}

/* Zero points -8 to 7 as 136 + zero. */
__global__ void fill_zeros(__nv_bfloat16 *p, int64_t n, uint32_t seed) {
  int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i < n)
    p[i] = __float2bfloat16(static_cast<float>(128 + mixed_bits(i, seed) % 16));
}

/* W[o, i] of a linear in TILED layout. */
__global__ void expand(cuda_linear w, __nv_bfloat16 *dense) {
  int64_t at = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (at >= w.n_out * w.n_in)
    return;
  int64_t o = at / w.n_in, i = at % w.n_in;
  int64_t tile = o / 16 * (w.n_in / 64) + i / 64;
  int row = static_cast<int>(o % 16), k = static_cast<int>(i % 16);
  int lane = row % 8 * 4 + k % 8 / 2, j = row / 8 + k / 8 * 2;
  uint32_t word = static_cast<const uint32_t *>(w.data)[tile * 128 + lane * 4 + i % 64 / 16];
  int code = static_cast<int>(word >> (4 * j + 16 * (k % 2)) & 15);
  int64_t group = w.group_size > 0 ? i / w.group_size : 0;
  int64_t scale = ((o / 16 * w.n_groups + group) * 8 + row % 8) * 2 + row / 8;
  const void *zeros = w.zero;
  float zero = w.zero == nullptr
                   ? 136.0f
                   : __bfloat162float(static_cast<const __nv_bfloat16 *>(zeros)[scale]);
  float s = __bfloat162float(static_cast<const __nv_bfloat16 *>(w.scale)[scale]);
  dense[at] = __float2bfloat16((static_cast<float>(128 + code) - zero) * s);
}

__device__ float dot(const __nv_bfloat16 *w, const __nv_bfloat16 *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++)
    sum +=
        static_cast<double>(__bfloat162float(w[i])) * static_cast<double>(__bfloat162float(x[i]));
  return static_cast<float>(sum);
}

__device__ float to_bf16(float x) {
  return __bfloat162float(__float2bfloat16(x));
}

__global__ void plain_product(cuda_product p, const __nv_bfloat16 *dense, float *out) {
  int64_t n_in = p.linear->n_in, n_out = p.swiglu ? p.linear->n_out / 2 : p.linear->n_out;
  int64_t at = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (at >= p.n_rows * n_out)
    return;
  const __nv_bfloat16 *x = static_cast<const __nv_bfloat16 *>(p.x) + at / n_out * n_in;
  int64_t o = at % n_out;
  float y = dot(dense + o * n_in, x, n_in);
  if (p.swiglu) {
    float gate = to_bf16(y), up = to_bf16(dot(dense + (n_out + o) * n_in, x, n_in));
    y = gate / (1 + expf(-gate)) * up;
  }
  if (p.residual != nullptr)
    y = __bfloat162float(static_cast<const __nv_bfloat16 *>(p.residual)[at]) + to_bf16(y);
  out[at] = p.out_dtype == LLQ_F32 ? y : to_bf16(y);
}

__global__ void poison_row(__nv_bfloat16 *x, int64_t row, int64_t n_in) {
  x[row * n_in + n_in / 2] = __float2bfloat16(NAN);
}

/* The largest difference, relative to what was added; NaN must meet NaN. Bf16 has 8
   bits, and gate, up and product are rounded. */
__global__ void compare(const float *expected, const __nv_bfloat16 *residual, const void *got,
                        int is_f32, int64_t n, float *worst, int *n_wrong) {
  int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= n)
    return;
  float y = is_f32 ? static_cast<const float *>(got)[i]
                   : __bfloat162float(static_cast<const __nv_bfloat16 *>(got)[i]);
  float e = expected[i];
  float size = 0.5f + fabsf(e) + (residual != nullptr ? fabsf(__bfloat162float(residual[i])) : 0);
  float difference = fabsf(y - e) / size;
  if (isnan(y) != isnan(e) || difference > (is_f32 ? 1e-4f : 1.0f / 64))
    atomicAdd(n_wrong, 1);
  else if (!isnan(e))
    atomicMax(reinterpret_cast<int *>(worst), __float_as_int(difference));
}

static unsigned blocks(int64_t n) {
  return static_cast<unsigned>((n + 255) / 256);
}

template <typename T> static T *device_memory(int64_t n) {
  void *p = nullptr;
  check(cudaMalloc(&p, static_cast<size_t>(n) * sizeof(T)), "cudaMalloc");
  return static_cast<T *>(p);
}

static cuda_linear make_linear(int64_t n_out, int64_t n_in, int64_t group_size, bool has_zero,
                               uint32_t seed) {
  cuda_linear w = {};
  w.format = LLQ_WEIGHT_INT4;
  w.layout = CUDA_LAYOUT_TILED;
  w.dtype = LLQ_BF16;
  w.n_out = n_out;
  w.n_in = n_in;
  w.group_size = group_size;
  w.n_groups = group_size > 0 ? n_in / group_size : 1;
  int64_t n_scales = n_out * w.n_groups;
  w.data = device_memory<uint32_t>(n_out * n_in / 8);
  auto *scale = device_memory<__nv_bfloat16>(n_scales);
  fill_words<<<1024, 256>>>(static_cast<uint32_t *>(w.data), n_out * n_in / 8, seed);
  fill_numbers<<<256, 256>>>(scale, n_scales, 0.001f, 0.006f, seed + 1);
  w.scale = scale;
  if (has_zero) {
    auto *zero = device_memory<__nv_bfloat16>(n_scales);
    fill_zeros<<<blocks(n_scales), 256>>>(zero, n_scales, seed + 2);
    w.zero = reinterpret_cast<int8_t *>(zero);
  }
  return w;
}

static void free_linear(const cuda_linear &w) {
  cudaFree(w.data);
  cudaFree(w.scale);
  cudaFree(w.zero);
}

#endif
