/* SPDX-License-Identifier: Apache-2.0 */
/* The linears of few rows on a GPU, held against the plain kernels, then timed.

     bench/bench_cuda_stream test      correctness only
     bench/bench_cuda_stream quick     tiny shapes, for compute-sanitizer
     bench/bench_cuda_stream [bench]   times, with cold weights */
#include <cuda_bf16.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "backends/cuda/common/repack.h"
#include "backends/cuda/kernels.h"
#include "backends/cuda/sm80/stream.h"
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

/* ---- random device memory ---- */

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

/* ---- weights ---- */

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

/* ---- running ---- */

typedef cudaError_t (*launcher)(const cuda_launch *, const cuda_product *);

/* Scratch is not needed by any kernel here so far. */
void run(launcher launcher, const cuda_product &product, int overlaps) {
  cuda_launch launch = {stream, n_units, overlaps, nullptr, 0};
  CHECK(launcher(&launch, &product));
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
  std::vector<char> run_rows(launcher launcher, int64_t first, int64_t n, int overlaps) const {
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

__global__ void split_halves(const bf16 *y, int64_t n_rows, int64_t half, bf16 *gate, bf16 *up) {
  for (int64_t i = blockIdx.x * 256ll + threadIdx.x; i < n_rows * half; i += gridDim.x * 256ll) {
    gate[i] = y[i / half * 2 * half + i % half];
    up[i] = y[i / half * 2 * half + half + i % half];
  }
}

/* The plain operations, one after another, with the checkpoint's layout. */
std::vector<char> reference(const problem &p, const cuda_linear &plain) {
  const cuda_product &product = p.product;
  int64_t n = product.n_rows, n_out = plain.n_out, n_in = plain.n_in;
  int dtype = product.out_dtype;
  bf16 *x, *y, *gate, *up;
  CHECK(cudaMalloc(&x, n * n_in * 2));
  CHECK(cudaMalloc(&y, n * n_out * 4));
  CHECK(cudaMalloc(&gate, n * n_out));
  CHECK(cudaMalloc(&up, n * n_out));
  if (product.norm != nullptr)
    CHECK(any_rms_norm(stream, product.x, product.norm, product.eps, n, n_in, x, LLQ_BF16));
  else
    CHECK(cudaMemcpyAsync(x, product.x, n * n_in * 2, cudaMemcpyDeviceToDevice, stream));
  CHECK(any_linear(stream, &plain, x, n, LLQ_BF16, y, dtype));
  if (product.swiglu) {
    split_halves<<<1024, 256, 0, stream>>>(y, n, n_out / 2, gate, up);
    CHECK(any_swiglu(stream, gate, up, n * n_out / 2, y, LLQ_BF16));
  }
  if (product.residual != nullptr)
    CHECK(any_add(stream, y, product.residual, n * p.out_width, LLQ_BF16));
  std::vector<char> host(n * p.out_width * p.out_size);
  CHECK(cudaMemcpyAsync(host.data(), y, host.size(), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  cudaFree(x), cudaFree(y), cudaFree(gate), cudaFree(up);
  return host;
}

float number(const std::vector<char> &v, int64_t i, int64_t size) {
  uint32_t bits = 0;
  memcpy(reinterpret_cast<char *>(&bits) + 4 - size, v.data() + i * size, size);
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

/* ---- tests ---- */

int n_failures, n_checks;

void expect(bool ok, const char *what, const char *format, const shape &s, int64_t n_rows) {
  n_checks++;
  if (ok)
    return;
  if (n_failures++ < 40)
    printf("FAILED %s: %s %s %lldx%lld, %lld rows\n", what, format, s.name, (long long)s.n_out,
           (long long)s.n_in, (long long)n_rows);
}

/* The largest error of any row, as a fraction of the row's largest value. */
double compare(const std::vector<char> &out, const std::vector<char> &ref, const problem &p) {
  double worst = 0;
  int64_t width = p.out_width;
  for (int64_t r = 0; r < p.product.n_rows; r++) {
    double peak = 0, error = 0;
    int64_t at = -1;
    for (int64_t o = r * width; o < (r + 1) * width; o++) {
      double difference = fabs(number(out, o, p.out_size) - number(ref, o, p.out_size));
      peak = std::max(peak, fabs((double)number(ref, o, p.out_size)));
      if (!(difference <= error))
        error = difference, at = o;
      if (isnan(difference))
        break;
    }
    if (!(error <= peak / 128) && n_failures < 10)
      printf("  row %lld output %lld: %g for %g, peak %g\n", (long long)r, (long long)(at % width),
             number(out, at, p.out_size), number(ref, at, p.out_size), peak);
    if (!(error / peak <= worst))
      worst = error / peak;
  }
  return worst;
}

bool same_rows(const std::vector<char> &part, const std::vector<char> &all, const problem &p,
               int64_t first) {
  return memcmp(part.data(), all.data() + first * p.out_width * p.out_size, part.size()) == 0;
}

double test_shape(const format &f, const shape &s, int64_t n_rows, int n_parts) {
  cuda_linear plain = random_linear(f, s.n_out, s.n_in), w = tiled(plain);
  problem p(s, &w, n_rows);
  launcher newest = sm >= 90 ? sm90_stream : sm80_stream;
  expect(sm90_stream_takes(&p.product) && sm80_stream_takes(&p.product), "takes", f.name, s, n_rows);
  std::vector<char> all = p.run_rows(newest, 0, n_rows, 0);
  double error = compare(all, reference(p, plain), p);
  expect(error <= (f.activation ? 1 / 64. : 1 / 128.), "result", f.name, s, n_rows);
  expect(all == p.run_rows(newest, 0, n_rows, sm >= 90), "overlap", f.name, s, n_rows);
  expect(all == p.run_rows(sm80_stream, 0, n_rows, 0), "other table", f.name, s, n_rows);
  for (int64_t n = 1; n <= n_parts && n <= n_rows; n++) {
    int64_t first = n * 7 % (n_rows - n + 1);
    expect(same_rows(p.run_rows(newest, first, n, 0), all, p, first), "rows alone", f.name, s, n);
    if (n % 5 == 1)
      expect(same_rows(p.run_rows(sm80_stream, first, n, 0), all, p, first), "rows alone, sm80",
             f.name, s, n);
  }
  release_both(plain, w);
  return error;
}

/* A NaN and an infinity in x, and an infinity in a scale, reach their outputs. */
void test_special(const format &f) {
  shape s = {"special", 64, 256, 0, 0, 0, 1};
  cuda_linear plain = random_linear(f, s.n_out, s.n_in);
  bf16 infinite = __float2bfloat16(INFINITY), nan = __float2bfloat16(NAN);
  if (plain.scale != nullptr)
    CHECK(cudaMemcpy(static_cast<bf16 *>(plain.scale) + 5 * plain.n_groups, &infinite, 2,
                     cudaMemcpyHostToDevice));
  cuda_linear w = tiled(plain);
  problem p(s, &w, 4);
  CHECK(cudaMemcpy(p.x + 1 * s.n_in + 77, &nan, 2, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy(p.x + 2 * s.n_in + 200, &infinite, 2, cudaMemcpyHostToDevice));
  CHECK(cudaMemset(p.x + 3 * s.n_in, 0, 2 * s.n_in));
  std::vector<char> out = p.run_rows(sm >= 90 ? sm90_stream : sm80_stream, 0, 4, 0);
  std::vector<char> ref = reference(p, plain);
  for (int64_t i = 0; i < 4 * s.n_out; i++) {
    float a = number(out, i, 4), b = number(ref, i, 4);
    expect(isnan(a) == isnan(b) && isinf(a) == isinf(b), "special", f.name, s, i);
  }
  release_both(plain, w);
}

const shape quick_shapes[] = {
    {"norm", 96, 256, 1, 0, 0, 0},
    {"swiglu", 96, 256, 1, 1, 0, 0},
    {"residual", 80, 768, 0, 0, 1, 0},
};
const shape test_shapes[] = {
    {"norm", 384, 256, 1, 0, 0, 0},       {"swiglu", 1536, 256, 1, 1, 0, 0},
    {"residual", 256, 768, 0, 0, 1, 0},   {"f32", 2048, 256, 1, 0, 0, 1},
    {"narrow", 16, 64, 1, 0, 0, 0},       {"odd", 4240, 2112, 0, 0, 1, 0},
    {"odd swiglu", 4256, 1344, 1, 1, 0, 0}, {"wide", 2064, 8192, 1, 0, 0, 0},
};
const shape layer[] = {
    {"qkv", 6144, 4096, 1, 0, 0, 0},
    {"o", 4096, 4096, 0, 0, 1, 0},
    {"gate_up", 28672, 4096, 1, 1, 0, 0},
    {"down", 4096, 14336, 0, 0, 1, 0},
};

void test(int quick) {
  for (const format &f : formats) {
    double worst = 0;
    if (quick) {
      for (const shape &s : quick_shapes)
        worst = std::max(worst, test_shape(f, s, 19, 1));
    } else {
      for (const shape &s : test_shapes)
        worst = std::max(worst, test_shape(f, s, 300, 40));
      for (const shape &s : layer)
        worst = std::max(worst, test_shape(f, s, 17, 3));
      test_special(f);
    }
    printf("%-15s worst error 2^%.2f of a row's largest\n", f.name, log2(worst));
  }
  printf("%d checks, %d failed\n", n_checks, n_failures);
}

/* ---- times ---- */

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

/* Layers of distinct weights, and the activations that go through them. */
struct stack {
  static constexpr int n_layers = 12;
  std::vector<cuda_linear> linears[4];
  bf16 *norm, *hidden, *wide, *inner;

  explicit stack(const format &f) {
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < n_layers; j++) {
        cuda_linear plain = random_linear(f, layer[i].n_out, layer[i].n_in), w = tiled(plain);
        if (w.data != plain.data)
          release(plain);
        linears[i].push_back(w);
      }
    norm = random_bf16(14336, 1, 0.5f);
    hidden = random_bf16(64 * 4096, 0, 1);
    wide = random_bf16(64 * 6144, 0, 1);
    inner = random_bf16(64 * 14336, 0, 1);
  }

  ~stack() {
    for (auto &of_shape : linears)
      for (cuda_linear &w : of_shape)
        release(w);
    cudaFree(norm), cudaFree(hidden), cudaFree(wide), cudaFree(inner);
  }

  cuda_product product(int which, int j, int64_t n_rows) const {
    const bf16 *x[] = {hidden, wide, hidden, inner};
    bf16 *out[] = {wide, hidden, inner, hidden};
    const shape &s = layer[which];
    return {&linears[which][j], x[which], n_rows, s.norm ? norm : nullptr, 1e-5f, s.swiglu,
            s.residual ? hidden : nullptr, out[which], LLQ_BF16};
  }

  double alone(launcher launcher, int which, int64_t n_rows, int overlaps) const {
    return median_us([&] {
             for (int j = 0; j < n_layers; j++)
               run(launcher, product(which, j, n_rows), overlaps);
           }) / n_layers;
  }

  double chain(launcher launcher, int64_t n_rows, int overlaps) const {
    return median_us([&] {
             for (int j = 0; j < n_layers; j++)
               for (int i = 0; i < 4; i++)
                 run(launcher, product(i, j, n_rows), overlaps);
           }) / n_layers;
  }

  double floor_us(int which, double bandwidth) const {
    return total_size(linears[which][0]) / bandwidth * 1e-6;
  }
};

void time_formats(double bandwidth) {
  for (const format &f : formats) {
    stack stack(f);
    double floor = 0;
    printf("%-14s floor us:", f.name);
    for (int i = 0; i < 4; i++) {
      floor += stack.floor_us(i, bandwidth);
      printf(" %s %.2f", layer[i].name, stack.floor_us(i, bandwidth));
    }
    printf(" all %.2f\n", floor);
    for (int n : {1, 2, 4, 8, 16, 32, 64}) {
      double us = stack.chain(sm90_stream, n, 1);
      printf("  rows %2d  chain %6.2f (x %.2f), serial %6.2f, sm80 %6.2f; alone", n, us, us / floor,
             stack.chain(sm90_stream, n, 0), stack.chain(sm80_stream, n, 0));
      for (int i = 0; i < 4; i++)
        printf(" %.2f/%.2f", stack.alone(sm90_stream, i, n, 1), stack.alone(sm90_stream, i, n, 0));
      printf("\n");
    }
    if (f.has_zero)
      break;
  }
}

void time_output_matrix(double bandwidth) {
  shape s = {"lm_head", 128256, 4096, 1, 0, 0, 1};
  std::vector<cuda_linear> w;
  for (int i = 0; i < 4; i++)
    w.push_back(random_linear(formats[4], s.n_out, s.n_in));
  for (int n : {1, 8, 16}) {
    problem p(s, &w[0], n);
    double us = median_us([&] {
                  for (cuda_linear &linear : w) {
                    p.product.linear = &linear;
                    run(sm90_stream, p.product, 1);
                  }
                }) / 4;
    double floor = total_size(w[0]) / bandwidth * 1e-6;
    printf("lm_head bf16, rows %2d: %.1f us, %.1f %% of read bandwidth\n", n, us, 100 * floor / us);
  }
  for (cuda_linear &linear : w)
    release(linear);
}

void time_all() {
  double bandwidth = measure_bandwidth();
  printf("read bandwidth %.3f TB/s\n", bandwidth);
  time_formats(bandwidth);
  time_output_matrix(bandwidth);
  printf("read bandwidth %.3f TB/s\n", measure_bandwidth());
}

} // namespace

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "bench";
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  n_units = properties.multiProcessorCount;
  sm = 10 * properties.major + properties.minor;
  printf("%s, %d multiprocessors\n", properties.name, n_units);
  if (strcmp(what, "bench") == 0)
    time_all();
  else
    test(strcmp(what, "quick") == 0);
  return n_failures > 0;
}
