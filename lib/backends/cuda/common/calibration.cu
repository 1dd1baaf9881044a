/* SPDX-License-Identifier: Apache-2.0 */
/* Every number is computed in the order, and with the roundings, of the CPU's
   operations, apart from the sums of magnitudes: encode's codes and errors are
   those of a CPU with fused multiply-add. */
#include "backends/cuda/any/number.cuh"
#include "backends/cuda/common/calibration.h"

namespace {

constexpr int threads = 256;

unsigned blocks_for(int64_t n, int64_t size) {
  return static_cast<unsigned>((n + size - 1) / size);
}

/* ---- Magnitudes: a lane a column, warps share the rows ---- */

constexpr int column_warps = 16;

template <typename T>
__global__ void __launch_bounds__(32 * column_warps)
    add_magnitudes(const T *x, int64_t n_rows, int64_t n_cols, float *sums) {
  __shared__ float shared[2][column_warps][32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t column = blockIdx.x * static_cast<int64_t>(32) + lane;
  float sum = 0, largest = 0;
  if (column < n_cols) {
#pragma unroll 8
    for (int64_t r = warp; r < n_rows; r += column_warps) {
      const float magnitude = fabsf(load(x, r * n_cols + column));
      sum += magnitude;
      largest = magnitude > largest ? magnitude : largest;
    }
  }
  shared[0][warp][lane] = sum;
  shared[1][warp][lane] = largest;
  __syncthreads();
  if (warp > 0 || column >= n_cols)
    return;
  largest = sums[n_cols + column];
  sum = 0;
  for (int i = 0; i < column_warps; i++) {
    sum += shared[0][i][lane];
    largest = shared[1][i][lane] > largest ? shared[1][i][lane] : largest;
  }
  sums[column] += sum;
  sums[n_cols + column] = largest;
}

/* ---- Square matrices: a thread an element ---- */

__global__ void turn_elements(const float *from, int64_t n_values, float *to) {
  const int64_t i = blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x;
  if (i < n_values)
    to[i] = from[n_values - 1 - i];
}

__global__ void turn_upper_elements(const float *from, int64_t n, float *to) {
  const int64_t j = blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x, i = blockIdx.y;
  if (j < n && i <= j)
    to[i * n + j] = from[(n - 1 - i) * n + n - 1 - j];
}

__global__ void identity_elements(int64_t n, float *to) {
  const int64_t j = blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x, i = blockIdx.y;
  if (j < n)
    to[i * n + j] = i == j ? 1.0f : 0.0f;
}

__global__ void arrange_elements(cuda_arrangement a) {
  const int64_t j = blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x, i = blockIdx.y;
  if (j >= a.n || i > j)
    return;
  const int64_t ci = a.columns[i], cj = a.columns[j];
  const float x = a.h[ci < cj ? ci * a.n + cj : cj * a.n + ci];
  a.out[i * a.n + j] = i == j ? a.diagonal[i] : x * a.factor;
}

/* ---- GPTQ within a block: a warp a row ---- */

constexpr int encode_warps = 4;

struct rounded {
  float code, value;
};

__device__ __forceinline__ rounded round_weight(const cuda_encoding &e, float w, float scale,
                                                float zero) {
  rounded r;
  if (e.format == LLQ_WEIGHT_FP8) {
    r.code = round_to_e4m3(w / scale);
    r.value = r.code * scale;
  } else {
    float code = w / scale + zero;
    code = code > e.q_min ? code : e.q_min;
    code = code < e.q_max ? code : e.q_max;
    r.code = static_cast<float>(__float2int_rn(code));
    r.value = (r.code - zero) * scale;
  }
  r.value = round_to(e.dtype, r.value);
  return r;
}

/* The row's part of the block lies in shared memory, its errors behind it. Each
   lane computes the column's code; then they share the columns after it. */
__global__ void __launch_bounds__(32 * encode_warps) encode_rows(cuda_encoding e) {
  extern __shared__ float shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, n = static_cast<int>(e.n);
  const int64_t row = blockIdx.x * static_cast<int64_t>(encode_warps) + warp;
  if (row >= e.n_rows)
    return;
  float *w = shared + warp * 2 * n, *errors = w + n;
  float *home = e.w + row * e.n_in + e.first;
  for (int i = lane; i < n; i += 32)
    w[i] = home[i];
  __syncwarp();
  for (int i = 0; i < n; i++) {
    const float *factor = e.factor + (e.first + i) * e.n_in + e.first;
    const int64_t grid = row * e.n_groups + __ldg(e.groups + i);
    const float x = w[i];
    const rounded r = round_weight(e, x, __ldg(e.scale + grid), __ldg(e.zero + grid));
    const float error = (x - r.value) / __ldg(factor + i);
    __syncwarp(); /* all have read w[i] */
    if (lane == 0) {
      w[i] = r.code;
      errors[i] = error;
    }
    for (int j = i + 1 + lane; j < n; j += 32)
      w[j] = fmaf(-error, __ldg(factor + j), w[j]);
    __syncwarp();
  }
  for (int i = lane; i < n; i += 32) {
    home[i] = w[i];
    e.errors[row * e.n + i] = errors[i];
  }
}

} // namespace

cudaError_t common_magnitudes(cudaStream_t stream, const void *x, int dtype, int64_t n_rows,
                              int64_t n_cols, float *sums) {
  const unsigned blocks = blocks_for(n_cols, 32);
  if (dtype == LLQ_BF16)
    add_magnitudes<<<blocks, 32 * column_warps, 0, stream>>>(static_cast<const __nv_bfloat16 *>(x),
                                                             n_rows, n_cols, sums);
  else
    add_magnitudes<<<blocks, 32 * column_warps, 0, stream>>>(static_cast<const float *>(x), n_rows,
                                                             n_cols, sums);
  return cudaGetLastError();
}

/* A block of threads for each part of each row. */
static dim3 grid_of(int64_t n) {
  return dim3(blocks_for(n, threads), static_cast<unsigned>(n));
}

cudaError_t common_turn(cudaStream_t stream, const float *from, int64_t n, float *to) {
  turn_elements<<<blocks_for(n * n, threads), threads, 0, stream>>>(from, n * n, to);
  return cudaGetLastError();
}

cudaError_t common_turn_upper(cudaStream_t stream, const float *from, int64_t n, float *to) {
  turn_upper_elements<<<grid_of(n), threads, 0, stream>>>(from, n, to);
  return cudaGetLastError();
}

cudaError_t common_identity(cudaStream_t stream, int64_t n, float *to) {
  identity_elements<<<grid_of(n), threads, 0, stream>>>(n, to);
  return cudaGetLastError();
}

cudaError_t common_arrange(cudaStream_t stream, const cuda_arrangement *arrangement) {
  arrange_elements<<<grid_of(arrangement->n), threads, 0, stream>>>(*arrangement);
  return cudaGetLastError();
}

cudaError_t common_encode(cudaStream_t stream, const cuda_encoding *encoding) {
  const size_t shared_size = 2 * sizeof(float) * encode_warps * static_cast<size_t>(encoding->n);
  encode_rows<<<blocks_for(encoding->n_rows, encode_warps), 32 * encode_warps, shared_size,
                stream>>>(*encoding);
  return cudaGetLastError();
}
