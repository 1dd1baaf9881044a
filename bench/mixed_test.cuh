/* SPDX-License-Identifier: Apache-2.0 */
/* The mixed product of sm_90 with every kernel, against a plain product. */
#ifndef LLQ_MIXED_TEST_CUH
#define LLQ_MIXED_TEST_CUH

#include <algorithm>
#include <string>
#include <vector>

#include "backends/cuda/sm90/mixed.h"
#include "mixed_reference.cuh"

static const mixed_tiles kernels[] = {
    {16, 2, 0, 1},  {32, 1, 0, 1},  {32, 2, 0, 1},  {64, 1, 0, 1}, {64, 2, 0, 1},  {128, 1, 0, 1},
    {128, 2, 0, 1}, {256, 1, 0, 1}, {64, 1, 1, 1},  {64, 2, 1, 1}, {128, 1, 1, 1}, {192, 1, 1, 1},
};

/* Every way to use the kernels. */
static std::vector<mixed_tiles> all_tiles() {
  std::vector<mixed_tiles> all;
  for (mixed_tiles t : kernels)
    for (t.n_splits = 0; t.n_splits <= 8; t.n_splits++)
      all.push_back(t);
  return all;
}

static std::string name_of(const mixed_tiles &t) {
  char name[64];
  snprintf(name, sizeof name, "%dx%d.s%d%s", 128 * t.n_parts, t.n_rows, t.n_splits,
           t.in_shares ? "=" : "");
  return name;
}

/* Memory of all launches. */
static void *scratch;
static unsigned *counters;
static const size_t scratch_size = 128 << 20;

static void make_scratch() {
  scratch = device_memory<char>(scratch_size);
  counters = device_memory<unsigned>(CUDA_N_COUNTERS);
  cudaMemset(counters, 0, CUDA_N_COUNTERS * sizeof *counters);
}

static cuda_launch launch_on(cudaStream_t stream, int n_units, int overlaps) {
  return {stream, n_units, overlaps, scratch, scratch_size, counters};
}

static bool counters_are_zero() {
  std::vector<unsigned> host(CUDA_N_COUNTERS);
  cudaMemcpy(host.data(), counters, host.size() * sizeof *counters, cudaMemcpyDeviceToHost);
  return std::all_of(host.begin(), host.end(), [](unsigned n) { return n == 0; });
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

/* Two launches as a graph, repeated. */
static cudaError_t run_twice(const cuda_product &p, const mixed_tiles &t, int overlaps,
                             int n_units) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  cuda_launch launch = launch_on(stream, n_units, overlaps);
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  cudaError_t error = sm90_mixed_with(&launch, &p, &t);
  if (error == cudaSuccess)
    error = sm90_mixed_with(&launch, &p, &t);
  check(cudaStreamEndCapture(stream, &graph), "capture");
  if (error == cudaSuccess) {
    check(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
    for (int i = 0; i < 2; i++)
      check(cudaGraphLaunch(exec, stream), "replay");
    check(cudaStreamSynchronize(stream), name_of(t).c_str());
    cudaGraphExecDestroy(exec);
  }
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return error;
}

/* One variant against what is expected: how many are wrong; -1: no such kernel. */
static int test_tiles(const test_case &c, const cuda_product &p, const test_memory &m,
                      const mixed_tiles &t, int overlaps, int n_units, float *worst) {
  int64_t n = c.n_rows * (c.swiglu ? c.n_out / 2 : c.n_out);
  int n_wrong = 0;
  float host_worst = 0;
  cudaMemset(m.out, 0xff, static_cast<size_t>(n) * 4);
  cudaMemset(m.worst, 0, 4);
  cudaMemset(m.n_wrong, 0, 4);
  check(cudaDeviceSynchronize(), "fill");
  cudaError_t error = run_twice(p, t, overlaps, n_units);
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
  n_wrong += !counters_are_zero();
  if (n_wrong > 0)
    printf("  WRONG %s: %d of %lld\n", name_of(t).c_str(), n_wrong, static_cast<long long>(n));
  return n_wrong;
}

/* Runs one case with every kernel; returns how many were wrong. */
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
  int n_failed = !sm90_mixed_takes(&p, 0) || !sm90_mixed_takes(&p, 1), n_run = 0;
  float worst = 0;
  for (const mixed_tiles &t : all_tiles())
    for (int overlaps : {0, 1}) {
      int n_wrong = test_tiles(c, p, m, t, overlaps, n_units, &worst);
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

#endif
