/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of x in shared memory, and what happens to them before a product:
   normalization and quantization, as the operations of their own do it.

   Rows are stored in blocks of 64 inputs, [n_in / 64][n_rows][8 chunks], a chunk
   being 8 inputs in 16 bytes (int8 codes in the first 8 of them). Chunks of a
   row are permuted so that the reads of a matrix operand fall into distinct
   banks in every order that the formats use. A thread loads, normalizes and
   quantizes the same chunks throughout: number thread + 256 i of every row. */
#ifndef LLQ_CUDA_STREAM_INPUT_CUH
#define LLQ_CUDA_STREAM_INPUT_CUH

#include <cuda_bf16.h>

#include "backends/cuda/any/number.cuh"
#include "backends/cuda/common/instructions.cuh"
#include "backends/cuda/common/vector.cuh"

enum stream_input {
  stream_bf16,  /* as they are */
  stream_codes, /* quantized to int8 */
  stream_fp8    /* quantized to E4M3, stored as f16 */
};

/* In which order a format's lanes take the 64 inputs of a block: see place_of(). */
enum stream_order { stream_in_order, stream_by_sixteens, stream_by_eights };

constexpr int stream_warps = 8, stream_threads = 32 * stream_warps;

/* Where a chunk lies within a row's 128 bytes, and that row among eight. */
__device__ __forceinline__ uint32_t input_chunk(int row, int chunk) {
  int permuted = chunk ^ (row & 1) * 5 ^ (row & 2) ^ (row >> 2 & 1);
  return 128 * row + 16 * permuted;
}

__device__ __forceinline__ void store_four(uint4 v, uint32_t *to) {
  to[0] = v.x;
  to[1] = v.y;
  to[2] = v.z;
  to[3] = v.w;
}

/* What the rows of a launch come from and go to. */
struct stream_rows_of_x {
  const __nv_bfloat16 *x; /* [n_rows, n_in] in global memory */
  int n_rows, n_in;
  char *shared;   /* 128 n_rows n_in / 64 bytes */
  float *partial; /* [n_rows, stream_warps]: the warps' results */
  float *value;   /* [n_rows]: of each row, from all warps */
};

__device__ __forceinline__ uint4 *chunk_of(const stream_rows_of_x &rows, int row, int chunk) {
  int at = (chunk / 8 * rows.n_rows + (row & ~7)) * 128 + input_chunk(row % 8, chunk % 8);
  return reinterpret_cast<uint4 *>(rows.shared + at);
}

/* Global to shared memory, eight chunks in flight. Through L2: another kernel
   has written x, maybe while this one was already running. */
__device__ __forceinline__ void load_rows(const stream_rows_of_x &rows) {
  constexpr int in_flight = 8;
  int n_chunks = rows.n_in / 8, row = 0, chunk = threadIdx.x;
  const uint4 *x = reinterpret_cast<const uint4 *>(rows.x);
  while (chunk < n_chunks) {
    uint4 v[in_flight];
    int first_row = row, first_chunk = chunk;
#pragma unroll
    for (int pass = 0; pass < 2; pass++) {
      row = first_row;
      chunk = first_chunk;
#pragma unroll
      for (int i = 0; i < in_flight; i++) {
        if (chunk < n_chunks) {
          if (pass == 0)
            v[i] = __ldcg(x + static_cast<int64_t>(row) * n_chunks + chunk);
          else
            *chunk_of(rows, row, chunk) = v[i];
        }
        if (++row == rows.n_rows) {
          row = 0;
          chunk += stream_threads;
        }
      }
    }
  }
}

/* One warp a row turns what the warps have left, and calls finish(row, result)
   in its first lane. Same order whatever the number of rows. */
template <class Reduce, class Finish>
__device__ __forceinline__ void gather_partial(const stream_rows_of_x &rows, Reduce reduce,
                                               Finish finish) {
  __syncthreads();
  int lane = threadIdx.x % 32;
  for (int row = threadIdx.x / 32; row < rows.n_rows; row += stream_warps) {
    float result = reduce(lane < stream_warps ? rows.partial[row * stream_warps + lane] : 0.0f);
    if (lane == 0)
      rows.value[row] = finish(result);
  }
  __syncthreads();
}

__device__ __forceinline__ void add_squares(float &squares, uint4 chunk) {
  uint32_t x[4];
  store_four(chunk, x);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    squares += low_half(x[i]) * low_half(x[i]);
    squares += high_half(x[i]) * high_half(x[i]);
  }
}

