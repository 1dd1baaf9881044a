/* SPDX-License-Identifier: Apache-2.0 */
/* The mixed products of sm80, every cut of them: held against the plain kernels
   and timed with cold weights. bench_cuda_sm80 test|time */
#include "bench/bench_cuda_support.cuh"

#include "backends/cuda/sm80/mixed.h"

static cuda_launch launch;

static const kind kinds[] = {
    {"w4a16 128", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 128, 0},
    {"w4a16 zero", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 64, 1},
    {"w4a16 row", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 0},
    {"w8a16", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0},
    {"w8a16 64", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 64, 0},
    {"w8a16-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_NONE, 0, 0},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, 0, 0},
};

static const int cut_sizes[][2] = {{256, 128}, {128, 128}, {128, 64}, {128, 32}};

struct tested {
  cuda_product product;
  std::vector<float> expected;
  int64_t n_cols;
  double worst = 0;
  int n_checks = 0, n_failed = 0;
};

/* A prefix of the rows, with a cut or, if it is NULL, the choice. */
static void check_rows(tested &t, int64_t n_rows, const sm80_mixed_cut *cut, const char *name) {
  t.product.n_rows = n_rows;
  size_t n = static_cast<size_t>(n_rows * t.n_cols);
  MUST(cudaMemset(t.product.out, 0xff, n * 2));
  MUST(cut != nullptr ? sm80_mixed_with(&launch, &t.product, cut)
                      : sm80_mixed(&launch, &t.product));
  MUST(cudaDeviceSynchronize());
  difference d(to_host(t.product.out, static_cast<int64_t>(n), 0),
               std::vector<float>(t.expected.begin(), t.expected.begin() + static_cast<long>(n)));
  t.n_checks++;
  t.worst = std::max(t.worst, d.worst);
  /* With norm and codes, a code may be its neighbour. */
  if (d.worst <= (t.product.norm != nullptr && t.product.linear->activation ? 0.1 : 0.025))
    return;
  if (t.n_failed++ == 0)
    printf("  wrong: %s rows %lld [%lld, %lld] cut %d x %d / %d: %g at row %lld, output %lld\n", name,
           static_cast<long long>(n_rows), static_cast<long long>(t.product.linear->n_out),
           static_cast<long long>(t.product.linear->n_in), cut ? cut->n_outs : 0,
           cut ? cut->n_rows : 0, cut ? cut->n_splits : 0, d.worst,
           static_cast<long long>(d.at / static_cast<size_t>(t.n_cols)),
           static_cast<long long>(d.at % static_cast<size_t>(t.n_cols)));
}

static int test_shape(const kind &k, int64_t n_out, int64_t n_in, int64_t n_rows, int variant,
                      bool has_cuts, double *worst) {
  cuda_linear w = make_linear(k, n_out, n_in, static_cast<uint32_t>(n_out + n_in));
  auto *x = random_bf16(n_rows * n_in, 1, 0, 21), *norm = random_bf16(n_in, 0.3f, 1, 22);
  auto *residual = random_bf16(n_rows * n_out, 1, 0, 23);
  void *out = allocate(2 * n_rows * n_out);
  tested t = {};
  t.product = {.linear = &w, .x = x, .n_rows = n_rows};
  t.product.norm = variant & 1 ? norm : nullptr;
  t.product.eps = 1e-5f;
  t.product.swiglu = variant >> 1 & 1;
  t.product.residual = variant & 4 ? residual : nullptr;
  t.product.out = out;
  t.product.out_dtype = LLQ_BF16;
  t.n_cols = t.product.swiglu ? n_out / 2 : n_out;
  MUST(cudaDeviceSynchronize());
  plain_product(t.product, w);
  t.expected = to_host(out, n_rows * t.n_cols, 0);
  if (!sm80_mixed_takes(&t.product))
    t.n_failed++;
  for (int64_t n : {1, 17, 33, 64, 100, 128, 255, 300})
    if (n <= n_rows)
      check_rows(t, n, nullptr, k.name);
  for (const auto &size : cut_sizes)
    for (int n_splits : {1, 2, 3, 8})
      if (has_cuts && n_in / 64 >= n_splits) {
        sm80_mixed_cut cut = {size[0], size[1], n_splits};
        check_rows(t, n_rows, &cut, k.name);
      }
  free_linear(w);
  for (void *p : {static_cast<void *>(x), static_cast<void *>(norm), static_cast<void *>(residual),
                  out})
    cudaFree(p);
  *worst = std::max(*worst, t.worst);
  return t.n_failed;
}

static int test(bool is_small) {
  const int64_t shapes[][3] = {{16, 64, 40},      {96, 128, 300},    {288, 192, 300},
                               {1536, 256, 130},  {6144, 4096, 300}, {4096, 14336, 128},
                               {28672, 4096, 64}};
  int n_failed = 0;
  for (const kind &k : kinds) {
    double worst = 0;
    int n = 0;
    for (const auto &shape : shapes)
      for (int variant : {0, 1, 2, 4, 5})
        if ((!(variant & 2) || shape[0] % 32 == 0) && shape[1] % std::max(k.group_size, 1) == 0 &&
            (!is_small || shape[0] < 1000) && (variant < 2 || shape[0] < 10000))
          n += test_shape(k, shape[0], shape[1], shape[2], variant, shape[0] < 7000, &worst);
    printf("%-11s largest difference %.2g, %d failed\n", k.name, worst, n);
    fflush(stdout);
    n_failed += n;
  }
  return n_failed;
}

static void time_cuts(const kind &k, int64_t n_out, int64_t n_in, int64_t n_rows, bool all_cuts) {
  double bytes = static_cast<double>(n_out * n_in) * (k.format == LLQ_WEIGHT_INT4 ? 0.5 : 1);
  int n_sets = std::max(1, std::min(6, static_cast<int>(1.2e8 / bytes)));
  std::vector<cuda_linear> w;
  for (int i = 0; i < n_sets; i++)
    w.push_back(make_linear(k, n_out, n_in, static_cast<uint32_t>(i)));
  auto *x = random_bf16(n_rows * n_in, 1, 0, 3);
  cuda_product product = {.linear = &w[0], .x = x, .n_rows = n_rows};
  product.out = allocate(2 * n_rows * n_out);
  product.out_dtype = LLQ_BF16;
  MUST(cudaDeviceSynchronize());
  sm80_mixed_cut chosen = sm80_mixed_choose(&product, launch.n_units);
  std::vector<sm80_mixed_cut> cuts = {chosen};
  for (const auto &size : cut_sizes)
    for (int n_splits : {1, 2, 4, 8})
      if (all_cuts && (n_splits == 1 || n_rows <= 256) && size[1] / 2 < n_rows &&
          (n_rows < 8 * size[1]))
        cuts.push_back({size[0], size[1], n_splits});
  printf("%s %lldx%lld rows %lld:", k.name, static_cast<long long>(n_in),
         static_cast<long long>(n_out), static_cast<long long>(n_rows));
  for (const sm80_mixed_cut &cut : cuts) {
    if (sm80_mixed_scratch_of(&product, &cut) > launch.scratch_size)
      continue;
    double us = time_graph(launch.stream, n_sets, [&](int i) {
      product.linear = &w[static_cast<size_t>(i)];
      MUST(sm80_mixed_with(&launch, &product, &cut));
    });
    printf(" %dx%d/%d %.1f", cut.n_outs, cut.n_rows, cut.n_splits, us);
    if (&cut == &cuts[0])
      printf(" us %.0f TFLOP/s %.0f GB/s |", 2e-6 * n_rows * n_out * n_in / us, bytes / us * 1e-3);
  }
  printf("\n");
  fflush(stdout);
  for (auto &linear : w)
    free_linear(linear);
  cudaFree(x);
  cudaFree(product.out);
}

static void time_all() {
  const int64_t shapes[][2] = {{6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}};
  for (const auto &shape : shapes)
    for (int64_t n_rows : {17, 32, 64, 128, 256, 1024, 4096})
      time_cuts(kinds[0], shape[0], shape[1], n_rows, true);
  for (int k : {3, 5, 6})
    for (int64_t n_rows : {32, 128, 1024, 4096})
      time_cuts(kinds[k], 6144, 4096, n_rows, n_rows == 1024);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "test";
  cudaDeviceProp properties;
  MUST(cudaGetDeviceProperties(&properties, 0));
  launch.n_units = properties.multiProcessorCount;
  launch.overlaps = properties.major >= 9;
  MUST(cudaStreamCreateWithFlags(&launch.stream, cudaStreamNonBlocking));
  launch.scratch_size = size_t(1) << 29;
  launch.scratch = allocate(static_cast<int64_t>(launch.scratch_size));
  if (strcmp(mode, "time") == 0) {
    time_all();
    return 0;
  }
  return test(strcmp(mode, "small") == 0) > 0;
}
