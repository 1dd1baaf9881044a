/* SPDX-License-Identifier: Apache-2.0 */
/* Launches the mixed product with the tiles that suit its shape. */
#include "backends/cuda/sm90/mixed.h"

#include <algorithm>

#include "backends/cuda/sm90/mixed_kernel.cuh"

static int divide_up(int64_t a, int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

/* How tiles are divided among blocks; slots of a block, for sums of pieces. */
struct mixed_grid {
  int n_out_tiles, n_row_tiles, n_whole, n_rest, n_blocks, n_slots;
  size_t slot_bytes;
};

/* Boxes take half of a block's outputs. */
static cudaError_t describe_weights(mixed_work *work, const cuda_linear &linear, int tile_outs) {
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

/* What a tile's inputs are cut in. */
template <typename shape> int units_of(const cuda_linear &linear) {
  return shape::in_shares ? mixed_shares : static_cast<int>(linear.n_in / step_inputs);
}

/* The tiles of a product, and the blocks that do them. */
template <typename shape>
static mixed_grid grid_of(const cuda_product *product, const mixed_tiles &tiles, int n_units) {
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
static cudaError_t describe(mixed_work *work, const cuda_launch *launch,
                            const cuda_product *product, const mixed_tiles &tiles,
                            const mixed_grid &grid) {
  const cuda_linear &linear = *product->linear;
  work->residual = static_cast<const __nv_bfloat16 *>(product->residual);
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
  return error == cudaSuccess ? describe_weights(work, linear, shape::n_outs) : error;
}

/* Every share has a step, a tile a counter, and units are counted in 32 bits. */
static bool can_divide(const cuda_launch *launch, const cuda_product *product,
                       const mixed_grid &grid) {
  int64_t n_tiles = static_cast<int64_t>(grid.n_out_tiles) * grid.n_row_tiles;
  int64_t n_steps = product->linear->n_in / step_inputs;
  return n_steps >= mixed_shares && launch->counters != nullptr && n_tiles <= CUDA_N_COUNTERS &&
         n_tiles * n_steps * std::max(grid.n_blocks, 8) < INT32_MAX &&
         grid.n_blocks * grid.n_slots * grid.slot_bytes <= launch->scratch_size;
}

template <typename shape>
static cudaError_t launch_mixed(const cuda_launch *launch, const cuda_product *product,
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
template <int rows, int parts, int per_unit, int in_shares>
constexpr mixed_kernel kernel_that_takes(double step, double store) {
  typedef mixed_shape<rows, parts, 2, per_unit, in_shares, false> shape;
  typedef mixed_shape<rows, parts, 2, per_unit, in_shares, true> shape_with_zero;
  mixed_kernel kernel = {rows, parts, in_shares, step, store, {}, grid_of<shape>};
  kernel.launch[0] = launch_mixed<shape>;
  kernel.launch[1] = launch_mixed<shape_with_zero>;
  return kernel;
}

static const mixed_kernel kernels[] = {
    kernel_that_takes<16, 2, 2, 0>(0.28, 0.5),   kernel_that_takes<32, 1, 2, 0>(0.2, 0.4),
    kernel_that_takes<32, 2, 2, 0>(0.31, 0.6),   kernel_that_takes<64, 1, 2, 0>(0.235, 0.7),
    kernel_that_takes<64, 2, 1, 0>(0.38, 1.6),   kernel_that_takes<128, 1, 1, 0>(0.335, 1.4),
    kernel_that_takes<128, 2, 1, 0>(0.62, 3),    kernel_that_takes<256, 1, 1, 0>(0.63, 3.6),
    kernel_that_takes<64, 1, 1, 1>(0.275, 0.7),  kernel_that_takes<64, 2, 1, 1>(0.45, 1.6),
    kernel_that_takes<128, 1, 1, 1>(0.405, 1.4), kernel_that_takes<192, 1, 1, 1>(0.55, 2),
};

static const mixed_kernel *kernel_of(const mixed_tiles &tiles) {
  for (const mixed_kernel &kernel : kernels)
    if (kernel.n_rows == tiles.n_rows && kernel.n_parts == tiles.n_parts &&
        kernel.in_shares == tiles.in_shares)
      return &kernel;
  return nullptr;
}

cudaError_t sm90_mixed_with(const cuda_launch *launch, const cuda_product *product,
                            const mixed_tiles *tiles) {
  const mixed_kernel *kernel = kernel_of(*tiles);
  if (kernel == nullptr)
    return cudaErrorInvalidConfiguration;
  return kernel->launch[product->linear->zero != nullptr](launch, product, *tiles);
}

static int aligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

int sm90_mixed_takes(const cuda_product *product) {
  const cuda_linear &linear = *product->linear;
  return linear.format == LLQ_WEIGHT_INT4 && linear.layout == CUDA_LAYOUT_TILED &&
         linear.dtype == LLQ_BF16 && linear.activation == LLQ_ACTIVATION_NONE &&
         linear.group_index == nullptr && linear.n_out % (product->swiglu ? 32 : 16) == 0 &&
         linear.n_in % step_inputs == 0 && linear.group_size % step_inputs == 0 &&
         product->norm == nullptr && aligned(product->x) && aligned(product->out) &&
         aligned(product->residual) && aligned(linear.data) && aligned(linear.scale) &&
         aligned(linear.zero);
}

/* Of a product; besides steps and stores, what pieces cost to leave, and each slot of
   theirs to add up. */
static double time_of(const mixed_kernel &kernel, int n_splits, int64_t n_tiles, int64_t n_steps,
                      int n_units) {
  const double size = kernel.n_rows * kernel.n_parts; /* of a thread's sums */
  if (n_splits == 1) {
    int n_rounds = divide_up(n_tiles, n_units);
    return n_rounds * (static_cast<double>(n_steps) * kernel.step + kernel.store);
  }
  double n_steps_each = divide_up(n_steps, std::max(n_splits, 1)), n_slots = n_splits;
  double time = kernel.store + 1 + 0.015 * size;
  if (n_splits == 0) {
    n_steps_each = static_cast<double>(n_tiles * n_steps) / n_units;
    n_slots = static_cast<double>(n_steps) / n_steps_each + 1;
    time += static_cast<double>(n_tiles / n_units) * kernel.store; /* of whole tiles */
    time += 1.5 + 0.02 * size;
  }
  if (kernel.in_shares)
    n_slots = n_splits == 0 ? mixed_shares : 1 + (n_splits - 1) * divide_up(mixed_shares, n_splits);
  return time + n_steps_each * kernel.step + n_slots * (0.7 + 0.006 * size);
}

/* Tiles of fewer than 64 rows read weights too often if there are several. */
mixed_tiles sm90_mixed_choose(const cuda_product *product, int n_units, int in_shares) {
  const int64_t n_steps = product->linear->n_in / step_inputs, n_rows = product->n_rows;
  mixed_tiles best = {};
  double least = -1;
  for (const mixed_kernel &kernel : kernels)
    for (int n_splits = 0; n_splits <= 8; n_splits++) {
      int n_columns = divide_up(product->linear->n_out, 128 * kernel.n_parts);
      int64_t n_tiles = static_cast<int64_t>(n_columns) * divide_up(n_rows, kernel.n_rows);
      bool can_split = n_steps >= mixed_shares && n_tiles <= CUDA_N_COUNTERS;
      if (kernel.in_shares != in_shares || (n_splits != 1 && !can_split) ||
          (n_splits > 1 && n_tiles * n_splits > n_units) ||
          (kernel.n_rows < 64 && kernel.n_rows < n_rows))
        continue;
      double time = time_of(kernel, n_splits, n_tiles, n_steps, n_units);
      if (least < 0 || time < least) {
        least = time;
        best = {kernel.n_rows, kernel.n_parts, in_shares, n_splits};
      }
    }
  return best;
}

size_t sm90_mixed_scratch(const cuda_product *product, int n_units, int in_shares) {
  mixed_tiles tiles = sm90_mixed_choose(product, n_units, in_shares);
  mixed_grid grid = kernel_of(tiles)->grid(product, tiles, n_units);
  return grid.n_blocks * grid.n_slots * grid.slot_bytes;
}

cudaError_t sm90_mixed(const cuda_launch *launch, const cuda_product *product, int in_shares) {
  mixed_tiles tiles = sm90_mixed_choose(product, launch->n_units, in_shares);
  cudaError_t error = sm90_mixed_with(launch, product, &tiles);
  tiles.n_splits = 1;
  return error == cudaErrorInvalidConfiguration ? sm90_mixed_with(launch, product, &tiles) : error;
}
