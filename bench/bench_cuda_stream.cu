/* SPDX-License-Identifier: Apache-2.0 */
/* The linears of few rows on a GPU, held against the plain kernels, then timed.

     bench/bench_cuda_stream test      correctness only
     bench/bench_cuda_stream quick     tiny shapes, for compute-sanitizer
     bench/bench_cuda_stream [bench [FORMAT]]   times, with cold weights
     bench/bench_cuda_stream mixed [FORMAT]     beside the kernels of many rows */
#include "backends/cuda/common/quantize.h"
#include "cuda_stream_test.cuh"

namespace {

/* The norm of a product whose sums have any order. */
cudaError_t normalize_fast(const cuda_launch *launch, const cuda_product *product, void *out) {
  cuda_rows rows = {};
  rows.x = product->x;
  rows.norm = product->norm;
  rows.eps = product->eps;
  rows.out = out;
  rows.any_order = 1;
  rows.n_rows = product->n_rows;
  rows.n_cols = product->linear->n_in;
  return common_rows(launch, &rows);
}

/* Layers of distinct weights, and the activations that go through them. */
struct stack {
  static constexpr int n_layers = 12, n_rows_max = 256;
  std::vector<cuda_linear> linears[4];
  bf16 *norm, *hidden, *wide, *inner, *prepared;
  float *row_scale;

  explicit stack(const format &f) {
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < n_layers; j++) {
        cuda_linear plain = random_linear(f, layer[i].n_out, layer[i].n_in), w = tiled(plain);
        if (w.data != plain.data)
          release(plain);
        linears[i].push_back(w);
      }
    norm = random_bf16(14336, 1, 0.5f);
    hidden = random_bf16(n_rows_max * 4096, 0, 1);
    wide = random_bf16(n_rows_max * 6144, 0, 1);
    inner = random_bf16(n_rows_max * 14336, 0, 1);
    prepared = random_bf16(n_rows_max * 14336, 0, 1);
    CHECK(cudaMalloc(&row_scale, n_rows_max * sizeof *row_scale));
  }

  ~stack() {
    for (auto &of_shape : linears)
      for (cuda_linear &w : of_shape)
        release(w);
    cudaFree(norm), cudaFree(hidden), cudaFree(wide), cudaFree(inner), cudaFree(prepared);
    cudaFree(row_scale);
  }

  /* The kernels of many rows, which take x normalized or prepared. */
  launcher mixed(int in_shares) const {
    return [=](const cuda_launch *launch, const cuda_product *product) {
      const bool wants_prepared = sm90_mixed_wants_prepared(product->linear);
      cuda_product inner = *product;
      cudaError_t error = cudaSuccess;
      if (product->norm != nullptr || wants_prepared) {
        inner.x = prepared;
        inner.norm = nullptr;
        inner.row_scale = row_scale;
      }
      if (wants_prepared)
        error = sm90_stream_prepare(launch, product, prepared, row_scale);
      else if (product->norm != nullptr)
        error = in_shares ? sm90_stream_norm(launch, product, prepared)
                          : normalize_fast(launch, product, prepared);
      return error == cudaSuccess ? sm90_mixed(launch, &inner, in_shares) : error;
    };
  }

  cuda_product product(int which, int j, int64_t n_rows) const {
    const bf16 *x[] = {hidden, wide, hidden, inner};
    bf16 *out[] = {wide, hidden, inner, hidden};
    const shape &s = layer[which];
    return {&linears[which][j], x[which], n_rows, s.norm ? norm : nullptr, 1e-5f, s.swiglu,
            s.residual ? hidden : nullptr, out[which], LLQ_BF16};
  }

  double alone(const launcher &launcher, int which, int64_t n_rows, int overlaps) const {
    return median_us([&] {
             for (int j = 0; j < n_layers; j++)
               run(launcher, product(which, j, n_rows), overlaps);
           }) / n_layers;
  }

