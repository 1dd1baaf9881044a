/* SPDX-License-Identifier: Apache-2.0 */
/* Products through cuBLASLt and what surrounds them, held against the plain
   kernels and timed with cold weights: bench_cuda_library test|rows|time [ROWS] */
#include <cuda_fp8.h>

#include "bench/bench_cuda_support.cuh"

extern "C" {
#include "backends/cuda/library.h"
}
#include "backends/cuda/any/number.cuh"
#include "backends/cuda/common/dequantize.h"
#include "backends/cuda/common/quantize.h"

static cuda_device device;
static cuda_launch launch;
static int n_failed, n_checks;

static const kind kinds[] = {
    {"bf16", LLQ_WEIGHT_DENSE, LLQ_ACTIVATION_NONE, 0, 0},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, 0, 0},
    {"w8a8-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0},
    {"w4a16 128", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 128, 0},
    {"w4a16 zero", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 64, 1},
    {"w8a16", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0},
    {"w8a16 64", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 64, 0},
    {"w8a16-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_NONE, 0, 0},
};

/* ---- Rows ---- */

/* Codes and scales as the CPU's reference makes them, a thread a row. */
__global__ void plain_codes(const __nv_bfloat16 *x, int64_t n, int activation, uint8_t *codes,
                            float *scales) {
  const __nv_bfloat16 *row = x + blockIdx.x * n;
  float peak = 0, bad = 0;
  for (int64_t i = 0; i < n; i++) {
    float v = __bfloat162float(row[i]);
    peak = fmaxf(peak, fabsf(v));
    bad += v - v;
  }
  float scale = (peak + bad) / (activation == LLQ_ACTIVATION_INT8 ? 127.5f : 448.0f);
  scale = scale == 0 ? 1.0f : scale;
  scales[blockIdx.x] = scale;
  for (int64_t i = 0; i < n; i++) {
    float q = __bfloat162float(row[i]) / scale;
    codes[blockIdx.x * n + i] =
        activation == LLQ_ACTIVATION_INT8
            ? static_cast<uint8_t>(static_cast<int8_t>(fminf(fmaxf(rintf(q), -128.0f), 127.0f)))
            : __nv_cvt_float_to_fp8(q, __NV_SATFINITE, __NV_E4M3);
  }
}

/* Rows whose scales are out of the ordinary. */
__global__ void strange_rows(__nv_bfloat16 *x, int64_t n) {
  const float sizes[] = {0, 1e-38f, 1e-30f, 1e30f, 3e38f};
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
    x[blockIdx.x * n + i] =
        blockIdx.x < 5 ? __float2bfloat16(__bfloat162float(x[blockIdx.x * n + i]) *
                                          (sizes[blockIdx.x] / 2))
        : i == n / 2   ? __float2bfloat16(blockIdx.x == 5 ? NAN : INFINITY)
                       : x[blockIdx.x * n + i];
}

static void expect(bool is_right, const char *what, int64_t n_rows, int64_t n_cols, double value) {
  n_checks++;
  if (is_right)
    return;
  if (n_failed++ < 40)
    printf("  wrong: %s [%lld, %lld]: %g\n", what, static_cast<long long>(n_rows),
           static_cast<long long>(n_cols), value);
}

static float value_of(uint8_t code, int activation) {
  __nv_fp8_e4m3 e4m3;
  e4m3.__x = code;
  return activation == LLQ_ACTIVATION_INT8 ? static_cast<float>(static_cast<int8_t>(code))
                                           : static_cast<float>(e4m3);
}

static void test_codes(const __nv_bfloat16 *x, int64_t n_rows, int64_t n_cols, int activation) {
  int64_t n = n_rows * n_cols;
  auto *a = static_cast<uint8_t *>(allocate(n)), *b = static_cast<uint8_t *>(allocate(n));
  void *values = allocate(2 * n);
  auto *sa = static_cast<float *>(allocate(4 * n_rows)),
       *sb = static_cast<float *>(allocate(4 * n_rows));
  cuda_rows rows = {};
  rows.x = x;
  rows.activation = activation;
  rows.out = a;
  rows.row_scale = sa;
  rows.n_rows = n_rows;
  rows.n_cols = n_cols;
  MUST(common_rows(&launch, &rows));
  rows.out = values;
  rows.codes_as_bf16 = 1;
  MUST(common_rows(&launch, &rows));
  MUST(cudaStreamSynchronize(launch.stream));
  plain_codes<<<static_cast<unsigned>(n_rows), 1>>>(x, n_cols, activation, b, sb);
  std::vector<uint8_t> ha(n), hb(n);
  MUST(cudaMemcpy(ha.data(), a, n, cudaMemcpyDeviceToHost));
  MUST(cudaMemcpy(hb.data(), b, n, cudaMemcpyDeviceToHost));
  std::vector<float> va = to_host(sa, n_rows, 1), vb = to_host(sb, n_rows, 1);
  std::vector<float> as_bf16 = to_host(values, n, 0);
  int64_t n_wrong = 0, n_values = 0;
  for (int64_t i = 0; i < n; i++) {
    if (isnan(vb[i / n_cols]))
      continue;
    float a_value = value_of(ha[i], activation), b_value = value_of(hb[i], activation);
    n_wrong += a_value != b_value; /* 0 may be -0 */
    n_values += as_bf16[i] != a_value;
  }
  const char *name = activation == LLQ_ACTIVATION_INT8 ? "int8 codes" : "e4m3 codes";
  expect(n_wrong == 0, name, n_rows, n_cols, static_cast<double>(n_wrong));
  expect(n_values == 0, "codes as bf16", n_rows, n_cols, static_cast<double>(n_values));
  difference scales(va, vb);
  expect(scales.n_unequal == 0, "row scales", n_rows, n_cols, scales.worst);
  for (void *p : {static_cast<void *>(a), static_cast<void *>(b), values, static_cast<void *>(sa),
                  static_cast<void *>(sb)})
    cudaFree(p);
}

/* x + y, its norm, and SwiGLU against the plain kernels. */
static void test_sums(const __nv_bfloat16 *x, int64_t n_rows, int64_t n_cols) {
  int64_t n = n_rows * n_cols;
  auto *y = random_bf16(n, 1, 0, 77), *norm = random_bf16(n_cols, 0.3f, 1, 78);
  auto *pair = random_bf16(2 * n, 2, 0, 79);
  char *memory = static_cast<char *>(allocate(10 * n + 64));
  void *sum = memory, *out = memory + 2 * n, *sum_b = memory + 4 * n, *out_b = memory + 6 * n;
  cuda_rows rows = {};
  rows.x = x;
  rows.y = y;
  rows.sum = sum;
  rows.norm = norm;
  rows.eps = 1e-5f;
  rows.out = out;
  rows.n_rows = n_rows;
  rows.n_cols = n_cols;
  expect(common_rows_takes(&rows), "takes", n_rows, n_cols, 0);
  MUST(common_rows(&launch, &rows));
  MUST(cudaMemcpy(sum_b, x, 2 * n, cudaMemcpyDeviceToDevice));
  MUST(any_add(0, sum_b, y, n, LLQ_BF16));
  MUST(any_rms_norm(0, sum_b, norm, 1e-5f, n_rows, n_cols, out_b, LLQ_BF16));
  MUST(cudaDeviceSynchronize());
  difference sums(to_host(sum, n, 0), to_host(sum_b, n, 0));
  difference norms(to_host(out, n, 0), to_host(out_b, n, 0));
  expect(sums.n_unequal == 0, "sum", n_rows, n_cols, sums.worst);
  expect(norms.worst < 0.04 && norms.n_unequal * 200 <= static_cast<size_t>(n) + 400, "norm",
         n_rows, n_cols, static_cast<double>(norms.n_unequal));
  cuda_rows gate = {};
  gate.x = pair;
  gate.swiglu = 1;
  gate.out = out;
  gate.n_rows = n_rows;
  gate.n_cols = n_cols;
  MUST(common_rows(&launch, &gate));
  for (int64_t r = 0; r < n_rows; r++)
    MUST(any_swiglu(0, pair + 2 * r * n_cols, pair + (2 * r + 1) * n_cols, n_cols,
                    static_cast<__nv_bfloat16 *>(out_b) + r * n_cols, LLQ_BF16));
  MUST(cudaDeviceSynchronize());
  difference gates(to_host(out, n, 0), to_host(out_b, n, 0));
  expect(gates.n_unequal == 0, "swiglu", n_rows, n_cols, gates.worst);
  for (void *p : {static_cast<void *>(y), static_cast<void *>(norm), static_cast<void *>(pair),
                  static_cast<void *>(memory)})
    cudaFree(p);
}

static void test_rows() {
  for (int64_t n_cols : {8, 64, 288, 776, 2048, 4096, 14336, 28672, 65536})
    for (int64_t n_rows : {1, 7, 40}) {
      auto *x = random_bf16(n_rows * n_cols, 1, 0, static_cast<uint32_t>(n_cols + n_rows));
      test_sums(x, n_rows, n_cols);
      if (n_rows == 7)
        strange_rows<<<7, 256>>>(x, n_cols);
      MUST(cudaDeviceSynchronize());
      test_codes(x, n_rows, n_cols, LLQ_ACTIVATION_INT8);
      test_codes(x, n_rows, n_cols, LLQ_ACTIVATION_FP8);
      cudaFree(x);
    }
}

static void test_dequantize(const kind &k, int64_t n_out, int64_t n_in) {
  cuda_linear w = make_linear(k, n_out, n_in, 5);
  int64_t n = n_out * n_in, first = n_out / 32 * 16;
  char *memory = static_cast<char *>(allocate(4 * n));
  expect(common_dequantize_takes(&w), "takes dequantization", n_out, n_in, 0);
  expand<<<grid_for(n), 256>>>(w, reinterpret_cast<__nv_bfloat16 *>(memory));
  MUST(cudaDeviceSynchronize());
  MUST(common_dequantize(&launch, &w, 0, first, memory + 2 * n));
  MUST(common_dequantize(&launch, &w, first, n_out - first, memory + 2 * n + 2 * first * n_in));
  MUST(cudaDeviceSynchronize());
  difference d(to_host(memory + 2 * n, n, 0), to_host(memory, n, 0));
  expect(d.n_unequal == 0, k.name, n_out, n_in, d.worst);
  cudaFree(memory);
  free_linear(w);
}

/* ---- Products ---- */

struct setup {
  cuda_linear w;
  __nv_bfloat16 *x, *norm, *residual;
  void *out, *expected;
  cuda_product product;
};

static setup make_setup(const kind &k, int64_t n_out, int64_t n_in, int64_t n_rows, int variant) {
  setup s = {};
  s.w = make_linear(k, n_out, n_in, static_cast<uint32_t>(n_out + n_in));
  s.x = random_bf16(n_rows * n_in, 1, 0, 21);
  s.norm = random_bf16(n_in, 0.3f, 1, 22);
  s.residual = random_bf16(n_rows * n_out, 1, 0, 23);
  s.out = allocate(4 * n_rows * n_out);
  s.expected = allocate(4 * n_rows * n_out);
  s.product = {.linear = nullptr, .x = s.x, .n_rows = n_rows};
  s.product.norm = variant & 1 ? s.norm : nullptr;
  s.product.eps = 1e-5f;
  s.product.swiglu = variant >> 1 & 1;
  s.product.residual = variant & 4 ? s.residual : nullptr;
  s.product.out_dtype = variant & 8 ? LLQ_F32 : LLQ_BF16;
  s.product.out = s.expected;
  plain_product(s.product, s.w);
  s.product.out = s.out;
  return s;
}

static void free_setup(setup &s) {
  free_linear(s.w);
  for (void *p : {static_cast<void *>(s.x), static_cast<void *>(s.norm),
                  static_cast<void *>(s.residual), s.out, s.expected})
    cudaFree(p);
}

static void test_product(cuda_library *library, const kind &k, int64_t n_out, int64_t n_in,
                         int64_t n_rows_max, int variant, double *worst) {
  setup s = make_setup(k, n_out, n_in, n_rows_max, variant);
  int64_t n_cols = s.product.swiglu ? n_out / 2 : n_out;
  int is_f32 = s.product.out_dtype == LLQ_F32;
  std::vector<float> expected = to_host(s.expected, n_rows_max * n_cols, is_f32);
  char name[64];
  snprintf(name, sizeof name, "%s, variant %d", k.name, variant);
  for (int64_t n_rows : {1, 2, 17, 33, 64, 100, 128, 255, 300}) {
    if (n_rows > n_rows_max)
      continue;
    s.product.linear = &s.w;
    s.product.n_rows = n_rows;
    MUST(cudaMemset(s.out, 0xff, 4 * n_rows * n_out));
    launch.scratch_size = n_rows % 2 ? cuda_library_scratch_least(&s.product)
                                     : cuda_library_scratch(&s.product);
    expect(cuda_library_takes(library, &s.product), name, n_rows, n_out, -1);
    if (cuda_library_product(library, &launch, &s.product, 0) < 0)
      exit(1);
    MUST(cudaDeviceSynchronize());
    std::vector<float> got = to_host(s.out, n_rows * n_cols, is_f32);
    difference d(got, std::vector<float>(expected.begin(), expected.begin() + n_rows * n_cols));
    bool is_exact = k.activation == LLQ_ACTIVATION_INT8 && s.product.norm == nullptr;
    /* With a norm, a code may be its neighbour. */
    double bound = is_exact ? 0 : s.product.norm != nullptr && s.w.activation ? 0.1 : 0.025;
    expect(d.worst <= bound, name, n_rows, n_out, d.worst);
    *worst = std::max(*worst, d.worst);
  }
  free_setup(s);
}

static void test_products() {
  const int64_t shapes[][3] = {{16, 16, 40},     {288, 288, 300},   {768, 288, 300}, {288, 768, 300},
                               {6144, 4096, 300}, {4096, 14336, 64}, {28672, 4096, 33}};
  cuda_library *library;
  cuda_library_open(&library, &device, 0);
  for (const kind &k : kinds) {
    double worst = 0;
    for (const auto &shape : shapes) {
      if (shape[1] % 64 != 0 && (k.group_size > 0 || k.format == LLQ_WEIGHT_INT4))
        continue;
      if (k.group_size > 0 && shape[1] % k.group_size != 0)
        continue;
      if (k.activation == LLQ_ACTIVATION_NONE && k.format != LLQ_WEIGHT_DENSE)
        test_dequantize(k, shape[0], shape[1]);
      for (int variant : {0, 1, 2, 3, 4, 5, 8})
        if (!(variant & 2) || shape[0] % 32 == 0)
          test_product(library, k, shape[0], shape[1], shape[2], variant, &worst);
    }
    printf("%-11s largest difference %.2g\n", k.name, worst);
  }
  cuda_library_close(library);
}

/* ---- Times ---- */

static void time_product(cuda_library *library, const kind &k, int64_t n_out, int64_t n_in,
                         int64_t n_rows, int64_t piece, const char *label) {
  double bytes = static_cast<double>(n_out * n_in) * (k.format == LLQ_WEIGHT_DENSE ? 2
                                                      : k.format == LLQ_WEIGHT_INT4 ? 0.5
                                                                                    : 1);
  int n_sets = std::max(1, std::min(6, static_cast<int>(2.5e8 / bytes)));
  std::vector<cuda_linear> w;
  for (int i = 0; i < n_sets; i++) {
    w.push_back(make_linear(k, n_out, n_in, static_cast<uint32_t>(i)));
    if (k.activation == LLQ_ACTIVATION_FP8) {
      w.back().scale_f32 = static_cast<float *>(allocate(4 * n_out));
      MUST(common_to_floats(&launch, w.back().scale, LLQ_BF16, n_out, w.back().scale_f32));
    }
  }
  auto *x = random_bf16(n_rows * n_in, 1, 0, 3);
  void *out = allocate(2 * n_rows * n_out);
  cuda_product product = {.linear = nullptr, .x = x, .n_rows = n_rows};
  product.out = out;
  product.out_dtype = LLQ_BF16;
  product.linear = &w[0];
  launch.scratch_size = cuda_library_scratch_least(&product) + static_cast<size_t>(piece);
  MUST(cudaDeviceSynchronize());
  double us = time_graph(launch.stream, n_sets, [&](int i) {
    product.linear = &w[i];
    if (cuda_library_product(library, &launch, &product, 0) < 0)
      exit(1);
  });
  printf(" %s %.1f us %.0f", label, us, 2e-6 * n_rows * n_out * n_in / us);
  for (auto &linear : w)
    free_linear(linear);
  cudaFree(x);
  cudaFree(out);
}

/* The bare e4m3 product, exact and with fast sums. */
static void time_fp8(cuda_library *exact, cuda_library *fast_one, int64_t n_out, int64_t n_in, int64_t n_rows) {
  cuda_linear w = make_linear(kinds[1], n_out, n_in, 1), x = make_linear(kinds[1], n_rows, n_in, 2);
  auto *scale = static_cast<float *>(allocate(4 * (n_out + n_rows)));
  auto *ones = random_bf16(n_out + n_rows, 0.1f, 1, 3);
  char *out = static_cast<char *>(allocate(4 * n_rows * n_out));
  MUST(common_to_floats(&launch, ones, LLQ_BF16, n_out + n_rows, scale));
  MUST(cudaDeviceSynchronize());
  std::vector<float> results[2];
  for (int fast = 0; fast < 2; fast++) {
    cuda_library *library = fast ? fast_one : exact;
    cuda_matmul m = {CUDA_LIBRARY_FP8};
    m.n_rows = n_rows;
    m.n_out = m.out_stride = n_out;
    m.n_in = n_in;
    m.w = w.data;
    m.x = x.data;
    m.scale = scale;
    m.row_scale = scale + n_out;
    m.out = out;
    double us = time_graph(launch.stream, 4, [&](int) {
      if (cuda_library_matmul(library, launch.stream, &m) < 0)
        exit(1);
    });
    printf(" | bare fp8%s %.1f us %.0f", fast ? " fast" : "", us, 2e-6 * n_rows * n_out * n_in / us);
    results[fast] = to_host(out, n_rows * n_out, 0);
  }
  difference d(results[1], results[0]);
  printf(" differ %.2g", d.worst);
  free_linear(w);
  free_linear(x);
  cudaFree(scale);
  cudaFree(ones);
  cudaFree(out);
}

/* only: of so many rows; 0: of all. */
static void time_products(int64_t only) {
  const int64_t shapes[][2] = {{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}};
  cuda_library *plain, *tuned, *fast;
  cuda_library_open(&plain, &device, 0);
  cuda_library_open(&tuned, &device, CUDA_LIBRARY_TUNES);
  cuda_library_open(&fast, &device, CUDA_LIBRARY_FAST_SUMS);
  for (const auto &shape : shapes)
    for (int64_t n_rows : {17, 32, 64, 128, 256, 512, 1024, 2048, 4096}) {
      if (only > 0 && n_rows != only)
        continue;
      int64_t n_out = shape[0], n_in = shape[1];
      printf("%lldx%lld rows %lld:", static_cast<long long>(n_in), static_cast<long long>(n_out),
             static_cast<long long>(n_rows));
      time_product(plain, kinds[0], n_out, n_in, n_rows, 48 << 20, "bf16");
      time_product(tuned, kinds[0], n_out, n_in, n_rows, 48 << 20, "tuned");
      time_product(plain, kinds[1], n_out, n_in, n_rows, 48 << 20, "| fp8");
      time_product(tuned, kinds[1], n_out, n_in, n_rows, 48 << 20, "tuned");
      time_product(plain, kinds[2], n_out, n_in, n_rows, 48 << 20, "| int8");
      time_product(tuned, kinds[2], n_out, n_in, n_rows, 48 << 20, "tuned");
      time_product(plain, kinds[3], n_out, n_in, n_rows, 48 << 20, "| int4");
      time_fp8(plain, fast, n_out, n_in, n_rows);
      printf("\n");
      fflush(stdout);
    }
  cuda_library_close(plain);
  cuda_library_close(tuned);
  cuda_library_close(fast);
}

static void time_rows() {
  struct {
    const char *name;
    int swiglu, y, norm, activation;
    double bytes; /* a value */
    int any_order;
  } cases[] = {{"norm", 0, 0, 1, 0, 4, 0},
               {"norm, any order", 0, 0, 1, 0, 4, 1},
               {"add norm", 0, 1, 1, 0, 8, 0},
               {"quantize int8", 0, 0, 0, 1, 3, 0},
               {"quantize fp8, any order", 0, 0, 0, 2, 3, 1},
               {"norm quantize fp8", 0, 0, 1, 2, 3, 0},
               {"norm quantize fp8, any order", 0, 0, 1, 2, 3, 1},
               {"swiglu", 1, 0, 0, 0, 6, 0},
               {"swiglu quantize fp8", 1, 0, 0, 2, 5, 0}};
  for (const auto &c : cases) {
    printf("%-29s", c.name);
    for (int64_t n_cols : {4096, 14336})
      for (int64_t n_rows : {1, 32, 256, 1024, 2048, 4096}) {
        int n_sets = n_rows < 1024 ? 16 : 4;
        int64_t n = n_rows * n_cols;
        auto *x = random_bf16(2 * n * n_sets, 1, 0, 1), *y = random_bf16(n * n_sets, 1, 0, 2);
        auto *norm = random_bf16(n_cols, 0.1f, 1, 3);
        char *out = static_cast<char *>(allocate(2 * n * n_sets));
        auto *scales = static_cast<float *>(allocate(4 * n_rows));
        MUST(cudaDeviceSynchronize());
        double us = time_graph(launch.stream, n_sets, [&](int i) {
          cuda_rows rows = {};
          rows.x = x + 2 * n * i;
          rows.swiglu = c.swiglu;
          rows.y = c.y ? y + n * i : nullptr;
          rows.sum = c.y ? x + 2 * n * i : nullptr;
          rows.norm = c.norm ? norm : nullptr;
          rows.eps = 1e-5f;
          rows.activation = c.activation;
          rows.any_order = c.any_order;
          rows.out = out + 2 * n * i;
          rows.row_scale = scales;
          rows.n_rows = n_rows;
          rows.n_cols = n_cols;
          MUST(common_rows(&launch, &rows));
        });
        printf(" %.1f us %.0f,", us, c.bytes * n / us * 1e-3);
        for (void *p : {static_cast<void *>(x), static_cast<void *>(y), static_cast<void *>(norm),
                        static_cast<void *>(out), static_cast<void *>(scales)})
          cudaFree(p);
      }
    printf("\n");
  }
  for (int k : {3, 5, 7}) {
    cuda_linear w = make_linear(kinds[k], 28672, 4096, 1);
    double us = time_graph(launch.stream, 2, [&](int) {
      MUST(common_dequantize(&launch, &w, 0, 28672, launch.scratch));
    });
    printf("dequantize %s 28672x4096 %.1f us, %.0f GB/s\n", kinds[k].name, us,
           28672.0 * 4096 * (k == 3 ? 2.5 : 3) / us * 1e-3);
    free_linear(w);
  }
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "test";
  cudaDeviceProp properties;
  MUST(cudaGetDeviceProperties(&properties, 0));
  launch.n_units = properties.multiProcessorCount;
  launch.overlaps = properties.major >= 9;
  MUST(cudaStreamCreateWithFlags(&launch.stream, cudaStreamNonBlocking));
  launch.scratch = allocate(int64_t(1) << 30);
  launch.scratch_size = size_t(1) << 30;
  printf("%s\n", properties.name);
  if (strcmp(mode, "time") == 0) {
    time_products(argc > 2 ? atoll(argv[2]) : 0);
    return 0;
  }
  if (strcmp(mode, "rows") == 0) {
    time_rows();
    return 0;
  }
  test_rows();
  printf("rows: %d checks, %d failed\n", n_checks, n_failed);
  test_products();
  printf("%d checks, %d failed\n", n_checks, n_failed);
  return n_failed > 0;
}
