/* SPDX-License-Identifier: Apache-2.0 */
/* Drawing tokens from rows of logits: the same tokens as
   lib/generator/sampling.c draws from the same logits, which explains how. A
   weight is a whole number of 2^-40, so sums may be taken in any order. */
#include "backends/cuda/common/draw.h"
#include "backends/cuda/common/launch.cuh"

constexpr int n_threads = 1024, n_warps = n_threads / 32;
constexpr int n_bins = 2048;            /* two a thread */
constexpr double one = 1099511627776.0; /* 2^40, the largest weight */
typedef unsigned long long u64;

/* The two largest of some logits. */
struct top {
  float largest, second;
  int id; /* of the largest; the smallest such */
  int is_nan;
};

__device__ top merge(top a, top b) {
  bool a_first = a.largest > b.largest || (a.largest == b.largest && a.id < b.id);
  top first = a_first ? a : b, other = a_first ? b : a;
  first.second = fmaxf(first.second, other.largest);
  first.is_nan |= other.is_nan;
  return first;
}

constexpr top nothing = {-INFINITY, -INFINITY, INT32_MAX, 0};

/* The top of a warp's, in every lane. */
__device__ top warp_top(top mine) {
  for (int distance = 16; distance > 0; distance /= 2) {
    top other = {
        __shfl_xor_sync(~0u, mine.largest, distance), __shfl_xor_sync(~0u, mine.second, distance),
        __shfl_xor_sync(~0u, mine.id, distance), __shfl_xor_sync(~0u, mine.is_nan, distance)};
    mine = merge(mine, other);
  }
  return mine;
}

/* The top of all threads', in the first warp. */
__device__ top block_top(top mine) {
  __shared__ top of_warps[n_warps];
  int lane = threadIdx.x % 32;
  mine = warp_top(mine);
  if (lane == 0)
    of_warps[threadIdx.x / 32] = mine;
  __syncthreads();
  if (threadIdx.x >= 32)
    return mine;
  top theirs = nothing;
  if (lane < static_cast<int>(blockDim.x) / 32)
    theirs = of_warps[lane];
  return warp_top(theirs);
}

/* Block (b, r): the top of row r's b-th piece. */
__global__ void __launch_bounds__(n_threads)
    find_tops(const float *logits, int n, int piece, top *tops) {
  dependency_release();
  dependency_wait();
  const float *row = logits + static_cast<int64_t>(blockIdx.y) * n;
  int end = min(n, static_cast<int>(blockIdx.x + 1) * piece);
  top mine = nothing;
  for (int i = blockIdx.x * piece + threadIdx.x; i < end; i += blockDim.x) {
    float x = row[i];
    mine = merge(mine, top{x, -INFINITY, i, x != x});
  }
  mine = block_top(mine);
  if (threadIdx.x == 0)
    tops[blockIdx.y * gridDim.x + blockIdx.x] = mine;
}

/* Sums over the threads up to and including this one; *total: over all. */
__device__ u64 block_scan(u64 x, u64 *total) {
  __shared__ u64 of_warps[n_warps];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int distance = 1; distance < 32; distance *= 2) {
    u64 other = __shfl_up_sync(~0u, x, distance);
    x += lane >= distance ? other : 0;
  }
  __syncthreads(); /* of_warps may still be read from the call before */
  if (lane == 31)
    of_warps[warp] = x;
  __syncthreads();
  *total = 0;
  for (int w = 0; w < n_warps; w++) {
    x += w < warp ? of_warps[w] : 0;
    *total += of_warps[w];
  }
  return x;
}

/* Where the ranking by weight, then id, is cut: what is kept is heavier than
   `weight`, or as heavy with an id up to `last`. */
struct cut {
  u64 weight;
  int last;
};

__device__ bool is_kept(cut at, u64 weight, int id) {
  return weight > at.weight || (weight == at.weight && id <= at.last);
}

/* The id that is the n_wanted-th of those with this weight, in order. */
__device__ int find_tied(const u64 *weights, int n, u64 weight, u64 n_wanted) {
  __shared__ int found;
  u64 before = 0, total;
  if (threadIdx.x == 0)
    found = n - 1;
  for (int base = 0; base < n && before < n_wanted; base += n_threads) {
    int id = base + threadIdx.x;
    u64 is_tied = id < n && weights[id] == weight;
    u64 sum = before + block_scan(is_tied, &total);
    if (is_tied && sum == n_wanted)
      found = id;
    before += total;
  }
  __syncthreads();
  return found;
}

