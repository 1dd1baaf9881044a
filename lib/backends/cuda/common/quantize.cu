/* SPDX-License-Identifier: Apache-2.0 */
/* Rows between two products. One block a row, which it holds in registers:
   every value is read once and written once. A thread has `vectors` times eight
   values; there are as few of them a thread as 512 threads allow, because with
   few rows it is the length of a thread's work that takes the time. */
#include <cuda_fp8.h>

#include "backends/cuda/any/number.cuh"
#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/common/quantize.h"
#include "backends/cuda/common/vector.cuh"

constexpr int threads_aimed_at = 512;
constexpr int vectors_max = 16;

static int is_aligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

/* f over the block in a fixed order, the same in every thread. */
template <typename F> __device__ float block_reduce(float x, float identity, F f) {
  __shared__ float partial[32];
  for (int distance = 16; distance > 0; distance /= 2)
    x = f(x, __shfl_xor_sync(~0u, x, distance));
  __syncthreads(); /* partial may still be read from the last time */
  if (threadIdx.x % 32 == 0)
    partial[threadIdx.x / 32] = x;
  __syncthreads();
  x = threadIdx.x % 32 < blockDim.x / 32 ? partial[threadIdx.x % 32] : identity;
  for (int distance = 16; distance > 0; distance /= 2)
    x = f(x, __shfl_xor_sync(~0u, x, distance));
  return x;
}

__device__ float block_sum(float x) {
  return block_reduce(x, 0.0f, [](float a, float b) { return a + b; });
}

__device__ float block_max(float x) {
  return block_reduce(x, 0.0f, [](float a, float b) { return fmaxf(a, b); });
}

/* x / scale, correctly rounded. Where neither the reciprocal nor the remainder
   leaves the normal range, one Newton step on the quotient gives the same bits
   as the division, for a third of its instructions. Quotients below 2^-11, whose
   remainder may leave it, all become the code 0. */
struct divisor {
  float scale, reciprocal;
  bool is_plain;

  __device__ explicit divisor(float value) : scale(value), reciprocal(1.0f / value) {
    is_plain = value > 0x1p-88f && value < 0x1p122f;
  }
  __device__ float divide(float x) const {
    if (!is_plain)
      return x / scale;
    float quotient = x * reciprocal;
    return fmaf(fmaf(-quotient, scale, x), reciprocal, quotient);
  }
};

/* A code and the three that follow it in one word. */
__device__ uint32_t int8_codes(const float *v, const divisor &scale) {
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    int code;
    asm("cvt.rni.s8.f32 %0, %1;" : "=r"(code) : "f"(scale.divide(v[i]))); /* saturates */
    word |= (static_cast<uint32_t>(code) & 0xffu) << 8 * i;
  }
  return word;
}

__device__ uint32_t e4m3_codes(const float *v, const divisor &scale) {
  float2 low = make_float2(scale.divide(v[0]), scale.divide(v[1]));
  float2 high = make_float2(scale.divide(v[2]), scale.divide(v[3]));
  return static_cast<uint32_t>(__nv_cvt_float2_to_fp8x2(low, __NV_SATFINITE, __NV_E4M3)) |
         static_cast<uint32_t>(__nv_cvt_float2_to_fp8x2(high, __NV_SATFINITE, __NV_E4M3)) << 16;
}

__device__ void codes_to_values(uint2 codes, int activation, float (&v)[vector_size]) {
  const uint32_t words[2] = {codes.x, codes.y};
#pragma unroll
  for (int i = 0; i < vector_size; i++) {
    uint8_t code = static_cast<uint8_t>(words[i / 4] >> 8 * (i % 4));
    v[i] = activation == LLQ_ACTIVATION_INT8 ? static_cast<float>(static_cast<int8_t>(code))
                                             : e4m3_to_float(code);
  }
}

/* The values of this thread's vector number i of a row, before the norm. */
__device__ void load_vector(const cuda_rows &rows, int64_t row, int at, float (&v)[vector_size]) {
  const int n_vectors = static_cast<int>(rows.n_cols / vector_size);
  const uint4 *x = static_cast<const uint4 *>(rows.x);
  if (rows.swiglu) {
    float up[vector_size];
    unpack(x[row * 2 * n_vectors + at], v);
    unpack(x[row * 2 * n_vectors + n_vectors + at], up);
#pragma unroll
    for (int j = 0; j < vector_size; j++)
      v[j] = rounded(gated(v[j], up[j]));
  } else {
    unpack(x[row * n_vectors + at], v);
  }
  if (rows.y != nullptr) {
    float y[vector_size];
    unpack(static_cast<const uint4 *>(rows.y)[row * n_vectors + at], y);
#pragma unroll
    for (int j = 0; j < vector_size; j++)
      v[j] = rounded(v[j] + y[j]);
  }
  if (rows.sum != nullptr)
    static_cast<uint4 *>(rows.sum)[row * n_vectors + at] = packed(v);
}

template <int vectors>
__device__ void normalize(const cuda_rows &rows, const uint4 (&weights)[vectors],
                          float (&v)[vectors][vector_size]) {
  float squares = 0;
#pragma unroll
  for (int i = 0; i < vectors; i++)
#pragma unroll
    for (int j = 0; j < vector_size; j++)
      squares += v[i][j] * v[i][j];
  float mean = block_sum(squares) / static_cast<float>(rows.n_cols);
  float factor = 1.0f / sqrtf(mean + rows.eps);
#pragma unroll
  for (int i = 0; i < vectors; i++) {
    float weight[vector_size];
    unpack(weights[i], weight);
#pragma unroll
    for (int j = 0; j < vector_size; j++)
      v[i][j] = rounded(rounded(v[i][j] * factor) * weight[j]);
  }
}

