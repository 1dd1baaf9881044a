/* SPDX-License-Identifier: Apache-2.0 */
/* Random linears on a GPU, products with them, and what times them. */
#ifndef LLQ_CUDA_STREAM_PROBLEM_CUH
#define LLQ_CUDA_STREAM_PROBLEM_CUH

#include <cuda_bf16.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "backends/cuda/common/repack.h"
#include "backends/cuda/kernels.h"
#include "backends/cuda/sm80/fixed.h"
#include "backends/cuda/sm80/stream.h"
#include "backends/cuda/sm90/fixed.h"
#include "backends/cuda/sm90/mixed.h"
#include "backends/cuda/sm90/stream.h"

#define CHECK(call)                                                                                \
  do {                                                                                             \
    cudaError_t error_ = (call);                                                                   \
    if (error_ != cudaSuccess) {                                                                   \
      printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(error_));            \
      exit(1);                                                                                     \
    }                                                                                              \
  } while (0)

namespace {

typedef __nv_bfloat16 bf16;

cudaStream_t stream;
int n_units, sm;

__device__ uint32_t hashed(uint64_t i) {
  i = (i ^ i >> 31) * 0x7fb5d329728ea185ull;
  i = (i ^ i >> 27) * 0x81dadef4bc2dd44dull;
  return static_cast<uint32_t>(i >> 32);
}

enum fill_kind { fill_bits, fill_e4m3, fill_zero_point, fill_bf16 };

__global__ void fill(void *p, int64_t n, fill_kind kind, uint64_t seed, float offset, float range) {
  for (int64_t i = blockIdx.x * 256ll + threadIdx.x; i < n; i += gridDim.x * 256ll) {
    uint32_t x = hashed(seed * 0x9e3779b97f4a7c15ull + i);
    if (kind == fill_bf16)
      static_cast<bf16 *>(p)[i] = __float2bfloat16(offset + range * (x * 0x1p-31f - 1));
    else if (kind == fill_zero_point)
      static_cast<int8_t *>(p)[i] = static_cast<int8_t>(x % 16) - 8;
    else
      static_cast<uint8_t *>(p)[i] = kind == fill_e4m3 && x % 128 == 127 ? 0 : x;
  }
}

uint64_t next_seed = 1;

void *random_memory(int64_t n, int64_t element, fill_kind kind, float offset = 0, float range = 1) {
  void *p;
  CHECK(cudaMalloc(&p, n * element));
  fill<<<4096, 256, 0, stream>>>(p, n, kind, next_seed++, offset, range);
  CHECK(cudaGetLastError());
  return p;
}

bf16 *random_bf16(int64_t n, float offset, float range) {
  return static_cast<bf16 *>(random_memory(n, 2, fill_bf16, offset, range));
}

struct format {
  const char *name;
  int format, activation, has_zero;
  int64_t group_size; /* 0: per channel */
};

const format formats[] = {
    {"int4-g128", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 128},
    {"int8", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0},
    {"int8-int8", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0},
    {"fp8-fp8", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, 0, 0},
    {"bf16", LLQ_WEIGHT_DENSE, LLQ_ACTIVATION_NONE, 0, 0},
    {"int4-zero-g64", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 1, 64},
    {"int4-zero-g128", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 1, 128},
    {"int4-channel", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 0},
    {"int8-g128", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 128},
    {"int8-g64", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 64},
};

int64_t data_size(const cuda_linear &w) {
  int64_t n = w.n_out * w.n_in;
  return w.format == LLQ_WEIGHT_INT4 ? n / 2 : w.format == LLQ_WEIGHT_DENSE ? 2 * n : n;
}

int64_t total_size(const cuda_linear &w) {
  int64_t scales = w.format == LLQ_WEIGHT_DENSE ? 0 : w.n_out * w.n_groups;
  return data_size(w) + scales * (w.zero != nullptr ? 4 : 2);
}

/* In the checkpoint's layout. */
cuda_linear random_linear(const format &f, int64_t n_out, int64_t n_in) {
  cuda_linear w = {};
  w.format = f.format;
  w.dtype = LLQ_BF16;
  w.activation = f.activation;
  w.layout = CUDA_LAYOUT_PLAIN;
  w.n_out = n_out;
  w.n_in = n_in;
  w.group_size = f.group_size > 0 && n_in % f.group_size == 0 ? f.group_size : n_in;
  w.n_groups = n_in / w.group_size;
  float root = sqrtf(static_cast<float>(n_in)), code = 1;
  if (w.format == LLQ_WEIGHT_DENSE) {
    w.data = random_bf16(n_out * n_in, 0, 1.7f / root);
    return w;
  }
  code = w.format == LLQ_WEIGHT_INT4 ? 4.6f : w.format == LLQ_WEIGHT_INT8 ? 74.0f : 140.0f;
  w.data = random_memory(data_size(w), 1, f.format == LLQ_WEIGHT_FP8 ? fill_e4m3 : fill_bits);
  w.scale = random_bf16(n_out * w.n_groups, 1 / root / code, 0.5f / root / code);
  if (f.has_zero)
    w.zero = static_cast<int8_t *>(random_memory(n_out * w.n_groups, 1, fill_zero_point));
  return w;
}

/* Int4 tiled; other formats stay, and share memory with what they came from. */
cuda_linear tiled(const cuda_linear &from) {
  cuda_linear w = from;
  if (w.format != LLQ_WEIGHT_INT4)
    return w;
  int64_t n_scales = w.n_out * w.n_groups;
  w.layout = CUDA_LAYOUT_TILED;
  CHECK(cudaMalloc(&w.data, data_size(w)));
  CHECK(cudaMalloc(&w.scale, 2 * n_scales));
  CHECK(cuda_repack_int4(stream, from.data, w.n_out, w.n_in, w.data));
  CHECK(cuda_repack_scales(stream, from.scale, w.n_out, w.n_groups, w.scale));
  if (w.zero != nullptr) {
    void *zero;
    CHECK(cudaMalloc(&zero, 2 * n_scales));
    CHECK(cuda_repack_zeros(stream, from.zero, w.n_out, w.n_groups, zero));
    w.zero = static_cast<int8_t *>(zero);
  }
  return w;
}

void release(cuda_linear &w) {
  CHECK(cudaFree(w.data));
  CHECK(cudaFree(w.scale));
  CHECK(cudaFree(w.zero));
}

void release_both(cuda_linear &plain, cuda_linear &w) {
  if (w.data != plain.data)
    release(w);
  release(plain);
}

typedef std::function<cudaError_t(const cuda_launch *, const cuda_product *)> launcher;

void *scratch;
unsigned *counters;
constexpr size_t scratch_size = 64 << 20;

void make_scratch() {
  CHECK(cudaMalloc(&scratch, scratch_size));
  CHECK(cudaMalloc(&counters, CUDA_N_COUNTERS * sizeof *counters));
  CHECK(cudaMemset(counters, 0, CUDA_N_COUNTERS * sizeof *counters));
}

void run(const launcher &launcher, const cuda_product &product, int overlaps) {
  cuda_launch launch = {stream, n_units, overlaps, scratch, scratch_size, counters};
  CHECK(launcher(&launch, &product));
}

/* Where a row's result may depend on the number of rows. */
cudaError_t sm90_fast(const cuda_launch *launch, const cuda_product *product) {
  return sm90_fixed_takes(product) ? sm90_fixed(launch, product) : sm90_stream(launch, product);
}

cudaError_t sm80_fast(const cuda_launch *launch, const cuda_product *product) {
  return sm80_fixed_takes(product) ? sm80_fixed(launch, product) : sm80_stream(launch, product);
}

struct shape {
  const char *name;
  int64_t n_out, n_in;
  int norm, swiglu, residual, f32;
};

/* A product with inputs of its own. */
struct problem {
  cuda_product product;
  bf16 *x, *norm, *residual;
  void *out;
  int64_t out_width, out_size;

