/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of several rows: first rope and append, then attention.

   A block serves some consecutive rows of a segment, all heads of q that share
   one head of k: row i of its tile of q is (token i / group, head i % group). A
   warp has 16 of these rows; all warps share the tiles of keys and values.

   `products` says how S and O are computed: here by each warp for itself. */
#ifndef LLQ_CUDA_ATTEND_CHUNK_CUH
#define LLQ_CUDA_ATTEND_CHUNK_CUH

#include "backends/cuda/common/attend.cuh"

namespace {

constexpr int append_threads = 128;

/* Stores 8 numbers in the cache, from element `at` on. */
template <bool coded>
__device__ __forceinline__ void store_cached_8(void *cache, int64_t at, uint4 x, int dtype,
                                               float scale) {
  if constexpr (coded) {
    uint2 codes;
    codes.x = encode(x.x, x.y, dtype, scale);
    codes.y = encode(x.z, x.w, dtype, scale);
    *reinterpret_cast<uint2 *>(static_cast<unsigned char *>(cache) + at) = codes;
  } else {
    *reinterpret_cast<uint4 *>(static_cast<__nv_bfloat16 *>(cache) + at) = x;
  }
}

/* Rotates and stores k, stores v: one block a row; 8 elements a copy. */
template <int D, bool coded>
__global__ __launch_bounds__(append_threads) void append_rows(attend_arguments a) {
  dependency_release();
  cuda_row row = a.batch.rows[blockIdx.x];
  int kv_width = a.cache.n_kv_heads * D;
  int64_t at = cache_slot(a, row.first_page, row.position) * kv_width;
  const float *table = a.cos_sin + static_cast<int64_t>(row.position) * D;
  dependency_wait();
  const __nv_bfloat16 *keys =
      a.qkv + static_cast<int64_t>(blockIdx.x) * (a.n_heads * D + 2 * kv_width) + a.n_heads * D;
  for (int i = threadIdx.x; i < kv_width / 16; i += append_threads) {
    int first = i / (D / 16) * D + i % (D / 16) * 8;
    uint4 low = *reinterpret_cast<const uint4 *>(keys + first);
    uint4 high = *reinterpret_cast<const uint4 *>(keys + first + D / 2);
    const float2 *c = reinterpret_cast<const float2 *>(table + i % (D / 16) * 8);
    const float2 *s = c + D / 4;
    rotate(low.x, high.x, __ldg(c), __ldg(s));
    rotate(low.y, high.y, __ldg(c + 1), __ldg(s + 1));
    rotate(low.z, high.z, __ldg(c + 2), __ldg(s + 2));
    rotate(low.w, high.w, __ldg(c + 3), __ldg(s + 3));
    store_cached_8<coded>(a.cache.keys, at + first, low, a.cache.dtype, a.cache.key_scale);
    store_cached_8<coded>(a.cache.keys, at + first + D / 2, high, a.cache.dtype, a.cache.key_scale);
  }
  for (int i = threadIdx.x; i < kv_width / 8; i += append_threads)
    store_cached_8<coded>(a.cache.values, at + 8 * i,
                          reinterpret_cast<const uint4 *>(keys + kv_width)[i], a.cache.dtype,
                          a.cache.value_scale);
}

/* Some rows of a segment. */
struct chunk {
  llq_segment segment;
  int first, n_rows; /* of the segment */
};

/* The index-th chunk of at most n_rows among the segments of several rows;
   without rows if there are fewer. The same in every warp. */
__device__ __forceinline__ chunk find_chunk(const cuda_batch &batch, int index, int n_rows) {
  int lane = threadIdx.x % 32;
  for (int base = 0; base < batch.n_segments; base += 32) {
    int rows = base + lane < batch.n_segments ? batch.segments[base + lane].n_rows : 0;
    int mine = rows > 1 ? (rows + n_rows - 1) / n_rows : 0, end = mine;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      int below = __shfl_up_sync(~0u, end, distance);
      end += lane >= distance ? below : 0;
    }
    unsigned beyond = __ballot_sync(~0u, end > index);
    if (beyond != 0) {
      int source = __ffs(beyond) - 1;
      chunk found = {batch.segments[base + source], 0, 0};
      found.first = (index - __shfl_sync(~0u, end - mine, source)) * n_rows;
      found.n_rows = min(n_rows, found.segment.n_rows - found.first);
      return found;
    }
    index -= __shfl_sync(~0u, end, 31);
  }
  return {};
}

enum visibility {
  all_visible,
  masked,      /* some rows must not see some positions */
  masked_apart /* and there are values there that zero weights would not hide */
};

__device__ __forceinline__ bool is_infinite(uint32_t pair) {
  return (pair & 0x7f80) == 0x7f80 || (pair & 0x7f800000) == 0x7f800000;
}