/* The fewest of the ranking's first whose measure reaches `wanted`: their
   number, or, `by_weight`, the sum of their weights. Digit by digit from the
   highest, over the weights that have the digits found so far. */
__device__ cut find_cut(const u64 *weights, int n, double wanted, bool by_weight) {
  __shared__ u64 bins[n_bins];
  __shared__ u64 found_digit, found_before;
  u64 prefix = 0, before = 0, total; /* before: the measure of what is heavier */
  for (int shift = 30; shift >= 0; shift -= 10) {
    for (int i = threadIdx.x; i < n_bins; i += n_threads)
      bins[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += n_threads) {
      u64 w = weights[i];
      bool matches = shift == 30 || w >> (shift + 10) == prefix;
      u64 digit = shift == 30 ? w >> 30 : w >> shift & 1023;
      if (w != 0 && matches)
        atomicAdd(&bins[digit], by_weight ? w : 1);
    }
    __syncthreads();
    int high = n_bins - 1 - 2 * static_cast<int>(threadIdx.x);
    u64 first = bins[high], both = first + bins[high - 1];
    u64 below = before + block_scan(both, &total) - both;
    if (threadIdx.x == 0) {
      found_digit = 0; /* all that have a weight */
      found_before = before + total - bins[0];
    }
    __syncthreads();
    if (static_cast<double>(below) < wanted && static_cast<double>(below + both) >= wanted) {
      bool in_first = static_cast<double>(below + first) >= wanted;
      found_digit = in_first ? high : high - 1;
      found_before = in_first ? below : below + first;
    }
    __syncthreads();
    prefix = shift == 30 ? found_digit : prefix << 10 | found_digit;
    before = found_before;
  }
  u64 low = 1, most = n; /* how many of those that weigh `prefix` */
  while (low < most) {
    u64 middle = (low + most) / 2;
    u64 measure = before + middle * (by_weight ? prefix : 1);
    if (static_cast<double>(measure) >= wanted)
      most = middle;
    else
      low = middle + 1;
  }
  return {prefix, find_tied(weights, n, prefix, low)};
}

__device__ u64 sum_of(const u64 *weights, int n) {
  u64 sum = 0, total;
  for (int i = threadIdx.x; i < n; i += n_threads)
    sum += weights[i];
  block_scan(sum, &total);
  return total;
}

__device__ void drop(u64 *weights, int n, cut at) {
  for (int i = threadIdx.x; i < n; i += n_threads)
    if (!is_kept(at, weights[i], i))
      weights[i] = 0;
  __syncthreads();
}

__device__ void filter(u64 *weights, int n, const llq_draw &draw) {
  if (draw.top_k > 0 && draw.top_k < n)
    drop(weights, n, find_cut(weights, n, draw.top_k, false));
  if (draw.top_p > 0 && draw.top_p < 1) {
    double wanted = draw.top_p * static_cast<double>(sum_of(weights, n));
    drop(weights, n, find_cut(weights, n, wanted, true));
  }
  for (int i = threadIdx.x; i < n && draw.min_p > 0; i += n_threads)
    if (static_cast<double>(weights[i]) < draw.min_p * one)
      weights[i] = 0;
  __syncthreads();
}

/* In one warp: the first id from `start` on whose running sum exceeds target;
   the last with a weight if none does. */
__device__ int walk(const u64 *weights, int start, int end, u64 running, u64 target) {
  int lane = threadIdx.x % 32, last = -1;
  for (int base = start; base < end; base += 32) {
    int id = base + lane;
    u64 w = id < end ? weights[id] : 0, sum = w;
    for (int distance = 1; distance < 32; distance *= 2) {
      u64 other = __shfl_up_sync(~0u, sum, distance);
      sum += lane >= distance ? other : 0;
    }
    unsigned over = __ballot_sync(~0u, running + sum > target);
    unsigned any = __ballot_sync(~0u, w != 0);
    if (over != 0)
      return base + __ffs(over) - 1;
    if (any != 0)
      last = base + 31 - __clz(any);
    running += __shfl_sync(~0u, sum, 31);
  }
  return last;
}

