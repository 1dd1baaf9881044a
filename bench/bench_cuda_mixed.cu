/* SPDX-License-Identifier: Apache-2.0 */
/* The mixed int4 product of sm_90: held against a plain product on many shapes,
   then timed with every tile beside bf16 cuBLASLt, weights cold: [test|time] */
#include <cublasLt.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "backends/cuda/sm90/mixed.h"
#include "mixed_reference.cuh"

static const mixed_tiles kernels[] = {
    {16, 2, 2, 2, 1, 1, 0},  {32, 2, 2, 2, 1, 1, 0},  {64, 2, 2, 1, 1, 1, 0},
    {128, 2, 2, 1, 1, 1, 0}, {256, 1, 2, 1, 1, 1, 0}, {64, 1, 2, 2, 1, 1, 1},
    {64, 1, 2, 1, 1, 1, 1},  {128, 1, 2, 1, 1, 1, 1}, {192, 1, 2, 1, 1, 1, 1},
};

static std::string name_of(const mixed_tiles &t) {
  char name[64];
  snprintf(name, sizeof name, "%dx%d/%d.c%d.s%d%s", 64 * t.n_parts * t.n_warpgroups, t.n_rows,
           t.n_per_unit, t.n_sharers, t.n_splits, t.in_shares ? "=" : "");
  return name;
}

struct test_case {
  int64_t n_out, n_in, n_rows, group_size;
  bool zero, swiglu, residual, f32;
};

struct test_memory {
  __nv_bfloat16 *x, *dense, *residual;
  float *expected, *out, *worst;
  int *n_wrong;
  cuda_linear *linear;
};

static test_memory make_test(const test_case &c, const cuda_linear &w, int64_t n) {
  test_memory m = {device_memory<__nv_bfloat16>(c.n_rows * c.n_in),
                   device_memory<__nv_bfloat16>(c.n_out * c.n_in),
                   device_memory<__nv_bfloat16>(n),
                   device_memory<float>(n),
                   device_memory<float>(n),
                   device_memory<float>(1),
                   device_memory<int>(1),
                   device_memory<cuda_linear>(1)};
  fill_numbers<<<1024, 256>>>(m.x, c.n_rows * c.n_in, 1.0f, 0, 11);
  if (c.n_rows > 2)
    poison_row<<<1, 1>>>(m.x, c.n_rows / 2, c.n_in);
  fill_numbers<<<1024, 256>>>(m.residual, n, 1.0f, 0, 12);
  expand<<<blocks(c.n_out * c.n_in), 256>>>(w, m.dense);
  cudaMemcpy(m.linear, &w, sizeof w, cudaMemcpyHostToDevice);
  return m;
}

static void free_test(const test_memory &m) {
  void *all[] = {m.x, m.dense, m.residual, m.expected, m.out, m.worst, m.n_wrong, m.linear};
  for (void *p : all)
    cudaFree(p);
}

/* One variant against what is expected: how many are wrong; -1: no such kernel. */
static int test_tiles(const test_case &c, const cuda_product &p, const test_memory &m,
                      const mixed_tiles &t, int overlaps, int n_units, float *worst) {
  int64_t n = c.n_rows * (c.swiglu ? c.n_out / 2 : c.n_out);
  cuda_launch launch = {nullptr, n_units, overlaps, nullptr, 0};
  int n_wrong = 0;
  float host_worst = 0;
  cudaMemset(m.out, 0xff, static_cast<size_t>(n) * 4);
  cudaMemset(m.worst, 0, 4);
  cudaMemset(m.n_wrong, 0, 4);
  cudaError_t error = sm90_mixed_with(&launch, &p, &t);
  if (error == cudaErrorInvalidConfiguration) {
    cudaGetLastError();
    return -1;
  }
  check(error, name_of(t).c_str());
  compare<<<blocks(n), 256>>>(m.expected, c.residual ? m.residual : nullptr, m.out, c.f32, n,
                              m.worst, m.n_wrong);
  check(cudaMemcpy(&host_worst, m.worst, 4, cudaMemcpyDeviceToHost), name_of(t).c_str());
  cudaMemcpy(&n_wrong, m.n_wrong, 4, cudaMemcpyDeviceToHost);
  *worst = std::max(*worst, host_worst);
  if (n_wrong > 0)
    printf("  WRONG %s: %d of %lld\n", name_of(t).c_str(), n_wrong, static_cast<long long>(n));
  return n_wrong;
}

