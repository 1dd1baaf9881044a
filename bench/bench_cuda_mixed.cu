/* SPDX-License-Identifier: Apache-2.0 */
/* The mixed int4 product of sm_90: held against a plain product on many shapes,
   then timed with every tile beside bf16 cuBLASLt, weights cold:
     bench_cuda_mixed [test|small|time [MOST_ROWS]] */
#include <cublasLt.h>
#include <string.h>

#include "mixed_test.cuh"

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

static const int64_t row_counts[] = {16, 32, 64, 128, 256, 544, 1024, 4096};
constexpr int n_row_counts = 8, most_rows = 4096;

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
    cuda_launch launch = launch_on(m.stream, n_units, 1);
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
  if (t.n_rows > std::max<int64_t>(16, 2 * n_rows - 1) || t.n_rows * 4 < n_rows ||
      (n_rows >= 1024 && (t.n_rows < 96 || t.n_splits != 1)))
    return false;
  int64_t outs = 128 * t.n_parts;
  int64_t n_tiles = (s.n_out + outs - 1) / outs * ((n_rows + t.n_rows - 1) / t.n_rows);
  int64_t n_rounds = t.n_splits == 0 ? 0 : (n_tiles * t.n_splits - 1) / n_units;
  return t.n_splits == 1 || n_rounds == 0;
}

static std::vector<timing> time_tiles(const bench_memory &m, int64_t n_rows, int n_units) {
  std::vector<timing> times;
  for (const mixed_tiles &t : all_tiles()) {
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
  printf("%-7s %4lld: chosen %.2f us, %.0f GB/s, %.0f TFLOP/s; shares %.2f; "
         "cublas %.2f |",
         s.name, static_cast<long long>(n_rows), chosen, size * (0.5 + 2.0 / 128) / chosen / 1e3,
         2e-6 * static_cast<double>(n_rows) * size / chosen, in_shares, dense);
  for (const char *which : {"=", "0123456789"}) {
    int n = 0;
    for (const timing &t : times)
      if (strchr(which, t.name.back()) != nullptr && n++ < 6)
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

static void time_all(int n_units, int64_t n_most) {
  const bench_shape shapes[] = {{"qkv", 4096, 6144, 0},
                                {"o", 4096, 4096, 0},
                                {"gate_up", 4096, 28672, 1},
                                {"down", 14336, 4096, 0}};
  double sums[n_row_counts][4] = {};
  cublasLtHandle_t handle;
  cublasLtCreate(&handle);
  for (const bench_shape &s : shapes) {
    bench_memory m = make_memory(s);
    for (int r = 0; r < n_row_counts && row_counts[r] <= n_most; r++)
      time_rows(m, row_counts[r], handle, n_units, sums[r]);
    free_memory(m);
  }
  for (int r = 0; r < n_row_counts && row_counts[r] <= n_most; r++)
    printf("four at %4lld rows: best %.1f us, chosen %.1f, shares %.1f, cublas "
           "%.1f\n",
           static_cast<long long>(row_counts[r]), sums[r][0], sums[r][1], sums[r][3], sums[r][2]);
  cublasLtDestroy(handle);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "all";
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "device");
  printf("%s, %d multiprocessors\n", properties.name, properties.multiProcessorCount);
  int failures = 0;
  make_scratch();
  if (strcmp(what, "time") != 0)
    failures = test_all(properties.multiProcessorCount, strcmp(what, "small") == 0);
  if (strcmp(what, "test") != 0 && strcmp(what, "small") != 0)
    time_all(properties.multiProcessorCount, argc > 2 ? atoi(argv[2]) : most_rows);
  return failures != 0;
}
