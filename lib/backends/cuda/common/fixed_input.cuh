/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of x as integers: 64 inputs of a row, a block, share a power of two and are
   whole multiples of it, of 16 bits. Products with codes of weights are then exact
   integers, whose sums have no order.

   What is lost: of an input 2^8 times smaller than its block's largest, or still
   smaller, the bits below 2^-15 of that largest. bf16 has rounded the largest
   itself by up to 2^-9 of it.

   An integer is 256 high + low, both int8: two columns of a matrix operand for each
   row. A block of n_rows rows is fixed_block_size(n_rows) bytes: columns of 64 bytes
   in the order of int4's codes (lane t of four: bytes 16 t on; step s of 16 inputs:
   4 of those; in them inputs 2 t, 2 t + 8, 2 t + 1, 2 t + 9), then for each row the
   power of two, and the sum of the integers. */
#ifndef LLQ_CUDA_FIXED_INPUT_CUH
#define LLQ_CUDA_FIXED_INPUT_CUH

#include "backends/cuda/common/stream_input.cuh"

constexpr int fixed_rows_max = 4;
constexpr int fixed_norm_max = 16 * stream_threads; /* inputs that are normalized, at most */

/* Odd multiples of 16 beside the columns, for distinct banks. */
__host__ __device__ __forceinline__ int fixed_block_size(int n_rows) {
  return 128 * n_rows + 16 + 32 * ((n_rows + 1) / 4);
}

/* 16 inputs of a row: a thread's, number `thread` + 256 i of the row. */
struct fixed_inputs {
  uint4 low, high;

  __device__ __forceinline__ void load(const __nv_bfloat16 *x) {
    low = __ldcg(reinterpret_cast<const uint4 *>(x));
    high = __ldcg(reinterpret_cast<const uint4 *>(x) + 1);
  }

  __device__ __forceinline__ float squares() const {
    float sum = 0;
    add_squares(sum, low);
    add_squares(sum, high);
    return sum;
  }

  __device__ __forceinline__ void normalize(const fixed_inputs &weight, float factor) {
    low = normalized(low, weight.low, factor);
    high = normalized(high, weight.high, factor);
  }

  /* The largest magnitude's bits, of the four threads of a block. */
  __device__ __forceinline__ uint32_t peak() const {
    uint32_t both = as_word(larger(larger(as_bf16(0), low), high));
    uint32_t bits = max(both & 0xffff, both >> 16);
    bits = max(bits, __shfl_xor_sync(~0u, bits, 1));
    return max(bits, __shfl_xor_sync(~0u, bits, 2));
  }
};

/* A norm, and its weights of the thread's inputs, fetched ahead. */
struct fixed_norm {
  bool present;
  float eps, share; /* of an input in the mean of squares */
  fixed_inputs weight = {};

  __device__ __forceinline__ fixed_norm(const __nv_bfloat16 *norm, int n_in, float eps)
      : present(norm != nullptr), eps(eps), share(1.0f / static_cast<float>(n_in)) {
    if (present && 16 * static_cast<int>(threadIdx.x) < n_in)
      weight.load(norm + 16 * threadIdx.x);
  }
};

/* The power of two of a block, from its peak's bits: the peak is some 2^14 of it or
   more, and less than 2^15 - 128, so that the high half fits. NaN where the block
   has one, or an infinity. */
struct fixed_unit {
  float unit, inverse;

  __device__ __forceinline__ explicit fixed_unit(uint32_t peak) {
    uint32_t exponent = max((peak + 1) >> 7, 20);
    unit = peak < 0x7f80 ? __uint_as_float((exponent - 14) << 23) : __uint_as_float(0x7fffffff);
    inverse = __uint_as_float((268 - exponent) << 23);
  }
};

/* Adding 1.5 * 2^23 leaves a rounded integer in the low bits; 128 more rounds its
   high half. */
constexpr float fixed_bias = 12582912.0f + 128;
constexpr uint32_t fixed_bias_bits = 0x4b400000 + 128;

__device__ __forceinline__ void fix_eight(uint4 x, float inverse, uint32_t (&to)[8]) {
  uint32_t pairs[4];
  store_four(x, pairs);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = __float_as_uint(fmaf(low_half(pairs[i]), inverse, fixed_bias));
    to[2 * i + 1] = __float_as_uint(fmaf(high_half(pairs[i]), inverse, fixed_bias));
  }
}

struct fixed_rows {
  const __nv_bfloat16 *x; /* [n_rows, n_in] in global memory */
  int n_rows, n_in;
  char *shared;   /* [n_in / 64] blocks */
  float *partial; /* [n_rows, stream_warps] */

  /* Codes of inputs 16 number to + 15, if there are such; their sum. */
  __device__ __forceinline__ uint32_t store_codes(const fixed_inputs &x, float inverse, int row,
                                                  int number) const {
    uint32_t low[8], high[8], sum = 0;
    fix_eight(x.low, inverse, low);
    fix_eight(x.high, inverse, high);
    if (16 * number < n_in)
      store_columns(low, high, block(number) + 128 * row + number % 4 * 4);
#pragma unroll
    for (int i = 0; i < 8; i++)
      sum += low[i] + high[i] - 2 * fixed_bias_bits;
    return sum;
  }

