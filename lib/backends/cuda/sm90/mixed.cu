/* SPDX-License-Identifier: Apache-2.0 */
/* Launches the mixed product with the tiles that suit its shape. */
#include "backends/cuda/sm90/mixed.h"

#include <algorithm>

#include "backends/cuda/sm90/mixed_kernel.cuh"

static int divide_up(int64_t a, int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

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

/* Fills in what the kernel is given. */
template <typename shape>
static cudaError_t describe(mixed_work *work, const cuda_product *product,
                            const mixed_tiles &tiles) {
  const cuda_linear &linear = *product->linear;
  int tile_outs = product->swiglu ? shape::n_outs / 2 : shape::n_outs;
  work->residual = static_cast<const __nv_bfloat16 *>(product->residual);
  work->out = product->out;
  work->out_is_f32 = product->out_dtype == LLQ_F32;
  work->swiglu = product->swiglu;
  work->has_zero = linear.zero != nullptr;
  work->n_rows = static_cast<int>(product->n_rows);
  work->n_out = static_cast<int>(product->swiglu ? linear.n_out / 2 : linear.n_out);
  work->n_steps = static_cast<int>(linear.n_in / step_inputs);
  work->steps_per_group =
      linear.group_size > 0 ? static_cast<int>(linear.group_size / step_inputs) : work->n_steps;
  work->n_sharers = tiles.n_sharers;
  work->n_splits = tiles.n_splits;
  work->n_shares = shape::in_shares ? mixed_shares : tiles.n_splits;
  work->n_out_tiles =
      divide_up(divide_up(work->n_out, tile_outs), tiles.n_sharers) * tiles.n_sharers;
  work->n_row_tiles = divide_up(work->n_rows, shape::n_rows);
  tma_matrix x = {
      product->x,  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2,           product->n_rows,
      linear.n_in, shape::n_rows / tiles.n_sharers,  step_inputs, CU_TENSOR_MAP_SWIZZLE_128B};
  cudaError_t error = tma_describe(&work->x, x);
  return error == cudaSuccess ? describe_weights(work, linear, shape::n_outs) : error;
}

template <typename shape>
static cudaError_t launch_mixed(const cuda_launch *launch, const cuda_product *product,
                                const mixed_tiles &tiles) {
  mixed_work work = {};
  int n_sums = shape::in_shares ? mixed_shares / tiles.n_splits : 1; /* of a split */
  int n_shares = shape::in_shares ? mixed_shares : tiles.n_splits;
  if ((tiles.n_splits > 1 && n_sums > std::min(2, shape::most_sums)) ||
      n_shares % tiles.n_splits != 0 || shape::n_rows / tiles.n_sharers % 8 != 0)
    return cudaErrorInvalidConfiguration;
  /* A split waits for each of its shares' first step. */
  if (tiles.n_splits > 1 && n_shares > product->linear->n_in / step_inputs)
    return cudaErrorInvalidConfiguration;
  cudaError_t error = describe<shape>(&work, product, tiles);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(multiply_mixed<shape>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 shape::shared_bytes);
  if (error == cudaSuccess)
    error = divide_alike(launch, multiply_mixed<shape>);
  if (error != cudaSuccess)
    return error;
  int size = tiles.n_sharers * tiles.n_splits;
  int n_items = work.n_out_tiles / tiles.n_sharers * work.n_row_tiles;
  int n_clusters = launch->n_units * shape::n_per_unit / size;
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(size), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = static_cast<unsigned>((n_items < n_clusters ? n_items : n_clusters) * size);
  config.blockDim = shape::n_threads;
  config.dynamicSmemBytes = shape::shared_bytes;
  config.stream = launch->stream;
  config.attrs = attributes;
  config.numAttrs = launch->overlaps ? 2 : 1;
  return cudaLaunchKernelEx(&config, multiply_mixed<shape>, work);
}

cudaError_t sm90_mixed_with(const cuda_launch *launch, const cuda_product *product,
                            const mixed_tiles *tiles) {
  static const struct {
    int n_rows, n_parts, n_warpgroups, n_per_unit, in_shares;
    cudaError_t (*launch)(const cuda_launch *, const cuda_product *, const mixed_tiles &);
  } kernels[] = {
#define KERNEL(rows, parts, groups, per_unit, shares)                                              \
  {rows, parts, groups, per_unit, shares,                                                          \
   launch_mixed<mixed_shape<rows, parts, groups, per_unit, shares>>}
      KERNEL(16, 2, 2, 2, 0),  KERNEL(32, 2, 2, 2, 0),  KERNEL(64, 2, 2, 1, 0),
      KERNEL(128, 2, 2, 1, 0), KERNEL(256, 1, 2, 1, 0), KERNEL(64, 1, 2, 2, 1),
      KERNEL(64, 1, 2, 1, 1),  KERNEL(128, 1, 2, 1, 1), KERNEL(192, 1, 2, 1, 1),
#undef KERNEL
  };
  for (const auto &kernel : kernels)
    if (kernel.n_rows == tiles->n_rows && kernel.n_parts == tiles->n_parts &&
        kernel.n_warpgroups == tiles->n_warpgroups && kernel.n_per_unit == tiles->n_per_unit &&
        kernel.in_shares == tiles->in_shares)
      return kernel.launch(launch, product, *tiles);
  return cudaErrorInvalidConfiguration;
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

/* Tiles of enough rows for all, up to 256. Inputs are split where there are fewer
   tiles than units: of two blocks a unit all take part; of one, clusters find only
   about three quarters of the units in reach of each other. */
static mixed_tiles choose_fast(const cuda_product *product, int n_units) {
  int64_t n = product->n_rows;
  mixed_tiles tiles = n <= 16    ? mixed_tiles{16, 2, 2, 2, 1, 1, 0}
                      : n <= 32  ? mixed_tiles{32, 2, 2, 2, 1, 1, 0}
                      : n <= 64  ? mixed_tiles{64, 2, 2, 1, 1, 1, 0}
                      : n <= 128 ? mixed_tiles{128, 2, 2, 1, 1, 1, 0}
                                 : mixed_tiles{256, 1, 2, 1, 1, 1, 0};
  int tile_outs = 64 * tiles.n_parts * tiles.n_warpgroups;
  int n_tiles = divide_up(product->linear->n_out, tile_outs) * divide_up(n, tiles.n_rows);
  int n_blocks = tiles.n_per_unit > 1 ? n_units * tiles.n_per_unit : n_units * 3 / 4;
  int64_t n_splits = std::min<int64_t>(n_blocks / n_tiles, product->linear->n_in / step_inputs);
  tiles.n_splits = static_cast<int>(std::clamp<int64_t>(n_splits, 1, 8));
  return tiles;
}

/* Few rows are split, and more of long ones. Otherwise by what a step of a block
   costs: making 128 outputs' weights takes as long as the products of some 215
   rows. */
static mixed_tiles choose_in_shares(const cuda_product *product, int n_units) {
  int64_t n = product->n_rows, n_steps = product->linear->n_in / step_inputs, least = 0;
  int n_outs_tiles = divide_up(product->linear->n_out, 128);
  mixed_tiles best = {64, 1, 2, 2, 1, 1, 1};
  int n_tiles = n_outs_tiles * divide_up(n, best.n_rows);
  if (n_steps >= mixed_shares && (n <= 64 || (n <= 128 && n_steps > 96)))
    for (int n_splits : {8, 4})
      if (n_tiles * n_splits <= 2 * n_units) {
        best.n_splits = n_splits;
        return best;
      }
  for (int n_rows : {64, 128, 192}) {
    int64_t n_rounds = divide_up(n_outs_tiles * divide_up(n, n_rows), n_units);
    int64_t cost = n_rounds * (n_rows + 215);
    if (least == 0 || cost < least) {
      least = cost;
      best = {n_rows, 1, 2, 1, 1, 1, 1};
    }
  }
  return best;
}

mixed_tiles sm90_mixed_choose(const cuda_product *product, int n_units, int in_shares) {
  return in_shares ? choose_in_shares(product, n_units) : choose_fast(product, n_units);
}

cudaError_t sm90_mixed(const cuda_launch *launch, const cuda_product *product, int in_shares) {
  mixed_tiles tiles = sm90_mixed_choose(product, launch->n_units, in_shares);
  return sm90_mixed_with(launch, product, &tiles);
}
