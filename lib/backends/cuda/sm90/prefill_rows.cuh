/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of q of one warpgroup, and what they do with a tile of keys and
   values: the arithmetic of attend.cuh with wgmma for mma, which gives the same
   bits. While the values of a tile are summed, the weights of the next are made. */
#ifndef LLQ_CUDA_PREFILL_ROWS_CUH
#define LLQ_CUDA_PREFILL_ROWS_CUH

#include "backends/cuda/common/attend_chunk.cuh"
#include "backends/cuda/sm90/tma.cuh"
#include "backends/cuda/sm90/wgmma.cuh"

namespace {

/* As head_tile, in panels of 64 elements: what TMA writes and wgmma reads. */
template <int D> struct panel_tile {
  static constexpr int n_chunks = D / 8, n_panels = D / 64;
  static constexpr int panel_size = tile_positions * 128;
  static constexpr int size = n_panels * panel_size;

  static __device__ __forceinline__ uint32_t offset(int row, int chunk) {
    return static_cast<uint32_t>(chunk / 8 * panel_size + row * 128 +
                                 ((chunk % 8 ^ (row & 7)) << 4));
  }
};

/* Sums of 64 rows and 64 columns: fragments of mma.m16n8, one for each eight
   columns. */
using fragments = float[32];

/* Of a tile: weights as first operands, and how it joins those before it. */
struct tile_weights {
  uint32_t p[4][4];
  join_factors by[2];

  /* Where they are made, and until where they are needed. */
  __device__ __forceinline__ void pin() {
#pragma unroll
    for (int k = 0; k < 4; k++)
      wgmma_keep(p[k]);
  }
};

/* Is a value of any lane's not finite? */
__device__ __forceinline__ bool any_infinite(const fragments &t) {
  float bad = 0; /* or NaN */
#pragma unroll
  for (int i = 0; i < 32; i++)
    bad = __fmaf_rn(t[i], 0, bad);
  return __any_sync(~0u, bad != 0);
}

template <int D> struct prefill_rows {
  using tile = panel_tile<D>;
  static constexpr int n_panels = tile::n_panels;
  queries<D> q;
  int position[2]; /* of the lane's rows; -1: no row */
  fragments s;     /* scores with the tile at hand */
  fragments o[n_panels];
  float peak[2], sum[2];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int h = 0; h < 2; h++)
      peak[h] = -INFINITY, sum[h] = 0;
#pragma unroll
    for (int i = 0; i < n_panels; i++)
#pragma unroll
      for (int j = 0; j < 32; j++)
        o[i][j] = 0;
  }

  __device__ __forceinline__ void begin_scores(uint32_t keys) {
#pragma unroll
    for (int k = 0; k < D / 16; k++)
      wgmma<64>::issue(s, q.a[k], wgmma_operand(keys + k / 4 * tile::panel_size) + k % 4 * 2,
                       k > 0);
    wgmma_commit();
  }

  /* Of the 64 columns of a panel. */
  __device__ __forceinline__ void begin_sums(fragments &t, const tile_weights &w,
                                             uint32_t panel) const {
#pragma unroll
    for (int k = 0; k < 4; k++)
      wgmma<64, 1>::issue(t, w.p[k], wgmma_operand(panel) + k * (16 * 128 >> 4), k > 0);
    wgmma_commit();
  }

  /* Scores become weights; peaks take them in. */
  template <bool is_masked>
  __device__ __forceinline__ void weigh(tile_weights &w, int first, float scale) {
    int lane = threadIdx.x % 32;
    float tile_peak[2] = {-INFINITY, -INFINITY}, finite[2];
#pragma unroll
    for (int i = 0; i < 32; i++) {
      int h = i / 2 % 2;
      if (is_masked && first + i / 4 * 8 + lane % 4 * 2 + i % 2 > position[h])
        s[i] = -INFINITY;
      tile_peak[h] = fmaxf(tile_peak[h], s[i]);
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
      tile_peak[h] = quad_max(tile_peak[h]) * scale;
      finite[h] = finite_peak(tile_peak[h]);
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float *two = &s[8 * k + 2 * j];
        w.p[k][j] =
            pair_of(weight(two[0], scale, finite[j % 2]), weight(two[1], scale, finite[j % 2]));
      }
      wgmma_keep(w.p[k]);
    }