  /* What a block ends with, by its first thread. */
  __device__ __forceinline__ void store_side(float unit, uint32_t sum, int row, int number) const {
    if (16 * number < n_in && number % 4 == 0)
      *reinterpret_cast<uint2 *>(block(number) + 128 * n_rows + 8 * row) =
          make_uint2(__float_as_uint(unit), sum);
  }

  /* From the warps' sums of squares. */
  __device__ __forceinline__ float factor(int row, const fixed_norm &norm) const {
    const float4 *of_warps = reinterpret_cast<const float4 *>(partial + row * stream_warps);
    float4 a = of_warps[0], b = of_warps[1];
    float sum = (a.x + a.y + a.z + a.w) + (b.x + b.y + b.z + b.w);
    return __frsqrt_rn(fmaf(sum, norm.share, norm.eps));
  }

private:
  __device__ __forceinline__ char *block(int number) const {
    return shared + number / 4 * fixed_block_size(n_rows);
  }

  static __device__ __forceinline__ void store_columns(const uint32_t (&low)[8],
                                                       const uint32_t (&high)[8], char *to) {
#pragma unroll
    for (int t = 0; t < 4; t++) {
      uint32_t even = __byte_perm(low[2 * t], high[2 * t], 0x5140);
      uint32_t odd = __byte_perm(low[2 * t + 1], high[2 * t + 1], 0x5140);
      *reinterpret_cast<uint32_t *>(to + 16 * t) = __byte_perm(even, odd, 0x7632);
      *reinterpret_cast<uint32_t *>(to + 64 + 16 * t) = __byte_perm(even, odd, 0x5410) ^ 0x80808080;
    }
  }
};

/* n times 16 inputs of a thread, of one row or several, step by step together: each
   step waits for others, of memory or of the warp. */
template <int n> struct fixed_batch {
  fixed_inputs x[n];
  int row[n], number[n];

  /* From a row's number on; where the next batch begins is left there. */
  __device__ __forceinline__ void load(const fixed_rows &rows, int &next_row, int &next_number) {
#pragma unroll
    for (int i = 0; i < n; i++) {
      row[i] = next_row;
      number[i] = next_number;
      x[i] = {};
      if (16 * next_number < rows.n_in)
        x[i].load(rows.x + static_cast<int64_t>(next_row) * rows.n_in + 16 * next_number);
      if (++next_row == rows.n_rows) {
        next_row = 0;
        next_number += stream_threads;
      }
    }
  }

  /* If the batch is all there is of the rows. */
  __device__ __forceinline__ void normalize(const fixed_rows &rows, const fixed_norm &norm) {
#pragma unroll
    for (int i = 0; i < n; i++)
      if (i < rows.n_rows) {
        float sum = warp_sum(x[i].squares());
        if (threadIdx.x % 32 == 0)
          rows.partial[i * stream_warps + threadIdx.x / 32] = sum;
      }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < n; i++)
      if (i < rows.n_rows)
        x[i].normalize(norm.weight, rows.factor(i, norm));
  }

  /* All lanes of a warp take part. */
  __device__ __forceinline__ void store(const fixed_rows &rows) const {
    uint32_t sum[n];
    float unit[n];
#pragma unroll
    for (int i = 0; i < n; i++) {
      fixed_unit of_block(x[i].peak());
      unit[i] = of_block.unit;
      sum[i] = rows.store_codes(x[i], of_block.inverse, row[i], number[i]);
    }
#pragma unroll
    for (int i = 0; i < n; i++)
      sum[i] += __shfl_xor_sync(~0u, sum[i], 1);
#pragma unroll
    for (int i = 0; i < n; i++)
      rows.store_side(unit[i], sum[i] + __shfl_xor_sync(~0u, sum[i], 2), row[i], number[i]);
  }
};

template <int n>
__device__ __forceinline__ void fix_batches(const fixed_rows &rows, const fixed_norm &norm) {
  int row = 0, number = threadIdx.x;
#pragma unroll 1
  while (number / stream_threads * stream_threads * 16 < rows.n_in) {
    fixed_batch<n> batch;
    batch.load(rows, row, number);
    if (norm.present)
      batch.normalize(rows, norm);
    batch.store(rows);
  }
}

/* Complete for every thread afterwards. */
__device__ __forceinline__ void fix_rows(const fixed_rows &rows, const fixed_norm &norm) {
  int n = (rows.n_in + fixed_norm_max - 1) / fixed_norm_max * rows.n_rows;
  if (n == 1)
    fix_batches<1>(rows, norm);
  else if (n == 2)
    fix_batches<2>(rows, norm);
  else
    fix_batches<fixed_rows_max>(rows, norm);
  __syncthreads();
}

#endif
