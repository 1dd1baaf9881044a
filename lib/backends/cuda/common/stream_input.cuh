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

enum stream_input {
  stream_bf16,  /* as they are */
  stream_codes, /* quantized to int8 */
  stream_fp8    /* quantized to E4M3, stored as f16 */
};

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
  char *shared;          /* 128 n_rows n_in / 64 bytes */
  float *partial;        /* [n_rows, stream_warps], twice */
  float *scale;          /* [n_rows]: of quantized rows */
};

__device__ __forceinline__ uint4 *chunk_of(const stream_rows_of_x &rows, int row, int chunk) {
  int at = (chunk / 8 * rows.n_rows + (row & ~7)) * 128 + input_chunk(row % 8, chunk % 8);
  return reinterpret_cast<uint4 *>(rows.shared + at);
}

/* Eight bf16 as floats. */
struct stream_chunk {
  float value[8];

  __device__ __forceinline__ explicit stream_chunk(uint4 bits) {
    uint32_t words[4];
    store_four(bits, words);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      value[2 * i] = __uint_as_float(words[i] << 16);
      value[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000);
    }
  }
};

__device__ __forceinline__ uint32_t packed_bf16(float low, float high) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<uint32_t *>(&pair);
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

/* A row's partial results of all warps, in the same order in every thread. */
__device__ __forceinline__ float total(const float *partial) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < stream_warps; i++)
    sum += partial[i];
  return sum;
}

__device__ __forceinline__ float largest(const float *partial) {
  float peak = 0;
#pragma unroll
  for (int i = 0; i < stream_warps; i++)
    peak = fmaxf(peak, partial[i]);
  return peak;
}

__device__ __forceinline__ void sum_squares(const stream_rows_of_x &rows) {
  for (int row = 0; row < rows.n_rows; row++) {
    float squares = 0;
    for (int chunk = threadIdx.x; chunk < rows.n_in / 8; chunk += stream_threads) {
      stream_chunk x(*chunk_of(rows, row, chunk));
#pragma unroll
      for (int i = 0; i < 8; i++)
        squares += x.value[i] * x.value[i];
    }
    squares = warp_sum(squares);
    if (threadIdx.x % 32 == 0)
      rows.partial[row * stream_warps + threadIdx.x / 32] = squares;
  }
}

/* x / sqrt(mean of squares + eps) rounded, times the weight, rounded. */
__device__ __forceinline__ void normalize_rows(const stream_rows_of_x &rows, const uint4 *weight,
                                               float eps) {
  sum_squares(rows);
  __syncthreads();
  for (int row = 0; row < rows.n_rows; row++) {
    float squares = total(rows.partial + row * stream_warps);
    float factor = 1.0f / sqrtf(squares / static_cast<float>(rows.n_in) + eps);
    for (int chunk = threadIdx.x; chunk < rows.n_in / 8; chunk += stream_threads) {
      uint4 *at = chunk_of(rows, row, chunk);
      stream_chunk x(*at), w(weight[chunk]);
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float low = round_to(LLQ_BF16, x.value[2 * i] * factor) * w.value[2 * i];
        float high = round_to(LLQ_BF16, x.value[2 * i + 1] * factor) * w.value[2 * i + 1];
        words[i] = packed_bf16(low, high);
      }
      *at = make_uint4(words[0], words[1], words[2], words[3]);
    }
  }
}

/* Partial results: the largest magnitude; and 0, or NaN where a NaN or an
   infinity is. */
__device__ __forceinline__ void find_peaks(const stream_rows_of_x &rows, float *bad_of) {
  for (int row = 0; row < rows.n_rows; row++) {
    float peak = 0, bad = 0;
    for (int chunk = threadIdx.x; chunk < rows.n_in / 8; chunk += stream_threads) {
      stream_chunk x(*chunk_of(rows, row, chunk));
#pragma unroll
      for (int i = 0; i < 8; i++) {
        peak = fmaxf(peak, fabsf(x.value[i]));
        bad += x.value[i] - x.value[i];
      }
    }
    peak = warp_max(peak);
    bad = warp_sum(bad);
    if (threadIdx.x % 32 == 0) {
      rows.partial[row * stream_warps + threadIdx.x / 32] = peak;
      bad_of[row * stream_warps + threadIdx.x / 32] = bad;
    }
  }
}

__device__ __forceinline__ uint32_t int8_code(float x, float scale) {
  float q = fminf(fmaxf(rintf(x / scale), -128.0f), 127.0f);
  return static_cast<uint32_t>(static_cast<int>(q)) & 255;
}

__device__ __forceinline__ uint32_t packed_fp8_as_f16(float low, float high) {
  __half2 pair = __floats2half2_rn(round_to_e4m3(low), round_to_e4m3(high));
  return *reinterpret_cast<uint32_t *>(&pair);
}

template <stream_input input>
__device__ __forceinline__ void quantize_chunk(const stream_chunk &x, float scale, uint4 *at) {
  uint32_t words[4] = {};
  if (input == stream_codes) {
#pragma unroll
    for (int i = 0; i < 8; i++)
      words[i / 4] |= int8_code(x.value[i], scale) << 8 * (i % 4);
    *reinterpret_cast<uint2 *>(at) = make_uint2(words[0], words[1]);
  } else {
#pragma unroll
    for (int i = 0; i < 4; i++)
      words[i] = packed_fp8_as_f16(x.value[2 * i] / scale, x.value[2 * i + 1] / scale);
    *at = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

/* Each row by its own scale: see any/linear.cu's row_scale(). */
template <stream_input input>
__device__ __forceinline__ void quantize_rows(const stream_rows_of_x &rows) {
  float *bad_of = rows.partial + rows.n_rows * stream_warps;
  __syncthreads(); /* all have read the partial results of the normalization */
  find_peaks(rows, bad_of);
  __syncthreads();
  for (int row = 0; row < rows.n_rows; row++) {
    float peak = largest(rows.partial + row * stream_warps) + total(bad_of + row * stream_warps);
    float scale = peak / (input == stream_codes ? 127.5f : 448.0f);
    scale = scale == 0 ? 1.0f : scale;
    if (threadIdx.x == 0)
      rows.scale[row] = scale;
    for (int chunk = threadIdx.x; chunk < rows.n_in / 8; chunk += stream_threads) {
      uint4 *at = chunk_of(rows, row, chunk);
      quantize_chunk<input>(stream_chunk(*at), scale, at);
    }
  }
}

/* All of it; rows.shared is complete for every thread afterwards. */
template <stream_input input>
__device__ __forceinline__ void prepare_rows(const stream_rows_of_x &rows,
                                             const __nv_bfloat16 *norm, float eps) {
  load_rows(rows);
  if (norm != nullptr)
    normalize_rows(rows, reinterpret_cast<const uint4 *>(norm), eps);
  if (input != stream_bf16)
    quantize_rows<input>(rows);
  __syncthreads();
}

#endif