#pragma unroll
    for (int h = 0; h < 2; h++)
      if (!is_masked || first <= position[h])
        w.by[h] = join(peak[h], tile_peak[h]);
  }

  /* A panel's sums join those of the tiles before. Where values that rows must not
     see are not numbers, they are made anew. */
  template <bool is_masked>
  __device__ __forceinline__ void add(int panel, fragments &t, const tile_weights &w,
                                      uint32_t values, int first) {
    wgmma_arrived(t);
    if (is_masked && any_infinite(t))
      sum_apart(t, w, values, panel, first);
#pragma unroll
    for (int i = 0; i < 32; i++)
      if (!is_masked || first <= position[i / 2 % 2])
        o[panel][i] = joined(o[panel][i], t[i], w.by[i / 2 % 2]);
  }

  __device__ __forceinline__ void sum_apart(fragments &t, const tile_weights &w, uint32_t values,
                                            int panel, int first) const {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float eight[1][4];
      weigh_apart<D, tile>(eight, w.p, values, 8 * panel + i, position[0] - first,
                           position[1] - first);
#pragma unroll
      for (int j = 0; j < 4; j++)
        t[4 * i + j] = eight[0][j];
    }
  }

  template <bool is_masked>
  __device__ __forceinline__ void add_weights(const tile_weights &w, int first) {
    float tile_sum[4];
    sum_weights(tile_sum, w.p);
#pragma unroll
    for (int h = 0; h < 2; h++)
      if (!is_masked || first <= position[h])
        sum[h] = joined(sum[h], tile_sum[2 * h], w.by[h]);
  }

  /* Adds the values of a tile whose first panel is under way. */
  template <bool is_masked>
  __device__ __forceinline__ void add_panels(fragments &t, tile_weights &w, uint32_t values,
                                             int first) {
#pragma unroll
    for (int i = 0; i < n_panels; i++) {
      if (i > 0) {
        wgmma_fence();
        begin_sums(t, w, values + i * tile::panel_size);
      }
      wgmma_wait<0>();
      if (i == 0) {
        w.pin();
        add_weights<is_masked>(w, first);
      }
      add<is_masked>(i, t, w, values, first);
    }
    w.pin();
  }

  /* Weights of the tile from `first` on, and the values of the one before. It is
     await_next's branch that keeps ptxas from making the weights only when the
     products have ended. */
  template <bool is_masked, bool has_before, typename function>
  __device__ __forceinline__ void step(tile_weights &now, tile_weights &before, uint32_t keys,
                                       uint32_t values, int first, float scale,
                                       function await_next) {
    fragments t;
    wgmma_fence();
    begin_scores(keys);
    if (has_before)
      begin_sums(t, before, values);
    wgmma_wait<has_before ? 1 : 0>();
    wgmma_arrived(s);
    weigh<is_masked>(now, first, scale);
    await_next();
    if (has_before)
      add_panels<false>(t, before, values, 0);
  }

  /* Adds the values of a tile with nothing else to do meanwhile. */
  template <bool is_masked>
  __device__ __forceinline__ void finish(tile_weights &w, uint32_t values, int first) {
    fragments t;
    wgmma_fence();
    begin_sums(t, w, values);
    add_panels<is_masked>(t, w, values, first);
  }

  __device__ __forceinline__ void store(int h, __nv_bfloat16 *row) const {
    uint32_t *pairs = reinterpret_cast<uint32_t *>(row) + threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < D / 8; i++) {
      const float *two = &o[i / 8][i % 8 * 4 + 2 * h];
      pairs[4 * i] = pair_of(__fdiv_rn(two[0], sum[h]), __fdiv_rn(two[1], sum[h]));
    }
  }
};

} // namespace

#endif
