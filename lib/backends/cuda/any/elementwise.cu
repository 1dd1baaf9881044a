/* SPDX-License-Identifier: Apache-2.0 */
/* The small operations: embed, norm, SwiGLU, add, gather. Plain: one block a
   row, or one thread an element. */
#include "backends/cuda/any/number.cuh"
#include "backends/cuda/kernels.h"

constexpr int threads = 256;

static unsigned blocks_for(int64_t n) {
  return static_cast<unsigned>((n + threads - 1) / threads);
}

/* out[r, :] = table[ids[r], :]; also gather, whose table is of the same type. */
__global__ void pick_rows(const void *table, int table_dtype, const int32_t *ids, int64_t n_cols,
                          void *out, int dtype) {
  int64_t from = ids[blockIdx.x] * n_cols, to = blockIdx.x * n_cols;
  for (int64_t i = threadIdx.x; i < n_cols; i += blockDim.x)
    store_any(out, dtype, to + i, load_any(table, table_dtype, from + i));
}

/* One warp a row: the mean of squares in float, x / sqrt(mean + eps) rounded to
   the type, then times the weight, rounded. */
__global__ void norm_rows(const void *x, const void *weight, float eps, int64_t n_cols, void *out,
                          int dtype) {
  int64_t row = blockIdx.x * n_cols;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < n_cols; i += 32) {
    float value = load_any(x, dtype, row + i);
    squares += value * value;
  }
  float factor = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(n_cols) + eps);
  for (int64_t i = threadIdx.x; i < n_cols; i += 32) {
    float value = round_to(dtype, load_any(x, dtype, row + i) * factor);
    store_any(out, dtype, row + i, value * load_any(weight, dtype, i));
  }
}

__global__ void swiglu_elements(const void *gate, const void *up, int64_t n, void *out, int dtype) {
  int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= n)
    return;
  float g = load_any(gate, dtype, i);
  store_any(out, dtype, i, g / (1.0f + expf(-g)) * load_any(up, dtype, i));
}

/* gate and up side by side in rows of 2 n_cols. */
__global__ void swiglu_halves(const void *gate_up, int64_t n_rows, int64_t n_cols, void *out,
                              int dtype) {
  int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i >= n_rows * n_cols)
    return;
  int64_t at = i / n_cols * 2 * n_cols + i % n_cols;
  float g = load_any(gate_up, dtype, at);
  store_any(out, dtype, i, g / (1.0f + expf(-g)) * load_any(gate_up, dtype, at + n_cols));
}

__global__ void add_elements(void *x, const void *y, int64_t n, int dtype) {
  int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
  if (i < n)
    store_any(x, dtype, i, load_any(x, dtype, i) + load_any(y, dtype, i));
}

cudaError_t any_embed(cudaStream_t stream, const void *table, int table_dtype, const int32_t *ids,
                      int64_t n_rows, int64_t n_cols, void *out, int dtype) {
  pick_rows<<<static_cast<unsigned>(n_rows), threads, 0, stream>>>(table, table_dtype, ids, n_cols,
                                                                   out, dtype);
  return cudaGetLastError();
}

cudaError_t any_gather(cudaStream_t stream, const void *x, const int32_t *rows, int64_t n_rows,
                       int64_t n_cols, void *out, int dtype) {
  return any_embed(stream, x, dtype, rows, n_rows, n_cols, out, dtype);
}

cudaError_t any_rms_norm(cudaStream_t stream, const void *x, const void *weight, float eps,
                         int64_t n_rows, int64_t n_cols, void *out, int dtype) {
  norm_rows<<<static_cast<unsigned>(n_rows), 32, 0, stream>>>(x, weight, eps, n_cols, out, dtype);
  return cudaGetLastError();
}

cudaError_t any_swiglu(cudaStream_t stream, const void *gate, const void *up, int64_t n, void *out,
                       int dtype) {
  swiglu_elements<<<blocks_for(n), threads, 0, stream>>>(gate, up, n, out, dtype);
  return cudaGetLastError();
}

cudaError_t any_swiglu_halves(cudaStream_t stream, const void *gate_up, int64_t n_rows,
                              int64_t n_cols, void *out, int dtype) {
  swiglu_halves<<<blocks_for(n_rows * n_cols), threads, 0, stream>>>(gate_up, n_rows, n_cols, out,
                                                                     dtype);
  return cudaGetLastError();
}

cudaError_t any_add(cudaStream_t stream, void *x, const void *y, int64_t n, int dtype) {
  add_elements<<<blocks_for(n), threads, 0, stream>>>(x, y, n, dtype);
  return cudaGetLastError();
}
