/* SPDX-License-Identifier: Apache-2.0 */
/* y[r, o] = sum over i of x[r, i] * W[o, i], for every weight format. Plain: one
   warp an output, lane l takes inputs l, l + 32, ...; a row's result does not
   depend on the number of rows. */
#include "backends/cuda/any/number.cuh"
#include "backends/cuda/kernels.h"

constexpr int warps_per_block = 8;

/* W[o, i] of a weight-only format, rounded to the type of its scale. */
__device__ float dequantized(const cuda_linear &w, int64_t o, int64_t i) {
  int64_t at = o * w.n_in + i;
  if (w.format == LLQ_WEIGHT_DENSE)
    return load_any(w.data, w.dtype, at);
  int64_t group = w.group_index != nullptr ? w.group_index[i]
                  : w.group_size > 0       ? i / w.group_size
                                           : 0;
  int64_t scale_at = o * w.n_groups + group;
  float q;
  if (w.format == LLQ_WEIGHT_INT4)
    q = static_cast<float>(
            (static_cast<const uint32_t *>(w.data)[at / 8] >> (4 * (at % 8)) & 15u)) -
        8.0f;
  else if (w.format == LLQ_WEIGHT_INT8)
    q = static_cast<const int8_t *>(w.data)[at];
  else
    q = e4m3_to_float(static_cast<const uint8_t *>(w.data)[at]);
  float zero = w.zero != nullptr ? w.zero[scale_at] : 0;
  return round_to(w.dtype, (q - zero) * load_any(w.scale, w.dtype, scale_at));
}

/* The scale of a row for a quantized activation: max|x| over its largest code;
   NaN for a row with a NaN or an infinity, and 1 for a row of zeros. */
__device__ float row_scale(const void *x, int dtype, int64_t row, int64_t n, float largest) {
  float peak = 0, bad = 0;
  for (int64_t i = threadIdx.x; i < n; i += 32) {
    float value = load_any(x, dtype, row + i);
    peak = fmaxf(peak, fabsf(value));
    bad += value - value; /* 0, or NaN */
  }
  float scale = (warp_max(peak) + warp_sum(bad)) / largest;
  return scale == 0 ? 1.0f : scale;
}

__device__ float float_dot(const cuda_linear &w, int64_t o, const void *x, int dtype, int64_t row) {
  float sum = 0;
  for (int64_t i = threadIdx.x; i < w.n_in; i += 32)
    sum += load_any(x, dtype, row + i) * dequantized(w, o, i);
  return warp_sum(sum);
}

/* Sums of products of codes are exact in int32 up to 133,000 inputs. */
__device__ float int8_dot(const cuda_linear &w, int64_t o, const void *x, int dtype, int64_t row) {
  float scale = row_scale(x, dtype, row, w.n_in, 127.5f);
  const int8_t *codes = static_cast<const int8_t *>(w.data) + o * w.n_in;
  int sum = 0;
  for (int64_t i = threadIdx.x; i < w.n_in; i += 32) {
    float q = rintf(load_any(x, dtype, row + i) / scale);
    sum += static_cast<int>(fminf(fmaxf(q, -128.0f), 127.0f)) * codes[i];
  }
  for (int distance = 16; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(~0u, sum, distance);
  return static_cast<float>(sum) * scale * load_any(w.scale, w.dtype, o);
}

__device__ float fp8_dot(const cuda_linear &w, int64_t o, const void *x, int dtype, int64_t row) {
  float scale = row_scale(x, dtype, row, w.n_in, 448.0f);
  const uint8_t *codes = static_cast<const uint8_t *>(w.data) + o * w.n_in;
  float sum = 0;
  for (int64_t i = threadIdx.x; i < w.n_in; i += 32)
    sum += round_to_e4m3(load_any(x, dtype, row + i) / scale) * e4m3_to_float(codes[i]);
  return warp_sum(sum) * scale * load_any(w.scale, w.dtype, o);
}

__global__ void linear_outputs(cuda_linear w, const void *x, int x_dtype, void *out,
                               int out_dtype) {
  int64_t o = blockIdx.x * static_cast<int64_t>(warps_per_block) + threadIdx.y;
  int64_t r = blockIdx.y;
  if (o >= w.n_out)
    return;
  float y = w.activation == LLQ_ACTIVATION_INT8  ? int8_dot(w, o, x, x_dtype, r * w.n_in)
            : w.activation == LLQ_ACTIVATION_FP8 ? fp8_dot(w, o, x, x_dtype, r * w.n_in)
                                                 : float_dot(w, o, x, x_dtype, r * w.n_in);
  if (threadIdx.x == 0)
    store_any(out, out_dtype, r * w.n_out + o, y);
}

/* blockIdx.y is limited to 65,535: rows go in pieces of that. */
cudaError_t any_linear(cudaStream_t stream, const cuda_linear *linear, const void *x,
                       int64_t n_rows, int x_dtype, void *out, int out_dtype) {
  const int64_t piece = 65535;
  const int64_t x_size = x_dtype == LLQ_F32 ? 4 : 2, out_size = out_dtype == LLQ_F32 ? 4 : 2;
  dim3 block(32, warps_per_block);
  for (int64_t r = 0; r < n_rows; r += piece) {
    dim3 grid(static_cast<unsigned>((linear->n_out + warps_per_block - 1) / warps_per_block),
              static_cast<unsigned>(n_rows - r < piece ? n_rows - r : piece));
    linear_outputs<<<grid, block, 0, stream>>>(
        *linear, static_cast<const char *>(x) + r * linear->n_in * x_size, x_dtype,
        static_cast<char *>(out) + r * linear->n_out * out_size, out_dtype);
  }
  return cudaGetLastError();
}
