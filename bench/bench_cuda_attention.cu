/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA tables' attention: held against double precision and against itself
   under every way to batch and chunk, then timed beside the bytes it reads.
   bench_cuda_attention [quick|check|time|prompts]; quick is for
   compute-sanitizer, prompts is time without decoding */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <random>
#include <vector>

#include "backends/cuda/common/attention.h"
#include <cuda_bf16.h>

#define CHECK(call)                                                                                \
  do {                                                                                             \
    cudaError_t error_ = (call);                                                                   \
    if (error_ != cudaSuccess) {                                                                   \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(error_));   \
      exit(1);                                                                                     \
    }                                                                                              \
  } while (0)

using bf16 = __nv_bfloat16;
using attend_function = cudaError_t (*)(const cuda_launch *, const cuda_attention *);

/* sm90's with each of its kernels for segments of several rows. */
template <int kernel>
static cudaError_t attend_with(const cuda_launch *launch, const cuda_attention *attention) {
  return sm90_attend_with(launch, attention, kernel);
}

static const struct {
  const char *name;
  attend_function attend;
} tables[] = {{"sm80", sm80_attend},
              {"sm90 mma", attend_with<SM90_PREFILL_MMA>},
              {"sm90 wgmma", attend_with<SM90_PREFILL_WGMMA>}};

#include "bench_cuda_attention_world.h"

/* One warp for a (token, head): out is the exact sum, bound the sum of absolute
   values. */
__global__ void attend_exactly(shape s, const bf16 *qkv, const int *first_token, float scale,
                               float *out, float *bound) {
  int token = blockIdx.x, head = blockIdx.y, first = first_token[token];
  int width = (s.n_heads + 2 * s.n_kv) * s.d, kv_head = head / (s.n_heads / s.n_kv);
  const bf16 *q = qkv + static_cast<int64_t>(token) * width + head * s.d;
  double peak = -INFINITY, total = 0, sum[4] = {}, absolute[4] = {};
  for (int t = first; t <= token; t++) {
    const bf16 *k = qkv + static_cast<int64_t>(t) * width + (s.n_heads + kv_head) * s.d;
    const bf16 *v = k + s.n_kv * s.d;
    double product = 0;
    for (int e = threadIdx.x; e < s.d; e += 32)
      product += static_cast<double>(__bfloat162float(q[e])) * __bfloat162float(k[e]);
    for (int distance = 16; distance > 0; distance /= 2)
      product += __shfl_xor_sync(~0u, product, distance);
    double score = product * scale, both = fmax(peak, score);
    double kept = exp(peak - both), added = exp(score - both);
    peak = both;
    total = total * kept + added;
    for (int e = 0; e < s.d / 32; e++) {
      double x = __bfloat162float(v[32 * e + threadIdx.x]);
      sum[e] = sum[e] * kept + added * x;
      absolute[e] = absolute[e] * kept + added * fabs(x);
    }
  }
  int64_t at = (static_cast<int64_t>(token) * s.n_heads + head) * s.d + threadIdx.x;
  for (int e = 0; e < s.d / 32; e++) {
    out[at + 32 * e] = static_cast<float>(sum[e] / total);
    bound[at + 32 * e] = static_cast<float>(absolute[e] / total);
  }
}

struct expectation {
  std::vector<bf16> qkv; /* turned */
  std::vector<float> out, bound;
};

static float scale_of(const shape &s) {
  return 1 / sqrtf(static_cast<float>(s.d));
}

static expectation expect(const world &w) {
  expectation e = {turn(w), {}, {}};
  std::vector<int> first;
  for (size_t i = 0; i < w.lengths.size(); i++)
    first.insert(first.end(), w.lengths[i], w.first_token[i]);
  size_t n = static_cast<size_t>(w.n_tokens) * w.s.n_heads * w.s.d;
  device_array<bf16> qkv(e.qkv);
  device_array<int> first_token(first);
  device_array<float> out(n), bound(n);
  dim3 grid(static_cast<unsigned>(w.n_tokens), static_cast<unsigned>(w.s.n_heads));
  attend_exactly<<<grid, 32>>>(w.s, qkv.data, first_token.data, scale_of(w.s), out.data,
                               bound.data);
  CHECK(cudaDeviceSynchronize());
  e.out = out.download();
  e.bound = bound.download();
  return e;
}

/* Some tokens of a sequence that are computed in one step. */
struct piece {
  int sequence, first, n;
};

