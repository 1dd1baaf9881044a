/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that test and time CUDA products share: random linears in
   device memory, the product that they are held against, and a timer. */
#ifndef LLQ_BENCH_CUDA_SUPPORT_CUH
#define LLQ_BENCH_CUDA_SUPPORT_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_fp8.h>

#include <algorithm>
#include <functional>
#include <vector>

extern "C" {
#include "backends/cuda/cuda.h"
}

#define MUST(call) must((call), #call)

static inline void must(cudaError_t error, const char *what) {
  if (error == cudaSuccess)
    return;
  printf("%s: %s\n", what, cudaGetErrorString(error));
  exit(1);
}

/* In place of the plugin's, which need a host. */
extern "C" int cuda_error(int status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
  return status;
}

extern "C" int cuda_fail(const cuda_device *device, cudaError_t error, const char *what) {
  return cuda_error(LLQ_ERROR_DEVICE, "cuda:%d: %s: %s", device->index, what,
                    cudaGetErrorString(error));
}

static inline void *allocate(int64_t size) {
  void *p = nullptr;
  MUST(cudaMalloc(&p, static_cast<size_t>(size > 0 ? size : 1)));
  return p;
}

static inline unsigned grid_for(int64_t n) { return static_cast<unsigned>((n + 255) / 256); }

__device__ inline uint32_t random_bits(uint64_t i, uint32_t seed) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull ^ (seed * 0xbf58476d1ce4e5b9ull + 0x1234567);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>(z >> 32);
}

__global__ void fill_words(uint32_t *p, int64_t n, uint32_t mask, uint32_t seed) {
  int64_t i = blockIdx.x * 256ll + threadIdx.x;
  if (i < n)
    p[i] = random_bits(i, seed) & mask;
}

/* Roughly normal. */
__global__ void fill_bf16(__nv_bfloat16 *p, int64_t n, float scale, float shift, uint32_t seed) {
  int64_t i = blockIdx.x * 256ll + threadIdx.x;
  if (i >= n)
    return;
  uint32_t bits = random_bits(i, seed);
  int sum = 0;
  for (int k = 0; k < 4; k++)
    sum += static_cast<int>(bits >> 8 * k & 255) - 128;
  p[i] = __float2bfloat16(shift + scale * static_cast<float>(sum) / 148.0f);
}

/* Zero points -8 to 7 as 136 + zero. */
__global__ void fill_zeros(__nv_bfloat16 *p, int64_t n, uint32_t seed) {
  int64_t i = blockIdx.x * 256ll + threadIdx.x;
  if (i < n)
    p[i] = __float2bfloat16(static_cast<float>(128 + random_bits(i, seed) % 16));
}

/* The bf16 weights that a linear stands for, one by one. */
__global__ void expand(cuda_linear w, __nv_bfloat16 *dense) {
  int64_t at = blockIdx.x * 256ll + threadIdx.x;
  if (at >= w.n_out * w.n_in)
    return;
  int64_t o = at / w.n_in, i = at % w.n_in, group = w.group_size > 0 ? i / w.group_size : 0;
  int64_t scale_at = o * w.n_groups + group;
  float q, zero = 0;
  if (w.format == LLQ_WEIGHT_INT4) {
    int64_t tile = o / 16 * (w.n_in / 64) + i / 64;
    int row = o % 16, k = i % 16, lane = row % 8 * 4 + k % 8 / 2, j = row / 8 + k / 8 * 2;
    uint32_t word = static_cast<const uint32_t *>(w.data)[tile * 128 + lane * 4 + i % 64 / 16];
    q = static_cast<float>(word >> (4 * j + 16 * (k % 2)) & 15) - 8;
    scale_at = ((o / 16 * w.n_groups + group) * 8 + row % 8) * 2 + row / 8;
    if (w.zero != nullptr)
      zero = __bfloat162float(reinterpret_cast<const __nv_bfloat16 *>(w.zero)[scale_at]) - 136;
  } else if (w.format == LLQ_WEIGHT_INT8) {
    q = static_cast<const int8_t *>(w.data)[at];
  } else {
    __nv_fp8_e4m3 code;
    code.__x = static_cast<const uint8_t *>(w.data)[at];
    q = static_cast<float>(code);
  }
  float scale = __bfloat162float(static_cast<const __nv_bfloat16 *>(w.scale)[scale_at]);
  dense[at] = __float2bfloat16((q - zero) * scale);
}

static inline __nv_bfloat16 *random_bf16(int64_t n, float scale, float shift, uint32_t seed) {
  auto *p = static_cast<__nv_bfloat16 *>(allocate(2 * n));
  fill_bf16<<<grid_for(n), 256>>>(p, n, scale, shift, seed);
  return p;
}

/* What a linear of a test is. */
struct kind {
  const char *name;
  int format, activation;
  int group_size; /* 0: one group */
  int has_zero;
};