/* Runs one case with every kernel and cluster; returns how many were wrong. */
static int test(const test_case &c, int n_units) {
  cuda_linear w = make_linear(c.n_out, c.n_in, c.group_size, c.zero, 7);
  int64_t n = c.n_rows * (c.swiglu ? c.n_out / 2 : c.n_out);
  test_memory m = make_test(c, w, n);
  cuda_product p = {};
  p.linear = m.linear;
  p.x = m.x;
  p.n_rows = c.n_rows;
  p.swiglu = c.swiglu;
  p.residual = c.residual ? m.residual : nullptr;
  p.out = m.out;
  p.out_dtype = c.f32 ? LLQ_F32 : LLQ_BF16;
  plain_product<<<blocks(n), 256>>>(p, m.dense, m.expected);
  check(cudaDeviceSynchronize(), "reference");
  p.linear = &w;
  int n_failed = !sm90_mixed_takes(&p), n_run = 0;
  float worst = 0;
  for (mixed_tiles t : kernels)
    for (t.n_sharers = 1; t.n_sharers <= 4; t.n_sharers *= 2)
      for (t.n_splits = 1; t.n_splits * t.n_sharers <= 8; t.n_splits++) {
        int n_wrong = test_tiles(c, p, m, t, n_run % 2, n_units, &worst);
        n_run += n_wrong >= 0;
        n_failed += n_wrong > 0;
      }
  printf("%s %lldx%lld rows %lld group %lld%s%s%s%s: %d variants, worst %.2g\n",
         n_failed ? "FAIL" : "ok", static_cast<long long>(c.n_out), static_cast<long long>(c.n_in),
         static_cast<long long>(c.n_rows), static_cast<long long>(c.group_size),
         c.zero ? " zero" : "", c.swiglu ? " swiglu" : "", c.residual ? " residual" : "",
         c.f32 ? " f32" : "", n_run, worst);
  fflush(stdout);
  free_test(m);
  free_linear(w);
  return n_failed;
}

static int test_all(int n_units, bool small) {
  const test_case cases[] = {
      {128, 64, 1, 64, false, false, false, false},
      {16, 64, 3, 0, false, false, false, true},
      {272, 192, 17, 64, true, false, true, false},
      {288, 256, 33, 128, true, true, false, false},
      {256, 512, 64, 256, false, false, false, true},
      {1040, 1024, 65, 128, false, false, true, false},
      {96, 2048, 127, 0, true, true, true, false},
      {512, 576, 300, 64, true, false, false, false},
      {1536, 4096, 49, 128, false, true, false, false},
      {6144, 4096, 100, 128, false, false, true, false},
      {4096, 14336, 64, 128, true, false, false, false},
      {28672, 1024, 257, 128, false, true, false, false},
      {4096, 512, 2100, 128, false, false, true, false},
  };
  int failures = 0;
  for (const test_case &c : cases)
    if (!small || c.n_out * c.n_in * c.n_rows < 20000000)
      failures += test(c, n_units);
  return failures;
}

