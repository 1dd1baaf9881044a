/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a product of codes: (float)sum * row scale * output scale, in that
   order, then SwiGLU or a residual. A thread has eight neighbours of a row. */
#include "backends/cuda/any/number.cuh"
#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/common/quantize.h"
#include "backends/cuda/common/vector.cuh"

constexpr int threads = 256;

static int is_aligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

__device__ void load_scales(const cuda_sums &s, int64_t o, float (&scale)[vector_size]) {
#pragma unroll
  for (int j = 0; j < vector_size; j++)
    scale[j] = load_any(s.scale, s.scale_dtype, o + j);
}

/* Each sum is used once: it need not stay in the caches. */
__device__ void load_scaled(const cuda_sums &s, int64_t row, int64_t o, float row_scale,
                            const float (&scale)[vector_size], float (&v)[vector_size]) {
  const int4 *at =
      reinterpret_cast<const int4 *>(static_cast<const int *>(s.sums) + row * s.n_out + o);
  int4 low = __ldcs(at), high = __ldcs(at + 1);
  const int words[vector_size] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int j = 0; j < vector_size; j++) {
    float sum = s.sums_dtype == LLQ_I32 ? static_cast<float>(words[j]) : __int_as_float(words[j]);
    v[j] = sum * row_scale * scale[j];
  }
}

__device__ void store_scaled(const cuda_sums &s, int64_t at, float (&v)[vector_size]) {
  if (s.out_dtype == LLQ_F32) {
    float4 *out = reinterpret_cast<float4 *>(static_cast<float *>(s.out) + at);
    out[0] = make_float4(v[0], v[1], v[2], v[3]);
    out[1] = make_float4(v[4], v[5], v[6], v[7]);
    return;
  }
  if (s.residual != nullptr) {
    float residual[vector_size];
    unpack(reinterpret_cast<const uint4 *>(s.residual)[at / vector_size], residual);
#pragma unroll
    for (int j = 0; j < vector_size; j++)
      v[j] = residual[j] + rounded(v[j]);
  }
  reinterpret_cast<uint4 *>(s.out)[at / vector_size] = packed(v);
}

__global__ void scale_sums(const __grid_constant__ cuda_sums s) {
  const int64_t n_cols = s.swiglu ? s.n_out / 2 : s.n_out;
  const int64_t o = (blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x) * vector_size;
  if (o >= n_cols) {
    dependency_wait();
    return;
  }
  float scale[vector_size], scale_up[vector_size];
  load_scales(s, o, scale);
  if (s.swiglu)
    load_scales(s, n_cols + o, scale_up);
  dependency_wait();
  for (int64_t row = blockIdx.y; row < s.n_rows; row += gridDim.y) {
    float row_scale = s.row_scale[row], v[vector_size];
    load_scaled(s, row, o, row_scale, scale, v);
    if (s.swiglu) {
      float up[vector_size];
      load_scaled(s, row, n_cols + o, row_scale, scale_up, up);
#pragma unroll
      for (int j = 0; j < vector_size; j++)
        v[j] = gated(rounded(v[j]), rounded(up[j]));
    }
    store_scaled(s, row * n_cols + o, v);
  }
  dependency_release();
}

int common_scale_sums_takes(const cuda_sums *s) {
  return s->n_out % (s->swiglu ? 2 * vector_size : vector_size) == 0 && is_aligned(s->sums) &&
         is_aligned(s->residual) && is_aligned(s->out);
}

/* Rows a block: enough to use the scales again, few enough to fill the device. */
cudaError_t common_scale_sums(const cuda_launch *launch, const cuda_sums *s) {
  const int64_t n_cols = s->swiglu ? s->n_out / 2 : s->n_out;
  const int64_t width = static_cast<int64_t>(threads) * vector_size;
  const int64_t n_blocks = (n_cols + width - 1) / width;
  int64_t n_parts = 16 * static_cast<int64_t>(launch->n_units) / n_blocks;
  n_parts = n_parts < 1 ? 1 : n_parts > s->n_rows ? s->n_rows : n_parts;
  n_parts = n_parts > 65535 ? 65535 : n_parts;
  if (s->n_rows == 0)
    return cudaSuccess;
  return launch_kernel(launch, scale_sums,
                       dim3(static_cast<unsigned>(n_blocks), static_cast<unsigned>(n_parts)),
                       threads, 0, *s);
}

__global__ void convert_to_floats(const void *from, int dtype, int64_t n, float *to) {
  int64_t i = blockIdx.x * static_cast<int64_t>(threads) + threadIdx.x;
  dependency_wait();
  if (i < n)
    to[i] = load_any(from, dtype, i);
  dependency_release();
}

cudaError_t common_to_floats(const cuda_launch *launch, const void *from, int dtype, int64_t n,
                             float *to) {
  return launch_kernel(launch, convert_to_floats,
                       static_cast<unsigned>((n + threads - 1) / threads), threads, 0, from, dtype,
                       n, to);
}
