/* SPDX-License-Identifier: Apache-2.0 */
/* What the mixed product's kernel is given, and which tile is whose. */
#ifndef LLQ_CUDA_MIXED_WORK_CUH
#define LLQ_CUDA_MIXED_WORK_CUH

#include "backends/cuda/sm90/mixed_weight.cuh"
#include "backends/cuda/sm90/tma.cuh"

constexpr int step_inputs = 64; /* inputs of a stage: a tile's width */
constexpr int mixed_shares = 8; /* of the stream kernels' sums */

struct mixed_work {
  CUtensorMap x, weight, scale, zero;
  mixed_scales scales;    /* without groups */
  const float *row_scale; /* of x, for formats that are scaled at the end */
  const __nv_bfloat16 *residual;
  void *out;
  int out_is_f32, swiglu;
  int n_rows;
  int n_out;             /* outputs that are stored: half of the linear's with swiglu */
  int n_steps;           /* of 64 inputs */
  uint32_t group_factor; /* for group_at() */
  int n_out_tiles, n_row_tiles;
  int n_units;      /* of a tile's inputs: steps, or shares */
  int n_whole;      /* tiles that one block does; each */
  int n_rest;       /* tiles of several blocks: */
  int n_splits;     /* as many each; 0: blocks divide the units of all evenly */
  int n_slots;      /* of a block, for sums of pieces */
  float4 *partial;  /* [block][slot][float4 of a thread][thread] */
  unsigned *n_done; /* units of each tile; 0 before and after */
};

/* A tile's first stored output and first row. */
struct mixed_tile {
  int out, row;
};

constexpr int band_tiles = 16;

/* Row tiles go in bands and run fastest in it, so that blocks at work at a time
   share weights as well as rows in the L2 cache. */
__device__ __forceinline__ mixed_tile tile_at(const mixed_work &work, int item, int tile_outs,
                                              int tile_rows) {
  int band = item / (band_tiles * work.n_out_tiles);
  int rest = item - band * band_tiles * work.n_out_tiles;
  int height = min(band_tiles, work.n_row_tiles - band * band_tiles);
  int column = rest / height;
  int row = band * band_tiles + rest - column * height;
  return {column * tile_outs, row * tile_rows};
}

/* A tile's units, or some of them, that a block does at a time. */
struct mixed_piece {
  int item, first, end;
};

/* The units of tiles that are not whole, one tile after the other: which are whose.
   Split tiles: block b has piece b / n of tile b % n. */
__device__ __forceinline__ int begin_of(const mixed_work &work, int block) {
  if (work.n_splits == 0)
    return static_cast<int>(static_cast<unsigned>(block) * work.n_rest * work.n_units / gridDim.x);
  int split = block / work.n_rest, tile = block - split * work.n_rest;
  return tile * work.n_units + work.n_units * split / work.n_splits;
}
__device__ __forceinline__ int end_of(const mixed_work &work, int block) {
  if (work.n_splits == 0)
    return begin_of(work, block + 1);
  int split = block / work.n_rest, tile = block - split * work.n_rest;
  return tile * work.n_units + work.n_units * (split + 1) / work.n_splits;
}
/* The block of a unit that begins a piece. */
__device__ __forceinline__ int owner_of(const mixed_work &work, int unit) {
  unsigned n_units = work.n_units;
  if (work.n_splits == 0)
    return static_cast<int>(((unit + 1u) * gridDim.x - 1) / (work.n_rest * n_units));
  unsigned tile = unit / n_units, first = unit - tile * n_units;
  return static_cast<int>(((first + 1) * work.n_splits - 1) / n_units * work.n_rest + tile);
}

/* The pieces of this block, in order: whole tiles first. */
struct mixed_turns {
  int item, unit, end;

  __device__ __forceinline__ explicit mixed_turns(const mixed_work &work)
      : item(static_cast<int>(blockIdx.x)), unit(0), end(0) {
    if (work.n_rest > 0) {
      unit = begin_of(work, item);
      end = end_of(work, item);
    }
  }
  __device__ __forceinline__ bool goes_on(const mixed_work &work) const {
    return item < work.n_whole || unit < end;
  }
  __device__ __forceinline__ mixed_piece piece(const mixed_work &work) const {
    if (item < work.n_whole)
      return {item, 0, work.n_units};
    int tile = unit / work.n_units, first = unit - tile * work.n_units;
    return {work.n_whole + tile, first, min(work.n_units, first + end - unit)};
  }
  __device__ __forceinline__ void advance(const mixed_work &work, const mixed_piece &done) {
    if (item < work.n_whole)
      item += static_cast<int>(gridDim.x);
    else
      unit += done.end - done.first;
  }
};

/* The steps of a piece: one after the other, or share by share of every eighth. */
template <bool in_shares> struct mixed_walk {
  int n_steps, end_share;
  int share, step;

  __device__ __forceinline__ mixed_walk(const mixed_work &work, const mixed_piece &piece)
      : n_steps(in_shares ? work.n_steps : piece.end), end_share(in_shares ? piece.end : 0),
        share(in_shares ? piece.first : -1), step(piece.first) {
  }

  __device__ __forceinline__ bool goes_on() const {
    return share < end_share && step < n_steps;
  }

  __device__ __forceinline__ bool ends_share() const {
    return in_shares && step + mixed_shares >= n_steps;
  }

  __device__ __forceinline__ void advance() {
    if (in_shares)
      step = ends_share() ? ++share : step + mixed_shares;
    else
      step++;
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