__device__ __forceinline__ void sum_squares(const stream_rows_of_x &rows) {
  for (int row = 0; row < rows.n_rows; row++) {
    float squares = 0;
#pragma unroll 1
    for (int chunk = threadIdx.x; chunk < rows.n_in / 8; chunk += stream_threads)
      add_squares(squares, *chunk_of(rows, row, chunk));
    squares = warp_sum(squares);
    if (threadIdx.x % 32 == 0)
      rows.partial[row * stream_warps + threadIdx.x / 32] = squares;
  }
}

__device__ __forceinline__ float norm_factor(float squares, int n_in, float eps) {
  return 1.0f / sqrtf(squares / static_cast<float>(n_in) + eps);
}

/* x times the factor rounded, times the weight, rounded. */
__device__ __forceinline__ uint4 normalized(uint4 chunk, uint4 weight, float factor) {
  uint32_t x[4], w[4];
  store_four(chunk, x);
  store_four(weight, w);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    __nv_bfloat162 scaled =
        __floats2bfloat162_rn(low_half(x[i]) * factor, high_half(x[i]) * factor);
    x[i] = as_word(__hmul2(scaled, as_bf16(w[i])));
  }
  return make_uint4(x[0], x[1], x[2], x[3]);
}

/* A norm, and its weights for the thread's chunks of a short row, fetched ahead. */
struct stream_norm {
  static constexpr int n_ahead = 2;
  const uint4 *weight; /* NULL: none */
  float eps;
  uint4 ahead[n_ahead] = {};

  __device__ __forceinline__ stream_norm(const __nv_bfloat16 *norm, int n_in, float eps)
      : weight(reinterpret_cast<const uint4 *>(norm)), eps(eps) {
    if (weight == nullptr)
      return;
#pragma unroll
    for (int i = 0; i < n_ahead; i++) {
      int chunk = static_cast<int>(threadIdx.x) + i * stream_threads;
      if (chunk < n_in / 8)
        ahead[i] = __ldg(weight + chunk);
    }
  }
};

__device__ __forceinline__ void normalize_rows(const stream_rows_of_x &rows,
                                               const stream_norm &norm) {
  int n_in = rows.n_in;
  float eps = norm.eps;
  sum_squares(rows);
  gather_partial(rows, warp_sum, [=](float sum) { return norm_factor(sum, n_in, eps); });
#pragma unroll 1
  for (int chunk = threadIdx.x; chunk < n_in / 8; chunk += stream_threads) {
    uint4 w = __ldg(norm.weight + chunk);
    for (int row = 0; row < rows.n_rows; row++) {
      uint4 *at = chunk_of(rows, row, chunk);
      *at = normalized(*at, w, rows.value[row]);
    }
  }
}

/* Of numbers that are not negative. */
__device__ __forceinline__ float warp_max_or_nan(float x) {
  return __uint_as_float(__reduce_max_sync(~0u, __float_as_uint(x)));
}

/* Magnitudes of bf16 order as their bits do, infinities and NaN last. */
__device__ __forceinline__ __nv_bfloat162 larger(__nv_bfloat162 peak, uint4 chunk) {
  uint32_t x[4];
  store_four(chunk, x);
#pragma unroll
  for (int i = 0; i < 4; i++)
    peak = __hmax2_nan(peak, as_bf16(x[i] & 0x7fff7fff));
  return peak;
}

/* The bits of the larger half. */
__device__ __forceinline__ uint32_t larger_half(__nv_bfloat162 peak) {
  uint32_t bits = as_word(peak) & 0x7fff7fff;
  return max(bits & 0xffff, bits >> 16);
}

__device__ __forceinline__ float warp_peak(__nv_bfloat162 peak) {
  return __uint_as_float(__reduce_max_sync(~0u, larger_half(peak)) << 16);
}

__device__ __forceinline__ void find_peaks(const stream_rows_of_x &rows) {
  for (int row = 0; row < rows.n_rows; row++) {
    __nv_bfloat162 peak = as_bf16(0);
#pragma unroll 1
    for (int chunk = threadIdx.x; chunk < rows.n_in / 8; chunk += stream_threads)
      peak = larger(peak, *chunk_of(rows, row, chunk));
    float result = warp_peak(peak);
    if (threadIdx.x % 32 == 0)
      rows.partial[row * stream_warps + threadIdx.x / 32] = result;
  }
}

/* max|x| / the largest code; NaN for a row with a NaN or an infinity, 1 for a row
   of zeros. */
__device__ __forceinline__ float scale_of_peak(float peak, float largest_code) {
  float scale = (peak + (peak - peak)) / largest_code;
  return scale == 0 ? 1.0f : scale;
}