/* NaN for a row with a NaN or an infinity, 1 for a row of zeros. */
template <int vectors>
__device__ float scale_of(const float (&v)[vectors][vector_size], float largest) {
  float peak = 0, bad = 0;
#pragma unroll
  for (int i = 0; i < vectors; i++)
#pragma unroll
    for (int j = 0; j < vector_size; j++) {
      peak = fmaxf(peak, fabsf(v[i][j]));
      bad += v[i][j] - v[i][j]; /* 0, or NaN */
    }
  /* fmaxf() drops a NaN: as infinity, one reaches the result of the block. */
  peak = block_max(bad == 0 ? peak : INFINITY);
  float scale = (peak + (peak - peak)) / largest;
  return scale == 0 ? 1.0f : scale;
}

__device__ void store_codes(const cuda_rows &rows, int64_t at, const float (&v)[vector_size],
                            const divisor &scale) {
  uint2 codes = rows.activation == LLQ_ACTIVATION_INT8
                    ? make_uint2(int8_codes(v, scale), int8_codes(v + 4, scale))
                    : make_uint2(e4m3_codes(v, scale), e4m3_codes(v + 4, scale));
  if (!rows.codes_as_bf16) {
    static_cast<uint2 *>(rows.out)[at] = codes;
    return;
  }
  float values[vector_size];
  codes_to_values(codes, rows.activation, values);
  static_cast<uint4 *>(rows.out)[at] = packed(values);
}

/* Up to so many rows leave multiprocessors to the next kernel, which may start at
   once; with more, rows would wait for its blocks. */
constexpr int rows_beside = 128;

template <int vectors>
__global__ void __launch_bounds__(1024) transform_rows(const __grid_constant__ cuda_rows rows) {
  const int n_vectors = static_cast<int>(rows.n_cols / vector_size);
  const int64_t row = blockIdx.x;
  uint4 weights[vectors] = {};
  float v[vectors][vector_size] = {};
  if (gridDim.x <= rows_beside)
    dependency_release();
  if (rows.norm != nullptr)
#pragma unroll
    for (int i = 0; i < vectors; i++)
      if (int at = i * blockDim.x + threadIdx.x; at < n_vectors)
        weights[i] = __ldg(static_cast<const uint4 *>(rows.norm) + at);
  dependency_wait();
#pragma unroll
  for (int i = 0; i < vectors; i++)
    if (int at = i * blockDim.x + threadIdx.x; at < n_vectors)
      load_vector(rows, row, at, v[i]);
  if (gridDim.x > rows_beside)
    dependency_release();
  if (rows.norm != nullptr)
    normalize(rows, weights, v);
  if (rows.out == nullptr)
    return;
  bool is_quantized = rows.activation != LLQ_ACTIVATION_NONE;
  divisor scale(is_quantized ? scale_of(v, rows.activation == LLQ_ACTIVATION_INT8 ? 127.5f : 448.0f)
                             : 1.0f);
  if (is_quantized && threadIdx.x == 0)
    rows.row_scale[row] = scale.scale;
#pragma unroll
  for (int i = 0; i < vectors; i++)
    if (int at = i * blockDim.x + threadIdx.x; at < n_vectors) {
      if (is_quantized)
        store_codes(rows, row * n_vectors + at, v[i], scale);
      else
        static_cast<uint4 *>(rows.out)[row * n_vectors + at] = packed(v[i]);
    }
}

int common_rows_takes(const cuda_rows *rows) {
  return rows->n_cols % vector_size == 0 &&
         rows->n_cols <= static_cast<int64_t>(vectors_max) * vector_size * threads_aimed_at &&
         is_aligned(rows->x) && is_aligned(rows->y) && is_aligned(rows->sum) &&
         is_aligned(rows->norm) && is_aligned(rows->out);
}

template <int vectors>
static cudaError_t launch_rows(const cuda_launch *launch, const cuda_rows *rows) {
  int64_t n_vectors = rows->n_cols / vector_size;
  int64_t n_threads = (n_vectors + vectors - 1) / vectors;
  return launch_kernel(launch, transform_rows<vectors>, static_cast<unsigned>(rows->n_rows),
                       static_cast<unsigned>((n_threads + 31) / 32 * 32), 0, *rows);
}

cudaError_t common_rows(const cuda_launch *launch, const cuda_rows *rows) {
  int64_t n = (rows->n_cols / vector_size + threads_aimed_at - 1) / threads_aimed_at;
  /* Many rows fill the device with fewer threads each, which load more at once. */
  bool is_many = rows->n_rows >= 8 * static_cast<int64_t>(launch->n_units);
  if (rows->any_order && is_many && n < 4 && rows->n_cols >= 1024)
    n = 4;
  if (rows->n_rows == 0)
    return cudaSuccess;
  return n <= 1   ? launch_rows<1>(launch, rows)
         : n <= 2 ? launch_rows<2>(launch, rows)
         : n <= 4 ? launch_rows<4>(launch, rows)
         : n <= 8 ? launch_rows<8>(launch, rows)
                  : launch_rows<16>(launch, rows);
}
