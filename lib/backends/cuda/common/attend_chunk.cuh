/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of several rows: first rope and append, then attention.

   A block serves some consecutive rows of a segment, all heads of q that share
   one head of k: row i of its tile of q is (token i / group, head i % group). A
   warp has 16 of these rows; all warps share the tiles of keys and values. */
#ifndef LLQ_CUDA_ATTEND_CHUNK_CUH
#define LLQ_CUDA_ATTEND_CHUNK_CUH

#include "backends/cuda/common/attend.cuh"

namespace {

constexpr int append_threads = 128;

/* Rotates and stores k, stores v: one block a row; 8 elements a copy. */
template <int D>
__global__ __launch_bounds__(append_threads) void append_rows(attend_arguments a) {
  dependency_release();
  cuda_row row = a.batch.rows[blockIdx.x];
  int kv_width = a.cache.n_kv_heads * D;
  int64_t at = cache_slot(a, row.first_page, row.position) * kv_width;
  const float *table = a.cos_sin + static_cast<int64_t>(row.position) * D;
  dependency_wait();
  const __nv_bfloat16 *keys =
      a.qkv + static_cast<int64_t>(blockIdx.x) * (a.n_heads * D + 2 * kv_width) + a.n_heads * D;
  __nv_bfloat16 *to = static_cast<__nv_bfloat16 *>(a.cache.keys) + at;
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
    *reinterpret_cast<uint4 *>(to + first) = low;
    *reinterpret_cast<uint4 *>(to + first + D / 2) = high;
  }
  uint4 *values = reinterpret_cast<uint4 *>(static_cast<__nv_bfloat16 *>(a.cache.values) + at);
  for (int i = threadIdx.x; i < kv_width / 8; i += append_threads)
    values[i] = reinterpret_cast<const uint4 *>(keys + kv_width)[i];
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

/* As weigh, for a tile with positions that a row must not see, where a value
   may be no finite number: zero weights would not hide it. Each row anew, with
   the positions beyond its own zeroed. */
template <int D>
__device__ __noinline__ void weigh_apart(float (&o)[4], const uint32_t (&p)[4][4], uint32_t values,
                                         int column, int limit0, int limit1) {
  int lane = threadIdx.x % 32;
  for (int row = 0; row < 16; row++) {
    int limit = __shfl_sync(~0u, row < 8 ? limit0 : limit1, row % 8 * 4);
    float sum[4] = {};
#pragma unroll
    for (int k = 0; k < 2; k++) {
      uint32_t b[4];
      load_transposed(b, values + head_tile<D>::offset(32 * k + lane, column));
#pragma unroll
      for (int j = 0; j < 4; j++) {
        int position = 32 * k + 8 * j + lane % 4 * 2;
        if (position > limit)
          b[j] = 0;
        else if (position + 1 > limit)
          b[j] &= 0xffff;
      }
      mma(sum, p[2 * k], b[0], b[1]);
      mma(sum, p[2 * k + 1], b[2], b[3]);
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (lane / 4 + j / 2 * 8 == row)
        o[j] = sum[j];
  }
}

/* A warp's rows and what they have summed. */
template <int D> struct warp_rows {
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
  template <bool masked>
  __device__ __forceinline__ void weights(uint32_t (&p)[4][4], float (&tile_peak)[2],
                                          uint32_t keys, int first, float scale) const {
    int lane = threadIdx.x % 32;
    float s[4][2][4];
#pragma unroll
    for (int k = 0; k < 4; k++)
      score<D>(s[k], q, keys, 16 * k);
    tile_peak[0] = tile_peak[1] = -INFINITY;
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
          if (masked && first + 16 * k + 8 * i + lane % 4 * 2 + j % 2 > position[j / 2])
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
          p[k][2 * i + h] = pack(weight(s[k][i][2 * h], scale, finite[h]),
                                 weight(s[k][i][2 * h + 1], scale, finite[h]));
  }

  /* Joins a tile; `masked`: not all rows see all of it. */
  template <bool masked>
  __device__ __forceinline__ void attend(uint32_t keys, uint32_t values, int first, float scale) {
    uint32_t p[4][4];
    float tile_peak[2], tile_sum[4];
    weights<masked>(p, tile_peak, keys, first, scale);
    sum_weights(tile_sum, p);
    join_factors factors[2];
    bool sees[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      sees[h] = !masked || first <= position[h];
      if (!sees[h])
        continue;
      factors[h] = join(peak[h], tile_peak[h]);
      sum[h] = joined(sum[h], tile_sum[2 * h], factors[h]);
    }
#pragma unroll
    for (int i = 0; i < D / 8; i++) {
      float tile[4];
      weigh<D>(tile, p, values, i);
      if (masked) {
        float probe = 0 * tile[0] + 0 * tile[1] + 0 * tile[2] + 0 * tile[3];
        if (__any_sync(~0u, probe != 0))
          weigh_apart<D>(tile, p, values, i, position[0] - first, position[1] - first);
      }
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (sees[j / 2])
          o[i][j] = joined(o[i][j], tile[j], factors[j / 2]);
    }
  }

  __device__ __forceinline__ void store(int h, __nv_bfloat16 *row) const {
    uint32_t *pairs = reinterpret_cast<uint32_t *>(row) + threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < D / 8; i++)
      pairs[4 * i] =
          pack(__fdiv_rn(o[i][2 * h], sum[h]), __fdiv_rn(o[i][2 * h + 1], sum[h]));
  }
};

template <int D, int n_warps>
__global__ __launch_bounds__(32 * n_warps) void attend_chunk(attend_arguments a) {
  extern __shared__ __align__(128) unsigned char tiles[];
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
    uint32_t to = shared_address(tiles) + tile % 2 * 2 * size;
    if (tile <= last)
      fetch_tile<D, 32 * n_warps>(a, own.segment.first_page, kv_head, tile,
                                  last_position + 1 - tile * tile_positions, -1, to, to + size);
    copies_commit();
  };
  fetch(0);

  warp_rows<D> rows;
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
  int lowest = first_position + 16 * warp / a.group;
  int highest = min(last_position, first_position + (16 * warp + 15) / a.group);
  if (lowest > last_position)
    highest = -1; /* a warp without rows */

  for (int tile = 0; tile <= last; tile++) {
    copies_wait<0>();
    __syncthreads();
    fetch(tile + 1);
    int first = tile * tile_positions;
    uint32_t keys = shared_address(tiles) + tile % 2 * 2 * size;
    if (first + tile_positions - 1 <= lowest && (16 * warp + 15) / a.group < own.n_rows)
      rows.template attend<false>(keys, keys + size, first, a.scale);
    else if (first <= highest)
      rows.template attend<true>(keys, keys + size, first, a.scale);
  }
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int i = 16 * warp + lane / 4 + 8 * h, token = i / a.group;
    if (token < own.n_rows)
      rows.store(h, a.out + ((row0 + token) * a.n_heads + kv_head * a.group + i % a.group) * D);
  }
}

} // namespace

#endif