/* One step: pieces of different sequences. out is [tokens, n_heads * d]. */
static void step(const world &w, attend_function attend, const cuda_cache &cache,
                 const std::vector<piece> &pieces, std::vector<bf16> &out) {
  std::vector<llq_segment> segments;
  std::vector<cuda_row> rows;
  std::vector<bf16> qkv;
  cuda_batch batch = {};
  for (const piece &p : pieces) {
    segments.push_back({static_cast<int32_t>(rows.size()), p.n, p.first, w.first_page[p.sequence]});
    for (int i = 0; i < p.n; i++)
      rows.push_back({w.first_page[p.sequence], p.first + i});
    int64_t first = w.first_token[p.sequence] + p.first;
    auto from = w.qkv.begin() + first * w.s.width();
    qkv.insert(qkv.end(), from, from + static_cast<int64_t>(p.n) * w.s.width());
    batch.n_segment_rows_max = std::max(batch.n_segment_rows_max, p.n);
    batch.n_positions_max = std::max(batch.n_positions_max, p.first + p.n);
  }
  device_array<llq_segment> d_segments(segments);
  device_array<cuda_row> d_rows(rows);
  device_array<int32_t> d_pages(w.pages);
  device_array<bf16> d_qkv(qkv), d_out(rows.size() * w.s.n_heads * w.s.d);
  device_array<float> d_cos_sin(w.cos_sin);
  batch.rows = d_rows.data, batch.segments = d_segments.data, batch.pages = d_pages.data;
  batch.n_rows = static_cast<int>(rows.size());
  batch.n_segments = static_cast<int>(segments.size());
  batch.page_size = w.s.page_size;
  cuda_attention attention = {&batch,         d_qkv.data,    w.s.n_heads, &cache,
                              d_cos_sin.data, scale_of(w.s), d_out.data};
  device_array<char> scratch(sm80_attend_scratch(&attention, 132));
  cuda_launch launch = {0, 132, 0, scratch.data, scratch.n};
  if (!sm80_attend_takes(&attention)) {
    fprintf(stderr, "not taken\n");
    exit(1);
  }
  CHECK(attend(&launch, &attention));
  CHECK(cudaDeviceSynchronize());
  std::vector<bf16> rows_out = d_out.download();
  size_t n_cols = static_cast<size_t>(w.s.n_heads) * w.s.d, row = 0;
  for (const piece &p : pieces) {
    std::copy_n(rows_out.begin() + static_cast<int64_t>(row * n_cols), p.n * n_cols,
                out.begin() + static_cast<int64_t>((w.first_token[p.sequence] + p.first) * n_cols));
    row += static_cast<size_t>(p.n);
  }
}

/* Runs all sequences in steps of pieces of random sizes up to `largest`. */
static std::vector<bf16> run_chunked(const world &w, attend_function attend,
                                     const cuda_cache &cache, int largest, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<bf16> out(static_cast<size_t>(w.n_tokens) * w.s.n_heads * w.s.d);
  std::vector<int> done(w.lengths.size());
  for (bool more = true; more;) {
    std::vector<piece> pieces;
    more = false;
    for (size_t i = 0; i < done.size(); i++) {
      int left = w.lengths[i] - done[i];
      if (left == 0 || (random() % 4 == 0 && w.lengths.size() > 1)) {
        more = more || left > 0;
        continue;
      }
      int n = largest >= w.n_tokens ? left : std::min<int>(left, 1 + random() % largest);
      if (largest > 1 && largest < w.n_tokens && random() % 3 == 0)
        n = 1;
      pieces.push_back({static_cast<int>(i), done[i], n});
      done[i] += n;
      more = more || done[i] < w.lengths[i];
    }
    if (!pieces.empty())
      step(w, attend, cache, pieces, out);
  }
  return out;
}

static int n_failures = 0;

static void fail(const char *what, const char *table, const world &w, size_t i, double got,
                 double expected) {
  if (n_failures++ < 40)
    printf("FAIL %s, %s: d %d heads %d/%d page %d: token %zu head %zu element %zu: %g, not %g\n",
           table, what, w.s.d, w.s.n_heads, w.s.n_kv, w.s.page_size, i / (w.s.n_heads * w.s.d),
           i / w.s.d % w.s.n_heads, i % w.s.d, got, expected);
}

/* Largest error as a fraction of its bound. */
static double compare(const char *what, const char *table, const world &w, const expectation &e,
                      const std::vector<bf16> &out) {
  double worst = 0;
  int reported = 0;
  for (size_t i = 0; i < out.size() && reported < 5; i++) {
    float got = __bfloat162float(out[i]), expected = e.out[i];
    double error = got == expected ? 0 : fabs(got - expected) / (e.bound[i] + 1e-30);
    bool right = isnan(expected) ? isnan(got) : error < 1.0 / 128;
    if (!right)
      fail(what, table, w, i, got, expected), reported++;
    if (!isnan(expected))
      worst = fmax(worst, error);
  }
  return worst;
}

static void same_bits(const char *what, const char *table, const world &w,
                      const std::vector<bf16> &out, const std::vector<bf16> &expected) {
  int reported = 0;
  for (size_t i = 0; i < out.size() && reported < 5; i++)
    if (memcmp(&out[i], &expected[i], sizeof(bf16)) != 0 &&
        !(isnan(__bfloat162float(out[i])) && isnan(__bfloat162float(expected[i]))))
      fail(what, table, w, i, __bfloat162float(out[i]), __bfloat162float(expected[i])), reported++;
}

