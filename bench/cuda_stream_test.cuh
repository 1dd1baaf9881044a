/* SPDX-License-Identifier: Apache-2.0 */
/* The linears of few rows against the plain operations, and against themselves
   with other rows beside, overlapped, and from the other table. */
#ifndef LLQ_CUDA_STREAM_TEST_CUH
#define LLQ_CUDA_STREAM_TEST_CUH

#include "cuda_stream_problem.cuh"

namespace {

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

int n_failures, n_checks;

void expect(bool ok, const char *what, const char *format, const shape &s, int64_t n_rows) {
  n_checks++;
  if (ok)
    return;
  if (n_failures++ < 40)
    printf("FAILED %s: %s %s %lldx%lld, %lld rows\n", what, format, s.name, (long long)s.n_out,
           (long long)s.n_in, (long long)n_rows);
}

/* The largest error of any row, as a fraction of the row's largest value; rows where it is
   more than `most` are printed. */
double compare(const std::vector<char> &out, const std::vector<char> &ref, const problem &p,
               double most) {
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
    if (!(error <= most * peak) && n_failures < 10)
      printf("  row %lld output %lld: %g for %g, peak %g\n", (long long)r, (long long)(at % width),
             number(out, at, p.out_size), number(ref, at, p.out_size), peak);
    if (!(error / peak <= worst))
      worst = error / peak;
  }
  return worst;
}

bool is_near(const std::vector<char> &out, const std::vector<char> &ref, const problem &p,
             double most) {
  return compare(out, ref, p, most) <= most;
}

bool same_rows(const std::vector<char> &part, const std::vector<char> &all, const problem &p,
               int64_t first) {
  return memcmp(part.data(), all.data() + first * p.out_width * p.out_size, part.size()) == 0;
}

/* x of a product as the kernels for many rows take it. */
struct prepared {
  cuda_product product;
  bf16 *x;
  float *row_scale;

  explicit prepared(const problem &p) : product(p.product) {
    int64_t n = product.n_rows, n_in = product.linear->n_in;
    CHECK(cudaMalloc(&x, n * n_in * 2));
    CHECK(cudaMalloc(&row_scale, n * sizeof(float)));
    if (!sm90_mixed_wants_prepared(product.linear))
      return;
    cuda_launch launch = {nullptr, n_units, 0, nullptr, 0, nullptr};
    CHECK(sm90_stream_prepare(&launch, &product, x, row_scale));
    CHECK(cudaDeviceSynchronize());
    product.x = x;
    product.norm = nullptr;
    product.row_scale = row_scale;
  }
  ~prepared() {
    cudaFree(x), cudaFree(row_scale);
  }
};

/* A kernel for many rows, alone and overlapping others; false if there is none. */
template <class Check>
bool test_tiles(const problem &p, const cuda_product &product, const mixed_tiles &t, Check check) {
  bool runs = true;
  for (int overlaps : {0, 1}) {
    std::vector<char> out = p.run_rows(
        [&](const cuda_launch *launch, const cuda_product *part) {
          cuda_product inner = product;
          inner.out = part->out;
          inner.residual = part->residual;
          cudaError_t error = sm90_mixed_with(launch, &inner, &t);
          runs = error != cudaErrorInvalidConfiguration;
          return runs ? error : (cudaGetLastError(), cudaSuccess);
        },
        0, p.product.n_rows, overlaps);
    if (runs)
      check(out);
  }
  return runs;
}

/* Kernels for many rows: those that sum in shares give the same bits, others come near: one
   unit off, and two where a product is rounded before a residual takes most of it away, or
   where the factors of SwiGLU are. */