/* Divisions of bf16 by one number, correctly rounded: one step of refinement. A
   divisor from which the reciprocal or the remainder could leave the normal numbers
   is moved, with what it divides, by a power of two; quotients that lose bits by
   that are far below the smallest code. */
struct stream_divisor {
  float divisor, reciprocal;
  float power = 1;

  __device__ __forceinline__ explicit stream_divisor(float x) {
    if (x <= 0x1p-60f)
      power = 0x1p100f;
    else if (x >= 0x1p60f)
      power = 0x1p-64f;
    divisor = x * power;
    reciprocal = 1.0f / divisor;
  }

  /* Of x times the power. */
  __device__ __forceinline__ float divide(float x) const {
    float q = x * reciprocal;
    return fmaf(fmaf(-q, divisor, x), reciprocal, q);
  }
};

/* Four int8 codes. Adding 1.5 * 2^23 rounds to an integer, half to even, in the
   low bits; a quotient is at least -127.5. */
__device__ __forceinline__ uint32_t int8_codes(const float (&q)[4]) {
  uint32_t bits[4];
#pragma unroll
  for (int i = 0; i < 4; i++)
    bits[i] = __float_as_uint(fminf(q[i], 127.0f) + 12582912.0f);
  return __byte_perm(__byte_perm(bits[0], bits[1], 0x0040), __byte_perm(bits[2], bits[3], 0x0040),
                     0x5410);
}

#if __CUDA_ARCH__ >= 890
__device__ __forceinline__ uint32_t fp8_as_f16(float low, float high) {
  __nv_fp8x2_storage_t codes =
      __nv_cvt_float2_to_fp8x2(make_float2(low, high), __NV_SATFINITE, __NV_E4M3);
  return as_word(__nv_cvt_fp8x2_to_halfraw2(codes, __NV_E4M3));
}
#else
/* The nearest number of E4M3: of 3 bits after the first, or a multiple of 2^-9. */
__device__ __forceinline__ float nearest_fp8(float x) {
  float size = fminf(fabsf(x), 448.0f);
  uint32_t bits = __float_as_uint(size);
  float normal = __uint_as_float((bits + 0x7ffff + (bits >> 20 & 1)) & 0xfff00000);
  float small = size + 24576.0f - 24576.0f;
  return isnan(x) ? x : copysignf(size < 0x1p-6f ? small : normal, x);
}

__device__ __forceinline__ uint32_t fp8_as_f16(float low, float high) {
  return as_word(__floats2half2_rn(nearest_fp8(low), nearest_fp8(high)));
}
#endif

/* Int8 codes come in the first half. */
template <stream_input input>
__device__ __forceinline__ uint4 quantized(const stream_divisor &scale, uint4 chunk) {
  uint32_t x[4];
  float q[8];
  store_four(chunk, x);
  if (scale.power != 1)
#pragma unroll
    for (int i = 0; i < 4; i++)
      x[i] = as_word(__hmul2(as_bf16(x[i]), __float2bfloat162_rn(scale.power)));
#pragma unroll
  for (int i = 0; i < 4; i++) {
    q[2 * i] = scale.divide(low_half(x[i]));
    q[2 * i + 1] = scale.divide(high_half(x[i]));
  }
  if (input == stream_codes)
    return make_uint4(int8_codes({q[0], q[1], q[2], q[3]}), int8_codes({q[4], q[5], q[6], q[7]}), 0,
                      0);
  return make_uint4(fp8_as_f16(q[0], q[1]), fp8_as_f16(q[2], q[3]), fp8_as_f16(q[4], q[5]),
                    fp8_as_f16(q[6], q[7]));
}

template <stream_input input> __device__ __forceinline__ float input_scale(float peak) {
  return scale_of_peak(peak, input == stream_codes ? 127.5f : 448.0f);
}

/* Each row by its own scale, which is left in rows.value. */
template <stream_input input>
__device__ __forceinline__ void quantize_rows(const stream_rows_of_x &rows) {
  find_peaks(rows);
  gather_partial(rows, warp_max_or_nan, input_scale<input>);
  for (int row = 0; row < rows.n_rows; row++) {
    stream_divisor scale(rows.value[row]);
#pragma unroll 1
    for (int chunk = threadIdx.x; chunk < rows.n_in / 8; chunk += stream_threads) {
      uint4 *at = chunk_of(rows, row, chunk);
      *at = quantized<input>(scale, *at);
    }
  }
}

#endif
