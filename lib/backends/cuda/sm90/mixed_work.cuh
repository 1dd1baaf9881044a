/* SPDX-License-Identifier: Apache-2.0 */
/* What the mixed product's kernel is given, and which tile is whose. */
#ifndef LLQ_CUDA_MIXED_WORK_CUH
#define LLQ_CUDA_MIXED_WORK_CUH

#include "backends/cuda/sm90/tma.cuh"

constexpr int step_inputs = 64; /* inputs of a stage: a tile's width */
constexpr int mixed_shares = 8; /* of the stream kernels' sums */

struct mixed_work {
  CUtensorMap x, weight, scale, zero;
  const __nv_bfloat16 *residual;
  void *out;
  int out_is_f32, swiglu, has_zero;
  int n_rows;
  int n_out;   /* outputs that are stored: half of the linear's with swiglu */
  int n_steps; /* of 64 inputs */
  int steps_per_group;
  int n_out_tiles, n_row_tiles, n_stages, n_sharers, n_splits;
  int n_shares; /* of the inputs: steps i, i + n_shares, ...; a split has one or more */
};

/* A tile's first stored output and first row. */
struct mixed_tile {
  int out, row;
};

constexpr int band_tiles = 16;

/* The item-th tile of a cluster, of which `sharer` is this block. Row tiles go in
   bands and run fastest in it, so that blocks at work at a time share weights as
   well as rows in the L2 cache. */
__device__ __forceinline__ mixed_tile tile_at(const mixed_work &work, int item, int sharer,
                                              int tile_outs, int tile_rows) {
  int n_columns = work.n_out_tiles / work.n_sharers;
  int band = item / (band_tiles * n_columns);
  int rest = item - band * band_tiles * n_columns;
  int height = min(band_tiles, work.n_row_tiles - band * band_tiles);
  int column = rest / height;
  int row = band * band_tiles + rest - column * height;
  return {(column * work.n_sharers + sharer) * tile_outs, row * tile_rows};
}

/* Who this block is in its cluster, and its shares of the inputs. */
struct mixed_place {
  int sharer, split, first_rank; /* first_rank: of those with the same split */
  int cluster, n_clusters;
  int first_share, end_share;
};

__device__ __forceinline__ mixed_place place_of_block(const mixed_work &work) {
  mixed_place p;
  int size = work.n_sharers * work.n_splits;
  int rank = static_cast<int>(cluster_rank());
  p.split = rank / work.n_sharers;
  p.first_rank = p.split * work.n_sharers;
  p.sharer = rank - p.first_rank;
  p.cluster = static_cast<int>(blockIdx.x) / size;
  p.n_clusters = static_cast<int>(gridDim.x) / size;
  p.first_share = work.n_shares * p.split / work.n_splits;
  p.end_share = work.n_shares * (p.split + 1) / work.n_splits;
  return p;
}

/* The steps of a block, share by share. */
struct mixed_walk {
  int n_steps, n_shares, end_share;
  int share, step;

  __device__ __forceinline__ mixed_walk(const mixed_work &work, const mixed_place &place)
      : n_steps(work.n_steps), n_shares(work.n_shares), end_share(place.end_share),
        share(place.first_share), step(place.first_share) {
  }

  __device__ __forceinline__ bool goes_on() const {
    return share < end_share && step < n_steps;
  }

  __device__ __forceinline__ bool ends_share() const {
    return step + n_shares >= n_steps;
  }

  __device__ __forceinline__ void advance() {
    step = ends_share() ? ++share : step + n_shares;
  }
};

/* A ring of stages as a producer or a consumer goes around it. */
struct ring_place {
  int stage = 0;
  uint32_t phase = 0;
  __device__ __forceinline__ void advance(int n_stages) {
    if (++stage == n_stages) {
      stage = 0;
      phase ^= 1;
    }
  }
};

#endif
