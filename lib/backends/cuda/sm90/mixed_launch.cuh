/* SPDX-License-Identifier: Apache-2.0 */
/* Launching a kernel of the mixed product; which ones there are. */
#ifndef LLQ_CUDA_MIXED_LAUNCH_CUH
#define LLQ_CUDA_MIXED_LAUNCH_CUH

#include <algorithm>

#include "backends/cuda/sm90/mixed.h"
#include "backends/cuda/sm90/mixed_kernel.cuh"

inline int divide_up(int64_t a, int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

/* How tiles are divided among blocks; slots of a block, for sums of pieces. */
struct mixed_grid {
  int n_out_tiles, n_row_tiles, n_whole, n_rest, n_blocks, n_slots;
  size_t slot_bytes;
};

/* Boxes take half of a block's outputs. */
inline cudaError_t describe_tiled(mixed_work *work, const cuda_linear &linear, int tile_outs) {
  int n_tile_rows = static_cast<int>(linear.n_out / 16), box_rows = tile_outs / 32;
  tma_matrix words = {
      linear.data, CU_TENSOR_MAP_DATA_TYPE_UINT32, 4, n_tile_rows, linear.n_in * 2, box_rows,
      128,         CU_TENSOR_MAP_SWIZZLE_NONE};
  tma_matrix scales = {linear.scale,
                       CU_TENSOR_MAP_DATA_TYPE_UINT32,
                       4,
                       n_tile_rows,
                       linear.n_groups * 8,
                       box_rows,
                       8,
                       CU_TENSOR_MAP_SWIZZLE_NONE};
  cudaError_t error = tma_describe(&work->weight, words);
  if (error == cudaSuccess)
    error = tma_describe(&work->scale, scales);
  scales.data = linear.zero;
  if (error == cudaSuccess && linear.zero != nullptr)
    error = tma_describe(&work->zero, scales);
  return error;
}

template <class Format>
cudaError_t describe_weights(mixed_work *work, const cuda_linear &linear, int tile_outs,
                             bool in_shares) {
  if (Format::has_groups)
    return describe_tiled(work, linear, tile_outs);
  bool is_dense = linear.format == LLQ_WEIGHT_DENSE;
  tma_matrix rows = {
      linear.data,      is_dense ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_UINT8,
      is_dense ? 2 : 1, linear.n_out,
      linear.n_in,      tile_outs / 2,
      Format::box_cols, CU_TENSOR_MAP_SWIZZLE_NONE};
  if (in_shares) /* the next inputs of a share are not beside these */
    rows.fetch = is_dense ? CU_TENSOR_MAP_L2_PROMOTION_L2_128B : CU_TENSOR_MAP_L2_PROMOTION_L2_64B;
  work->scales = {static_cast<const __nv_bfloat16 *>(linear.scale), static_cast<int>(linear.n_out)};
  return tma_describe(&work->weight, rows);
}

/* What a tile's inputs are cut in. */
template <typename shape> int units_of(const cuda_linear &linear) {
  return shape::in_shares ? mixed_shares : static_cast<int>(linear.n_in / step_inputs);
}

/* The tiles of a product, and the blocks that do them. */
template <typename shape>
mixed_grid grid_of(const cuda_product *product, const mixed_tiles &tiles, int n_units) {
  const cuda_linear &linear = *product->linear;
  int tile_outs = product->swiglu ? shape::n_outs / 2 : shape::n_outs;
  int64_t n_out = product->swiglu ? linear.n_out / 2 : linear.n_out;
  mixed_grid grid = {};
  grid.n_out_tiles = divide_up(n_out, tile_outs);
  grid.n_row_tiles = divide_up(product->n_rows, shape::n_rows);
  int n_tiles = grid.n_out_tiles * grid.n_row_tiles, n_most = units_of<shape>(linear);
  if (tiles.n_splits == 1) {
    grid.n_whole = n_tiles;
    grid.n_blocks = std::min(n_tiles, n_units);
  } else if (tiles.n_splits > 1) {
    grid.n_blocks = n_tiles * tiles.n_splits;
    n_most = divide_up(n_most, tiles.n_splits);
  } else {
    grid.n_blocks = std::min(n_tiles * n_most, n_units);
    grid.n_whole = n_tiles / grid.n_blocks * grid.n_blocks;
    n_most = divide_up((n_tiles - grid.n_whole) * n_most, grid.n_blocks);
  }
  grid.n_rest = n_tiles - grid.n_whole;
  if (grid.n_rest > 0)
    grid.n_slots = 1 + (shape::in_shares ? std::min(n_most, mixed_shares - 1) : 1);
  grid.slot_bytes = static_cast<size_t>(shape::n_outs) * shape::n_rows * 4;
  return grid;
}

/* Fills in what the kernel is given. */
template <typename shape>
cudaError_t describe(mixed_work *work, const cuda_launch *launch, const cuda_product *product,
                     const mixed_tiles &tiles, const mixed_grid &grid) {
  const cuda_linear &linear = *product->linear;
  work->residual = static_cast<const __nv_bfloat16 *>(product->residual);
  work->row_scale = product->row_scale;
  work->out = product->out;
  work->out_is_f32 = product->out_dtype == LLQ_F32;
  work->swiglu = product->swiglu;
  work->n_rows = static_cast<int>(product->n_rows);
  work->n_out = static_cast<int>(product->swiglu ? linear.n_out / 2 : linear.n_out);
  work->n_steps = static_cast<int>(linear.n_in / step_inputs);
  work->group_factor = group_factor_of(work->n_steps / linear.n_groups);
  work->n_out_tiles = grid.n_out_tiles;
  work->n_row_tiles = grid.n_row_tiles;
  work->n_units = units_of<shape>(linear);
  work->n_whole = grid.n_whole;
  work->n_rest = grid.n_rest;
  work->n_splits = tiles.n_splits;
  work->n_slots = grid.n_slots;
  work->partial = static_cast<float4 *>(launch->scratch);
  work->n_done = launch->counters;
  tma_matrix x = {
      product->x,  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, product->n_rows, linear.n_in, shape::n_rows,
      step_inputs, CU_TENSOR_MAP_SWIZZLE_128B};
  cudaError_t error = tma_describe(&work->x, x);
  return error == cudaSuccess ? describe_weights<typename shape::format>(
                                    work, linear, shape::n_outs, shape::in_shares)
                              : error;
}

/* Every share has a step, a tile a counter, and units are counted in 32 bits. */
inline bool can_divide(const cuda_launch *launch, const cuda_product *product,
                       const mixed_grid &grid) {
  int64_t n_tiles = static_cast<int64_t>(grid.n_out_tiles) * grid.n_row_tiles;
  int64_t n_steps = product->linear->n_in / step_inputs;
  return n_steps >= mixed_shares && launch->counters != nullptr && n_tiles <= CUDA_N_COUNTERS &&
         n_tiles * n_steps * std::max(grid.n_blocks, 8) < INT32_MAX &&
         grid.n_blocks * grid.n_slots * grid.slot_bytes <= launch->scratch_size;
}

template <typename shape>
cudaError_t launch_mixed(const cuda_launch *launch, const cuda_product *product,
                         const mixed_tiles &tiles) {
  mixed_work work = {};
  mixed_grid grid = grid_of<shape>(product, tiles, launch->n_units);
  if (grid.n_rest > 0 &&
      (tiles.n_splits > units_of<shape>(*product->linear) || !can_divide(launch, product, grid)))
    return cudaErrorInvalidConfiguration;
  cudaError_t error = describe<shape>(&work, launch, product, tiles, grid);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(multiply_mixed<shape>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 shape::shared_bytes);
  if (error != cudaSuccess)
    return error;
  return launch_kernel(launch, multiply_mixed<shape>, static_cast<unsigned>(grid.n_blocks),
                       shape::n_threads, shape::shared_bytes, work);
}

typedef cudaError_t mixed_launcher(const cuda_launch *, const cuda_product *, const mixed_tiles &);
typedef mixed_grid mixed_gridder(const cuda_product *, const mixed_tiles &, int n_units);

/* A kernel; and what a step of its blocks takes, and storing a tile: microseconds on
   an H200, of which only the ratios matter. */
struct mixed_kernel {
  int n_rows, n_parts, in_shares;
  double step, store;
  mixed_launcher *launch[2]; /* without zero points, with them */
  mixed_gridder *grid;
};

/* per_unit: blocks whose registers fit a multiprocessor; memory is for one, so that
   all multiprocessors have work. */
template <class Format, int rows, int parts, int per_unit, int in_shares>
constexpr mixed_kernel kernel_that_takes(double step, double store) {
  typedef mixed_shape<Format, rows, parts, 2, per_unit, in_shares> shape;
  mixed_launcher *launch = launch_mixed<shape>;
  return {rows, parts, in_shares, step, store, {launch, launch}, grid_of<shape>};
}

/* Of a weight format: fast ones, and in shares. */
struct mixed_kernels {
  const mixed_kernel *first;
  int n;

  const mixed_kernel *begin() const {
    return first;
  }
  const mixed_kernel *end() const {
    return first + n;
  }
};

extern const mixed_kernels mixed_int4_kernels, mixed_int8_kernels, mixed_fp8_kernels,
    mixed_dense_kernels;

#endif