  double chain(const launcher &launcher, int64_t n_rows, int overlaps) const {
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

/* The program ends where there is no such format. */
const format &find_format(const char *name) {
  for (const format &f : formats)
    if (strcmp(name, f.name) == 0)
      return f;
  fprintf(stderr, "no format %s; there are", name);
  for (const format &f : formats)
    fprintf(stderr, " %s", f.name);
  fprintf(stderr, "\n");
  exit(2);
}

void time_formats(double bandwidth, const format *only) {
  for (const format &f : formats) {
    if (only != nullptr && only != &f)
      continue;
    stack stack(f);
    double floor = 0;
    printf("%-14s floor us:", f.name);
    for (int i = 0; i < 4; i++) {
      floor += stack.floor_us(i, bandwidth);
      printf(" %s %.2f", layer[i].name, stack.floor_us(i, bandwidth));
    }
    printf(" all %.2f\n", floor);
    for (int n : {1, 2, 4, 8, 16, 32, 64}) {
      double us = stack.chain(sm90_fast, n, 1);
      printf("  rows %2d  chain %6.2f (x %.2f), rows alike %6.2f, serial %6.2f, sm80 %6.2f; alone", n,
             us, us / floor, stack.chain(sm90_stream, n, 1), stack.chain(sm90_fast, n, 0),
             stack.chain(sm80_fast, n, 0));
      for (int i = 0; i < 4; i++)
        printf(" %.2f/%.2f", stack.alone(sm90_fast, i, n, 1), stack.alone(sm90_fast, i, n, 0));
      printf("\n");
    }
    if (f.has_zero)
      break;
  }
}

/* Of one format, by every kernel that it has. */
void time_mixed(const format &f, double bandwidth) {
  stack stack(f);
  const cuda_product first = stack.product(1, 0, 1);
  double floor = 0;
  for (int i = 0; i < 4; i++)
    floor += stack.floor_us(i, bandwidth);
  printf("%s, floor %.2f us\n", f.name, floor);
  std::vector<std::pair<const char *, launcher>> all = {{"stream", sm90_stream}};
  if (sm90_mixed_takes(&first, 0))
    all.push_back({"mixed", stack.mixed(0)});
  if (sm90_mixed_takes(&first, 1))
    all.push_back({"in shares", stack.mixed(1)});
  for (int n : {8, 16, 17, 24, 32, 48, 64, 96, 128, 192, 256}) {
    printf("  rows %3d", n);
    for (const auto &[name, launcher] : all) {
      printf("; %s: chain %6.2f, alone", name, stack.chain(launcher, n, 1));
      for (int i = 0; i < 4; i++)
        printf(" %.2f", stack.alone(launcher, i, n, 1));
    }
    printf("\n");
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

void time_all(const format *only) {
  double bandwidth = measure_bandwidth();
  printf("read bandwidth %.3f TB/s\n", bandwidth);
  time_formats(bandwidth, only);
  if (only == nullptr)
    time_output_matrix(bandwidth);
  printf("read bandwidth %.3f TB/s\n", measure_bandwidth());
}

} // namespace

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "bench";
  const format *only = argc > 2 ? &find_format(argv[2]) : nullptr;
  const int is_quick = strcmp(what, "quick") == 0;
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  make_scratch();
  n_units = properties.multiProcessorCount;
  sm = 10 * properties.major + properties.minor;
  printf("%s, %d multiprocessors\n", properties.name, n_units);
  if (strcmp(what, "mixed") == 0)
    time_mixed(only != nullptr ? *only : formats[0], measure_bandwidth());
  else if (strcmp(what, "bench") == 0)
    time_all(only);
  else if (is_quick || strcmp(what, "test") == 0)
    test(is_quick);
  else {
    fprintf(stderr, "no %s: the head of bench/bench_cuda_stream.cu says what there is\n", what);
    return 2;
  }
  return n_failures > 0;
}