void test_mixed(const format &f, const shape &s, const problem &p, const std::vector<char> &all,
                const std::vector<char> &ref) {
  static const int n_rows[] = {32, 64, 128, 192, 256};
  const double most = s.residual || s.swiglu ? 1 / 64. : 1 / 128.;
  const prepared inputs(p);
  for (int in_shares : {1, 0}) {
    int n_run = 0;
    if (!sm90_mixed_takes(&inputs.product, in_shares))
      continue;
    for (int rows : n_rows)
      for (int n_parts : {1, 2})
        for (int n_splits : {0, 1, 4, 8})
          n_run += test_tiles(p, inputs.product, {rows, n_parts, in_shares, n_splits},
                              [&](const std::vector<char> &out) {
                                bool is_right = in_shares ? out == all : is_near(out, ref, p, most);
                                expect(is_right, "mixed", f.name, s, p.product.n_rows);
                              });
    expect(n_run > 0, "mixed kernels", f.name, s, p.product.n_rows);
  }
}

/* A few rows by integer products: near, on both tables the same, whatever the number
   of rows. */
void test_fixed(const format &f, const shape &s, problem &p, const std::vector<char> &all) {
  cuda_product whole = p.product;
  int64_t row_size = p.out_width * p.out_size, first = whole.n_rows / 3;
  std::vector<char> one;
  for (int n = 1; n <= 4; n++) {
    p.product.n_rows = n;
    bool takes = sm90_fixed_takes(&p.product);
    expect(takes || f.format != LLQ_WEIGHT_INT4 || s.n_in > 4096, "fixed takes", f.name, s, n);
    if (takes) {
      launcher newest = sm >= 90 ? sm90_fixed : sm80_fixed;
      std::vector<char> few = p.run_rows(newest, first, n, sm >= 90);
      auto from = all.begin() + first * row_size;
      expect(is_near(few, {from, from + n * row_size}, p, 1 / 64.), "fixed", f.name, s, n);
      expect(few == p.run_rows(sm80_fixed, first, n, 0), "fixed, sm80", f.name, s, n);
      if (n == 1)
        one = few;
      few.resize(row_size);
      expect(few == one, "fixed alone", f.name, s, n);
    }
    p.product = whole;
  }
}

double test_shape(const format &f, const shape &s, int64_t n_rows, int n_parts) {
  cuda_linear plain = random_linear(f, s.n_out, s.n_in), w = tiled(plain);
  problem p(s, &w, n_rows);
  launcher newest = sm >= 90 ? sm90_stream : sm80_stream;
  expect(sm90_stream_takes(&p.product) && sm80_stream_takes(&p.product), "takes", f.name, s, n_rows);
  std::vector<char> all = p.run_rows(newest, 0, n_rows, 0);
  std::vector<char> ref = reference(p, plain);
  double most = f.activation ? 1 / 64. : 1 / 128.;
  double error = compare(all, ref, p, most);
  expect(error <= most, "result", f.name, s, n_rows);
  expect(all == p.run_rows(newest, 0, n_rows, sm >= 90), "overlap", f.name, s, n_rows);
  expect(all == p.run_rows(sm80_stream, 0, n_rows, 0), "other table", f.name, s, n_rows);
  test_fixed(f, s, p, all);
  if (sm >= 90 && f.activation != LLQ_ACTIVATION_INT8)
    test_mixed(f, s, p, all, ref);
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
    {"streams", 48, 14336, 1, 0, 0, 0},
    {"swiglu alone", 96, 1024, 0, 1, 0, 0},
    {"f32 alone", 272, 768, 0, 0, 0, 1},
    {"short", 272, 256, 0, 0, 1, 0},
};
const shape test_shapes[] = {
    {"norm", 384, 256, 1, 0, 0, 0},       {"swiglu", 1536, 256, 1, 1, 0, 0},
    {"residual", 256, 768, 0, 0, 1, 0},   {"f32", 2048, 256, 1, 0, 0, 1},
    {"narrow", 16, 64, 1, 0, 0, 0},       {"odd", 4240, 2112, 0, 0, 1, 0},
    {"odd swiglu", 4256, 1344, 1, 1, 0, 0}, {"wide", 2064, 8192, 1, 0, 0, 0},
    {"swiglu alone", 4256, 1344, 0, 1, 0, 0}, {"f32 alone", 272, 4096, 0, 0, 0, 1},
    {"short", 768, 256, 0, 0, 1, 0},
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

} // namespace

#endif