/* Whether the rows of a tile of values from `row` on have an infinity or NaN;
   the same for a warp. */
template <int D, typename layout = head_tile<D>>
__device__ __forceinline__ bool has_infinite(const unsigned char *values, int row) {
  constexpr int n_chunks = layout::n_chunks;
  bool found = false;
  for (int i = row * n_chunks + threadIdx.x % 32; i < tile_positions * n_chunks; i += 32) {
    uint4 x = *reinterpret_cast<const uint4 *>(values + layout::offset(i / n_chunks, i % n_chunks));
    found |= is_infinite(x.x) || is_infinite(x.y) || is_infinite(x.z) || is_infinite(x.w);
  }
  return __any_sync(~0u, found);
}

/* As weigh, but each row anew with the positions beyond its limit zeroed. */
template <int D, typename layout = head_tile<D>, int n>
__device__ __forceinline__ void weigh_apart(float (&o)[n][4], const uint32_t (&p)[4][4],
                                            uint32_t values, int column, int limit0, int limit1) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int c = 0; c < n; c++)
#pragma unroll 1
    for (int row = 0; row < 16; row++) {
      int limit = __shfl_sync(~0u, row < 8 ? limit0 : limit1, row % 8 * 4);
      float sum[4] = {};
#pragma unroll
      for (int k = 0; k < 2; k++) {
        uint32_t b[4];
        load_transposed(b, values + layout::offset(32 * k + lane, column + c));
#pragma unroll
        for (int j = 0; j < 4; j++) {
          int position = 32 * k + 8 * j + lane % 4 * 2;
          b[j] = position > limit ? 0 : position == limit ? b[j] & 0xffff : b[j];
        }
        mma(sum, p[2 * k], b[0], b[1]);
        mma(sum, p[2 * k + 1], b[2], b[3]);
      }
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (lane / 4 + j / 2 * 8 == row)
          o[c][j] = sum[j];
    }
}

struct warp_products {
  static constexpr int n_warps = 1;                    /* that act together */
  template <int D> static constexpr int n_columns = 4; /* eights of them, at a time */

  /* Of copies to shared memory, before a barrier and products that read them. */
  static __device__ __forceinline__ void publish_copies() {
  }

  template <int D>
  static __device__ __forceinline__ void scores(float (&s)[4][2][4], const queries<D> &q,
                                                uint32_t keys) {
    score<D>(s, q, keys, 0);
  }

  template <int D, int n>
  static __device__ __forceinline__ void sums(float (&o)[n][4], const uint32_t (&p)[4][4],
                                              uint32_t values, int column) {
    weigh<D>(o, p, values, column);
  }
};

/* A warp's rows and what they have summed. */
template <int D, typename products> struct warp_rows {
  queries<D> q;
  int position[2]; /* of the lane's rows; -1: no row */
  float o[D / 8][4], peak[2], sum[2];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int h = 0; h < 2; h++)
      peak[h] = -INFINITY, sum[h] = 0;
#pragma unroll
    for (int i = 0; i < D / 8; i++)
#pragma unroll
      for (int j = 0; j < 4; j++)
        o[i][j] = 0;
  }

  /* Weights of a tile, as first operands, and their peaks. */
  template <visibility sight>
  __device__ __forceinline__ void weights(uint32_t (&p)[4][4], float (&tile_peak)[2], uint32_t keys,
                                          int first, float scale) const {
    int lane = threadIdx.x % 32;
    float s[4][2][4];
    products::template scores<D>(s, q, keys);
    tile_peak[0] = tile_peak[1] = -INFINITY;
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
          if (sight != all_visible &&
              first + 16 * k + 8 * i + lane % 4 * 2 + j % 2 > position[j / 2])
            s[k][i][j] = -INFINITY;
          tile_peak[j / 2] = fmaxf(tile_peak[j / 2], s[k][i][j]);
        }
    float finite[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      tile_peak[h] = quad_max(tile_peak[h]) * scale;
      finite[h] = finite_peak(tile_peak[h]);
    }
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int h = 0; h < 2; h++)
          p[k][2 * i + h] = pair_of(weight(s[k][i][2 * h], scale, finite[h]),
                                    weight(s[k][i][2 * h + 1], scale, finite[h]));
  }

  template <visibility sight>
  __device__ __forceinline__ void attend(uint32_t keys, uint32_t values, int first, float scale) {
    uint32_t p[4][4];
    float tile_peak[2], tile_sum[4];
    weights<sight>(p, tile_peak, keys, first, scale);
    sum_weights(tile_sum, p);
    join_factors factors[2];
    bool sees[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      sees[h] = sight == all_visible || first <= position[h];
      if (!sees[h])
        continue;
      factors[h] = join(peak[h], tile_peak[h]);
      sum[h] = joined(sum[h], tile_sum[2 * h], factors[h]);
    }
    constexpr int n = products::template n_columns<D>;
#pragma unroll
    for (int i = 0; i < D / 8; i += n) {
      float tile[n][4];
      if (sight == masked_apart)
        weigh_apart<D>(tile, p, values, i, position[0] - first, position[1] - first);
      else
        products::template sums<D>(tile, p, values, i);
#pragma unroll
      for (int j = 0; j < 4 * n; j++)
        if (sees[j / 2 % 2])
          o[i + j / 4][j % 4] = joined(o[i + j / 4][j % 4], tile[j / 4][j % 4], factors[j / 2 % 2]);
    }
  }

  __device__ __forceinline__ void store(int h, __nv_bfloat16 *row, float scale) const {
    uint32_t *pairs = reinterpret_cast<uint32_t *>(row) + threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < D / 8; i++)
      pairs[4 * i] = pair_of(__fmul_rn(__fdiv_rn(o[i][2 * h], sum[h]), scale),
                             __fmul_rn(__fdiv_rn(o[i][2 * h + 1], sum[h]), scale));
  }
};