  problem(const shape &s, const cuda_linear *linear, int64_t n_rows) {
    out_width = s.swiglu ? s.n_out / 2 : s.n_out;
    out_size = s.f32 ? 4 : 2;
    x = random_bf16(n_rows * s.n_in, 0.1f, 2);
    norm = s.norm ? random_bf16(s.n_in, 1, 0.5f) : nullptr;
    residual = s.residual ? random_bf16(n_rows * out_width, 0, 1) : nullptr;
    CHECK(cudaMalloc(&out, n_rows * out_width * out_size));
    product = {linear, x,        n_rows, norm,
               1e-5f,  s.swiglu, residual, out, s.f32 ? LLQ_F32 : LLQ_BF16};
  }

  ~problem() {
    cudaFree(x);
    cudaFree(norm);
    cudaFree(residual);
    cudaFree(out);
  }

  std::vector<char> outputs() const {
    std::vector<char> host(product.n_rows * out_width * out_size);
    CHECK(cudaMemcpyAsync(host.data(), out, host.size(), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    return host;
  }

  /* Rows first .. first + n - 1, to poisoned memory. */
  std::vector<char> run_rows(const launcher &launcher, int64_t first, int64_t n, int overlaps) const {
    cuda_product part = product;
    part.x = x + first * product.linear->n_in;
    part.n_rows = n;
    if (residual != nullptr)
      part.residual = residual + first * out_width;
    CHECK(cudaMemsetAsync(out, 0xff, product.n_rows * out_width * out_size, stream));
    run(launcher, part, overlaps);
    std::vector<char> all = outputs();
    all.resize(n * out_width * out_size);
    return all;
  }
};

__global__ void __launch_bounds__(512) read_all(const uint4 *p, int64_t n, uint32_t *out) {
  uint32_t sum = 0;
  int64_t stride = gridDim.x * 512ll;
  for (int64_t i = blockIdx.x * 512ll + threadIdx.x; i + 3 * stride < n; i += 4 * stride) {
    uint4 v[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
      v[k] = __ldcs(p + i + k * stride);
#pragma unroll
    for (int k = 0; k < 4; k++)
      sum += v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
  }
  if (sum == 0x12345678)
    *out = sum;
}

/* The median of 11 replays of a graph, in microseconds. */
template <class Work> double median_us(Work work) {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  work();
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&executable, graph, 0));
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i < 13; i++) {
    float ms;
    CHECK(cudaEventRecord(begin, stream));
    CHECK(cudaGraphLaunch(executable, stream));
    CHECK(cudaEventRecord(end, stream));
    CHECK(cudaEventSynchronize(end));
    CHECK(cudaEventElapsedTime(&ms, begin, end));
    if (i >= 2)
      times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  CHECK(cudaGraphExecDestroy(executable));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaEventDestroy(begin));
  CHECK(cudaEventDestroy(end));
  return 1000 * times[times.size() / 2];
}

double measure_bandwidth() {
  const int64_t size = 4ll << 30;
  void *p = random_memory(size, 1, fill_bits);
  double us = median_us([&] {
    read_all<<<4 * n_units, 512, 0, stream>>>(static_cast<uint4 *>(p), size / 16, nullptr);
  });
  CHECK(cudaFree(p));
  return size / us * 1e-6; /* TB/s */
}

} // namespace

#endif