/* Each warp sums a stretch of ids; the one in which the target falls walks. */
__device__ int find_drawn(const u64 *weights, int n, int largest, double uniform) {
  __shared__ u64 sums[n_warps];
  __shared__ int drawn;
  int warp = threadIdx.x / 32, stretch = (n + n_warps - 1) / n_warps;
  int start = min(n, warp * stretch), end = min(n, start + stretch);
  u64 sum = 0;
  for (int i = start + threadIdx.x % 32; i < end; i += 32)
    sum += weights[i];
  for (int distance = 16; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(~0u, sum, distance);
  if (threadIdx.x % 32 == 0)
    sums[warp] = sum;
  if (threadIdx.x == 0)
    drawn = largest;
  __syncthreads();
  u64 before = 0, total = 0;
  int last = 0; /* the last warp with a weight */
  for (int w = 0; w < n_warps; w++) {
    before += w < warp ? sums[w] : 0;
    total += sums[w];
    last = sums[w] != 0 ? w : last;
  }
  u64 target = static_cast<u64>(uniform * static_cast<double>(total));
  bool is_here = target < total ? before <= target && target < before + sum : warp == last;
  if (is_here) {
    int id = walk(weights, start, end, before, target);
    if (threadIdx.x % 32 == 0 && id >= 0)
      drawn = id;
  }
  __syncthreads();
  return drawn;
}

/* Block r: row r, whose tops its pieces have. */
__global__ void __launch_bounds__(n_threads)
    draw_tokens(const float *logits, int n, const top *tops, int n_tops, u64 *all_weights,
                const llq_draw *draws, llq_draw *drawn) {
  dependency_release();
  dependency_wait();
  __shared__ top shared_best;
  const float *row = logits + static_cast<int64_t>(blockIdx.x) * n;
  top mine = nothing;
  if (static_cast<int>(threadIdx.x) < n_tops)
    mine = tops[blockIdx.x * n_tops + threadIdx.x];
  mine = block_top(mine);
  if (threadIdx.x == 0)
    shared_best = mine;
  __syncthreads();
  const top best = shared_best;
  const llq_draw draw = draws[blockIdx.x];
  bool is_finite = !best.is_nan && isfinite(best.largest);
  int id = best.id;
  if (is_finite && draw.temperature > 0) {
    u64 *weights = all_weights + static_cast<int64_t>(blockIdx.x) * n;
    double largest = best.largest;
    for (int i = threadIdx.x; i < n; i += n_threads)
      weights[i] = static_cast<u64>(
          exp((static_cast<double>(row[i]) - largest) / draw.temperature) * one + 0.5);
    __syncthreads();
    filter(weights, n, draw);
    id = find_drawn(weights, n, best.id, draw.uniform);
  }
  if (threadIdx.x == 0) {
    llq_draw *out = &drawn[blockIdx.x];
    out->id = id;
    out->is_finite = is_finite;
    out->margin = static_cast<double>(best.largest) - static_cast<double>(best.second);
  }
}

constexpr int n_pieces_max = 32;

static int n_pieces(int n) {
  int pieces = (n + 4 * n_threads - 1) / (4 * n_threads);
  return pieces < n_pieces_max ? pieces : n_pieces_max;
}

size_t common_draw_scratch(int n_rows, int n, int has_temperature) {
  size_t rows = static_cast<size_t>(n_rows);
  return rows * n_pieces_max * sizeof(top) +
         (has_temperature ? rows * static_cast<size_t>(n) * sizeof(u64) : 0);
}

cudaError_t common_draw(const cuda_launch *launch, const float *logits, int n_rows, int n,
                        const llq_draw *draws, llq_draw *drawn) {
  top *tops = static_cast<top *>(launch->scratch);
  u64 *weights = reinterpret_cast<u64 *>(tops + static_cast<size_t>(n_rows) * n_pieces_max);
  int pieces = n_pieces(n);
  cudaError_t error = launch_kernel(launch, find_tops, dim3(pieces, n_rows), dim3(n_threads), 0,
                                    logits, n, (n + pieces - 1) / pieces, tops);
  if (error == cudaSuccess)
    error = launch_kernel(launch, draw_tokens, dim3(n_rows), dim3(n_threads), 0, logits, n, tops,
                          pieces, weights, draws, drawn);
  return error;
}