template <int D, typename products, int n_warps, int n_stages, bool coded>
__global__ __launch_bounds__(32 * n_warps) void attend_chunk(attend_arguments a) {
  extern __shared__ __align__(1024) unsigned char tiles[];
  constexpr int size = head_tile<D>::size;
  dependency_release();
  int rows_max = 16 * n_warps / a.group;
  /* Last chunks first: they have the most to do. */
  chunk own = find_chunk(a.batch, static_cast<int>(gridDim.x - 1 - blockIdx.x), rows_max);
  dependency_wait();
  if (own.n_rows == 0)
    return;
  int kv_head = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int first_position = own.segment.first_position + own.first;
  int last_position = first_position + own.n_rows - 1, last = last_position / tile_positions;
  auto fetch = [&](int tile) {
    uint32_t to = shared_address(tiles) + tile % n_stages * 2 * size;
    if (tile <= last)
      fetch_tile<D, 32 * n_warps, coded>(a, own.segment.first_page, kv_head, tile,
                                         last_position + 1 - tile * tile_positions, -1, to,
                                         to + size);
    copies_commit();
  };
#pragma unroll
  for (int i = 0; i < n_stages - 1; i++)
    fetch(i);

  warp_rows<D, products> rows;
  rows.clear();
  int64_t row0 = own.segment.first_row + own.first;
  int width = (a.n_heads + 2 * a.cache.n_kv_heads) * D;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int i = 16 * warp + lane / 4 + 8 * h, token = i / a.group;
    rows.position[h] = token < own.n_rows ? first_position + token : -1;
    if (token < own.n_rows) {
      angles<D> by;
      by.load(a.cos_sin, first_position + token);
      rows.q.load(h, a.qkv + (row0 + token) * width + (kv_head * a.group + i % a.group) * D, by);
    } else {
      rows.q.clear(h);
    }
  }
  /* Of the warps that act together. */
  int first_row = warp / products::n_warps * products::n_warps * 16;
  int last_row = first_row + products::n_warps * 16 - 1;
  int lowest = first_position + first_row / a.group;
  int highest = min(last_position, first_position + last_row / a.group);
  if (lowest > last_position)
    highest = -1; /* no rows */
  bool is_full = last_row / a.group < own.n_rows;

  for (int tile = 0; tile <= last; tile++) {
    int first = tile * tile_positions;
    unsigned char *values = tiles + (tile % n_stages * 2 + 1) * size;
    copies_wait<n_stages - 2>();
    if constexpr (coded)
      decode_tile<D, 32 * n_warps>(values - size, values, a.cache.dtype);
    products::publish_copies();
    __syncthreads();
    fetch(tile + n_stages - 1);
    uint32_t at = shared_address(values);
    if (first > highest)
      continue;
    if (first + tile_positions - 1 <= lowest && is_full)
      rows.template attend<all_visible>(at - size, at, first, a.scale);
    else if (!has_infinite<D>(values, max(0, lowest + 1 - first)))
      rows.template attend<masked>(at - size, at, first, a.scale);
    else
      rows.template attend<masked_apart>(at - size, at, first, a.scale);
  }
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int i = 16 * warp + lane / 4 + 8 * h, token = i / a.group;
    if (token < own.n_rows)
      rows.store(h, a.out + ((row0 + token) * a.n_heads + kv_head * a.group + i % a.group) * D,
                 a.value_scale);
  }
}

} // namespace

#endif