/* The cache holds turned keys, and values; the rest is as it was. */
static void compare_cache(const char *table, const world &w, const expectation &e,
                          const cache_memory &memory, bf16 fill) {
  std::vector<bf16> keys(cache_memory::size_of(w), fill), values = keys;
  int n = w.s.n_kv * w.s.d;
  for (size_t i = 0; i < w.lengths.size(); i++)
    for (int p = 0; p < w.lengths[i]; p++) {
      const bf16 *k =
          &e.qkv[static_cast<size_t>(w.first_token[i] + p) * w.s.width() + w.s.n_heads * w.s.d];
      size_t slot =
          static_cast<size_t>(w.pages[w.first_page[i] + p / w.s.page_size]) * w.s.page_size +
          p % w.s.page_size;
      std::copy_n(k, n, keys.begin() + static_cast<int64_t>(slot * n));
      std::copy_n(k + n, n, values.begin() + static_cast<int64_t>(slot * n));
    }
  same_bits("keys", table, w, memory.keys.download(), keys);
  same_bits("values", table, w, memory.values.download(), values);
}

static void check_world(const world &w, const char *what, bool quick = false) {
  static const std::vector<int> few = {1 << 30, 5}, all = {1 << 30, 1, 3, 40, 300};
  expectation e = expect(w);
  std::vector<bf16> golden;
  double worst = 0;
  for (const auto &table : tables) {
    for (int l : quick ? few : all) {
      if (l == 1 && w.n_tokens > 3000)
        continue;
      bf16 fill = l % 2 ? not_a_number() : __float2bfloat16(3e38f);
      cache_memory memory(w, fill);
      auto out = run_chunked(w, table.attend, memory.view(w), l, static_cast<unsigned>(l));
      char text[64];
      snprintf(text, sizeof text, "%s, pieces up to %d", what, l);
      worst = fmax(worst, compare(text, table.name, w, e, out));
      if (golden.empty())
        golden = out;
      same_bits(text, table.name, w, out, golden);
      compare_cache(table.name, w, e, memory, fill);
    }
  }
  printf("d %3d heads %2d/%d page %3d, %zu sequences, %d tokens, %s: largest error %.5f, "
         "%d failures\n",
         w.s.d, w.s.n_heads, w.s.n_kv, w.s.page_size, w.lengths.size(), w.n_tokens, what, worst,
         n_failures);
}

/* A value, a key and a query that are not numbers reach only rows that see
   them. */
static void spoil(world &w) {
  const shape &s = w.s;
  size_t a = static_cast<size_t>(70) * s.width(), b = static_cast<size_t>(100) * s.width();
  w.qkv[a + (s.n_heads + s.n_kv) * s.d + 3] = not_a_number();
  w.qkv[a + (s.n_heads + s.n_kv) * s.d + 21] = __float2bfloat16(INFINITY);
  w.qkv[b + (s.n_heads + s.n_kv - 1) * s.d + 5] = not_a_number();
  w.qkv[static_cast<size_t>(40) * s.width() + 7] = not_a_number();
}

static void check(bool quick) {
  static const shape shapes[] = {{128, 32, 8, 64}, {32, 8, 2, 64},  {64, 32, 8, 16},
                                 {96, 6, 2, 128},  {128, 3, 1, 32}, {64, 2, 2, 64},
                                 {128, 16, 1, 64}, {32, 14, 2, 64}};
  for (const shape &s : shapes) {
    if (quick) {
      check_world(make_world(s, {70, 1, 33}, 1), "numbers", true);
      continue;
    }
    check_world(make_world(s, {130, 1, 64, 257}, 1), "numbers");
    world spoiled = make_world(s, {150, 66}, 2);
    spoil(spoiled);
    check_world(spoiled, "NaN");
  }
  if (!quick)
    check_world(make_world({128, 8, 2, 64}, {2100, 700, 1030}, 3), "long");
}

#include "bench_cuda_attention_time.h"
#include "bench_cuda_attention_ceiling.h"
#include "bench_cuda_attention_tables.h"

/* Freed memory stays at hand. */
static void keep_memory() {
  cudaMemPool_t pool;
  uint64_t all = UINT64_MAX;
  CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
  CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all));
}

int main(int argc, char **argv) {
  keep_memory();
  const char *what = argc > 1 ? argv[1] : "";
  bool only_prompts = strcmp(what, "prompts") == 0;
  bool times = only_prompts || strcmp(what, "time") == 0;
  if (!times)
    check(strcmp(what, "quick") == 0);
  if (what[0] == 0 || times)
    time_all(!only_prompts);
  if (n_failures > 0)
    printf("%d FAILURES\n", n_failures);
  return n_failures > 0;
}