static inline cuda_linear make_linear(const kind &k, int64_t n_out, int64_t n_in, uint32_t seed) {
  cuda_linear w = {};
  w.format = k.format;
  w.dtype = LLQ_BF16;
  w.activation = k.activation;
  w.n_out = n_out;
  w.n_in = n_in;
  w.group_size = k.group_size > 0 ? k.group_size : n_in;
  w.n_groups = n_in / w.group_size;
  if (k.format == LLQ_WEIGHT_DENSE) {
    w.data = random_bf16(n_out * n_in, 0.02f, 0, seed);
    return w;
  }
  w.layout = k.format == LLQ_WEIGHT_INT4 ? CUDA_LAYOUT_TILED : CUDA_LAYOUT_PLAIN;
  int64_t n_words = n_out * n_in / (k.format == LLQ_WEIGHT_INT4 ? 8 : 4);
  w.data = allocate(4 * n_words);
  /* E4M3 without NaN: exponents below 8. */
  fill_words<<<grid_for(n_words), 256>>>(static_cast<uint32_t *>(w.data), n_words,
                                         k.format == LLQ_WEIGHT_FP8 ? 0xbfbfbfbf : ~0u, seed);
  float size = k.format == LLQ_WEIGHT_INT4 ? 4e-3f : k.format == LLQ_WEIGHT_INT8 ? 3e-4f : 2e-2f;
  int64_t n_scales = n_out * w.n_groups;
  w.scale = random_bf16(n_scales, size / 4, size, seed + 1);
  if (k.has_zero) {
    auto *zero = static_cast<__nv_bfloat16 *>(allocate(2 * n_scales));
    fill_zeros<<<grid_for(n_scales), 256>>>(zero, n_scales, seed + 2);
    w.zero = reinterpret_cast<int8_t *>(zero);
  }
  return w;
}

static inline void free_linear(cuda_linear &w) {
  cudaFree(w.data);
  cudaFree(w.scale);
  cudaFree(w.zero);
  cudaFree(w.scale_f32);
  w = {};
}

/* The product by the plain kernels, operation by operation. */
static inline void plain_product(const cuda_product &p, cuda_linear w) {
  int64_t n_out = w.n_out, n = p.n_rows;
  __nv_bfloat16 *dense = nullptr;
  if (w.activation == LLQ_ACTIVATION_NONE && w.format != LLQ_WEIGHT_DENSE) {
    dense = static_cast<__nv_bfloat16 *>(allocate(2 * n_out * w.n_in));
    expand<<<grid_for(n_out * w.n_in), 256>>>(w, dense);
    w.format = LLQ_WEIGHT_DENSE;
    w.data = dense;
  }
  void *x = allocate(2 * n * w.n_in), *y = allocate(4 * n * n_out);
  MUST(cudaMemcpy(x, p.x, static_cast<size_t>(2 * n * w.n_in), cudaMemcpyDeviceToDevice));
  if (p.norm != nullptr)
    MUST(any_rms_norm(0, p.x, p.norm, p.eps, n, w.n_in, x, LLQ_BF16));
  MUST(any_linear(0, &w, x, n, LLQ_BF16, y, p.out_dtype));
  char *rows = static_cast<char *>(y), *out = static_cast<char *>(p.out);
  if (p.swiglu) {
    for (int64_t r = 0; r < n; r++)
      MUST(any_swiglu(0, rows + r * n_out * 2, rows + (r * n_out + n_out / 2) * 2, n_out / 2,
                      out + r * n_out, LLQ_BF16));
  } else {
    MUST(cudaMemcpy(out, y, static_cast<size_t>(n * n_out * (p.out_dtype == LLQ_F32 ? 4 : 2)),
                    cudaMemcpyDeviceToDevice));
    if (p.residual != nullptr)
      MUST(any_add(0, out, p.residual, n * n_out, LLQ_BF16));
  }
  MUST(cudaDeviceSynchronize());
  cudaFree(dense);
  cudaFree(x);
  cudaFree(y);
}

static inline std::vector<float> to_host(const void *p, int64_t n, int is_f32) {
  std::vector<float> out(static_cast<size_t>(n));
  if (is_f32) {
    MUST(cudaMemcpy(out.data(), p, out.size() * 4, cudaMemcpyDeviceToHost));
    return out;
  }
  std::vector<uint16_t> bits(out.size());
  MUST(cudaMemcpy(bits.data(), p, out.size() * 2, cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < out.size(); i++) {
    uint32_t word = static_cast<uint32_t>(bits[i]) << 16;
    memcpy(&out[i], &word, 4);
  }
  return out;
}

/* The largest difference, over the value expected or the root mean square of all
   of them, whichever is larger; infinite for a NaN that is on one side only. */
struct difference {
  double worst = 0;
  size_t at = 0, n_unequal = 0;

  difference(const std::vector<float> &a, const std::vector<float> &b) {
    double squares = 0;
    size_t n = 0;
    for (float v : b)
      if (isfinite(v)) {
        squares += static_cast<double>(v) * v;
        n++;
      }
    double rms = n > 0 && squares > 0 ? sqrt(squares / static_cast<double>(n)) : 1;
    for (size_t i = 0; i < a.size(); i++) {
      if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i])))
        continue;
      n_unequal++;
      double size = std::max(rms, static_cast<double>(fabsf(b[i])));
      double d = fabs(static_cast<double>(a[i]) - b[i]) / size;
      if (!(d <= worst)) {
        worst = isnan(d) ? INFINITY : d;
        at = i;
      }
    }
  }
};

/* Median microseconds of f(set) in a graph of n_sets of them, one after the
   other; f must be recordable. */
static inline double time_graph(cudaStream_t stream, int n_sets,
                                const std::function<void(int)> &f) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  f(0);
  MUST(cudaStreamSynchronize(stream));
  MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < n_sets; i++)
    f(i);
  MUST(cudaStreamEndCapture(stream, &graph));
  MUST(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t from, to;
  MUST(cudaEventCreate(&from));
  MUST(cudaEventCreate(&to));
  std::vector<float> times;
  for (int i = 0; i < 9; i++) {
    float ms;
    MUST(cudaEventRecord(from, stream));
    MUST(cudaGraphLaunch(exec, stream));
    MUST(cudaEventRecord(to, stream));
    MUST(cudaEventSynchronize(to));
    MUST(cudaEventElapsedTime(&ms, from, to));
    if (i > 1)
      times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  cudaEventDestroy(from);
  cudaEventDestroy(to);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  return times[times.size() / 2] * 1e3 / n_sets;
}

#endif