/* Microseconds a launch: the median over replays of a graph of many. */
template <typename Launch>
static double time_of(cudaStream_t stream, int n_launches, const Launch &launch) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < n_launches; i++)
    if (launch(i) != cudaSuccess) {
      cudaStreamEndCapture(stream, &graph);
      cudaGetLastError();
      return 1e9;
    }
  check(cudaStreamEndCapture(stream, &graph), "capture");
  check(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<float> times;
  for (int i = 0; i < 6; i++) {
    cudaEventRecord(begin, stream);
    check(cudaGraphLaunch(exec, stream), "replay");
    cudaEventRecord(end, stream);
    check(cudaEventSynchronize(end), "replay");
    float ms;
    cudaEventElapsedTime(&ms, begin, end);
    if (i > 0)
      times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  return 1e3 * static_cast<double>(times[times.size() / 2]) / n_launches;
}

struct dense_product {
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t operation;
  cublasLtMatrixLayout_t w, x, y;
  std::vector<cublasLtMatmulHeuristicResult_t> found;
};

static const size_t workspace_size = 64 << 20;

static dense_product make_dense(cublasLtHandle_t handle, int64_t n_out, int64_t n_in,
                                int64_t n_rows) {
  dense_product d = {};
  d.handle = handle;
  cublasOperation_t transposed = CUBLAS_OP_T;
  cublasLtMatmulDescCreate(&d.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  cublasLtMatmulDescSetAttribute(d.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                 sizeof transposed);
  auto layout = [](cublasLtMatrixLayout_t *l, int64_t rows, int64_t cols) {
    cublasLtMatrixLayoutCreate(l, CUDA_R_16BF, static_cast<uint64_t>(rows),
                               static_cast<uint64_t>(cols), rows);
  };
  layout(&d.w, n_in, n_out);
  layout(&d.x, n_in, n_rows);
  layout(&d.y, n_out, n_rows);
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulPreferenceCreate(&preference);
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                       &workspace_size, sizeof workspace_size);
  d.found.resize(6);
  int n = 0;
  cublasLtMatmulAlgoGetHeuristic(handle, d.operation, d.w, d.x, d.y, d.y, preference, 6,
                                 d.found.data(), &n);
  d.found.resize(static_cast<size_t>(n));
  cublasLtMatmulPreferenceDestroy(preference);
  return d;
}

struct bench_shape {
  const char *name;
  int64_t n_in, n_out;
  int swiglu;
};

struct timing {
  double us;
  std::string name;
};

/* A shape's operands: weights many times, so that replays find them cold. */
struct bench_memory {
  bench_shape shape;
  cudaStream_t stream;
  std::vector<cuda_linear> sets;
  std::vector<__nv_bfloat16 *> dense;
  __nv_bfloat16 *x, *y;
  char *workspace;
};

static const int64_t row_counts[] = {16, 32, 64, 128, 256, 1024, 4096};
constexpr int n_row_counts = 7, most_rows = 4096;

static bench_memory make_memory(const bench_shape &s) {
  bench_memory m = {};
  m.shape = s;
  int n_sets = static_cast<int>(std::min<int64_t>(24, 200000000 / (s.n_in * s.n_out / 2) + 2));
  for (int i = 0; i < n_sets; i++)
    m.sets.push_back(make_linear(s.n_out, s.n_in, 128, false, static_cast<uint32_t>(100 + 3 * i)));
  for (int i = 0; i < std::max(2, n_sets / 4); i++) {
    m.dense.push_back(device_memory<__nv_bfloat16>(s.n_in * s.n_out));
    fill_numbers<<<1024, 256>>>(m.dense.back(), s.n_in * s.n_out, 0.02f, 0,
                                static_cast<uint32_t>(50 + i));
  }
  m.x = device_memory<__nv_bfloat16>(most_rows * s.n_in);
  m.y = device_memory<__nv_bfloat16>(most_rows * s.n_out);
  m.workspace = device_memory<char>(workspace_size);
  fill_numbers<<<1024, 256>>>(m.x, most_rows * s.n_in, 1.0f, 0, 5);
  cudaStreamCreate(&m.stream);
  check(cudaDeviceSynchronize(), "fill");
  return m;
}

static void free_memory(const bench_memory &m) {
  for (const auto &w : m.sets)
    free_linear(w);
  for (auto *w : m.dense)
    cudaFree(w);
  cudaFree(m.x);
  cudaFree(m.y);
  cudaFree(m.workspace);
  cudaStreamDestroy(m.stream);
}

/* With given tiles, or those that the library would take. */
static double time_mixed(const bench_memory &m, int64_t n_rows, int n_units,
                         const mixed_tiles *tiles, int in_shares) {
  int n_sets = static_cast<int>(m.sets.size());
  int n_launches = n_rows >= 1024 ? 4 : n_sets * (n_rows >= 256 ? 1 : 2);
  return time_of(m.stream, n_launches, [&](int i) {
    cuda_product p = {};
    p.linear = &m.sets[static_cast<size_t>(i % n_sets)];
    p.x = m.x;
    p.n_rows = n_rows;
    p.swiglu = m.shape.swiglu;
    p.out = m.y;
    p.out_dtype = LLQ_BF16;
    cuda_launch launch = {};
    launch.stream = m.stream;
    launch.n_units = n_units;
    launch.overlaps = 1;
    return tiles != nullptr ? sm90_mixed_with(&launch, &p, tiles)
                            : sm90_mixed(&launch, &p, in_shares);
  });
}

/* The best of the algorithms that cuBLASLt proposes. */
static double time_dense(const bench_memory &m, int64_t n_rows, cublasLtHandle_t handle) {
  dense_product d = make_dense(handle, m.shape.n_out, m.shape.n_in, n_rows);
  double best = 1e9;
  for (const auto &found : d.found) {
    float one = 1, zero = 0;
    best = std::min(best, time_of(m.stream, n_rows >= 1024 ? 4 : 8, [&](int i) {
                      const auto *w = m.dense[static_cast<size_t>(i) % m.dense.size()];
                      return cublasLtMatmul(handle, d.operation, &one, w, d.w, m.x, d.x, &zero, m.y,
                                            d.y, m.y, d.y, &found.algo, m.workspace, workspace_size,
                                            m.stream) == CUBLAS_STATUS_SUCCESS
                                 ? cudaSuccess
                                 : cudaErrorUnknown;
                    }));
  }
  return best;
}

/* Is it worth timing these tiles for so many rows? */
static bool is_sensible(const bench_shape &s, int64_t n_rows, const mixed_tiles &t, int n_units) {
  if (t.n_rows > std::max<int64_t>(16, 2 * n_rows - 1) || t.n_rows * 16 < n_rows ||
      (n_rows >= 1024 && (t.n_rows < 96 || t.n_splits > 2)))
    return false;
  int64_t outs = 64 * t.n_parts * t.n_warpgroups;
  int64_t n_tiles = (s.n_out + outs - 1) / outs * ((n_rows + t.n_rows - 1) / t.n_rows);
  return t.n_splits == 1 || n_tiles * t.n_splits <= 2 * n_units * t.n_per_unit;
}

static std::vector<timing> time_tiles(const bench_memory &m, int64_t n_rows, int n_units) {
  std::vector<timing> times;
  for (mixed_tiles t : kernels)
    for (t.n_sharers = 1; t.n_sharers <= 4; t.n_sharers *= 2)
      for (t.n_splits = 1; t.n_splits * t.n_sharers <= 8; t.n_splits++) {
        double us =
            is_sensible(m.shape, n_rows, t, n_units) ? time_mixed(m, n_rows, n_units, &t, 0) : 1e9;
        if (us < 1e9)
          times.push_back({us, name_of(t)});
      }
  std::sort(times.begin(), times.end(),
            [](const timing &a, const timing &b) { return a.us < b.us; });
  return times;
}

/* The best tiles, the chosen ones and cuBLASLt: microseconds of each to `sums`. */
static void time_rows(const bench_memory &m, int64_t n_rows, cublasLtHandle_t handle, int n_units,
                      double *sums) {
  const bench_shape &s = m.shape;
  std::vector<timing> times = time_tiles(m, n_rows, n_units);
  double chosen = time_mixed(m, n_rows, n_units, nullptr, 0);
  double in_shares = time_mixed(m, n_rows, n_units, nullptr, 1);
  double dense = time_dense(m, n_rows, handle);
  double best = times.empty() ? chosen : times[0].us;
  double size = static_cast<double>(s.n_in * s.n_out);
  printf("%-7s %4lld: chosen %.2f us, %.0f GB/s, %.0f TFLOP/s; shares %.2f; cublas %.2f |", s.name,
         static_cast<long long>(n_rows), chosen, size * (0.5 + 2.0 / 128) / chosen / 1e3,
         2e-6 * static_cast<double>(n_rows) * size / chosen, in_shares, dense);
  for (const char *which : {"=", "0123456789"}) {
    int n = 0;
    for (const timing &t : times)
      if (strchr(which, t.name.back()) != nullptr && n++ < 4)
        printf(" %s %.2f", t.name.c_str(), t.us);
    printf(" |");
  }
  printf("\n");
  fflush(stdout);
  sums[0] += best;
  sums[1] += chosen;
  sums[2] += dense;
  sums[3] += in_shares;
}

static void time_all(int n_units) {
  const bench_shape shapes[] = {{"qkv", 4096, 6144, 0},
                                {"o", 4096, 4096, 0},
                                {"gate_up", 4096, 28672, 1},
                                {"down", 14336, 4096, 0}};
  double sums[n_row_counts][4] = {};
  cublasLtHandle_t handle;
  cublasLtCreate(&handle);
  for (const bench_shape &s : shapes) {
    bench_memory m = make_memory(s);
    for (int r = 0; r < n_row_counts; r++)
      time_rows(m, row_counts[r], handle, n_units, sums[r]);
    free_memory(m);
  }
  for (int r = 0; r < n_row_counts; r++)
    printf("four at %4lld rows: best %.1f us, chosen %.1f, shares %.1f, cublas %.1f\n",
           static_cast<long long>(row_counts[r]), sums[r][0], sums[r][1], sums[r][3], sums[r][2]);
  cublasLtDestroy(handle);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "all";
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "device");
  printf("%s, %d multiprocessors\n", properties.name, properties.multiProcessorCount);
  int failures = 0;
  if (strcmp(what, "time") != 0)
    failures = test_all(properties.multiProcessorCount, strcmp(what, "small") == 0);
  if (strcmp(what, "test") != 0 && strcmp(what, "small") != 0)
    time_all(properties.multiProcessorCount);
  return failures != 0;
}
