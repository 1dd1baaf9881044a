/* SPDX-License-Identifier: Apache-2.0 */
/* Launches the mixed product with the tiles that suit its shape. */
#include "backends/cuda/sm90/mixed.h"

#include <algorithm>

#include "backends/cuda/sm90/mixed_launch.cuh"

static const mixed_kernels &kernels_of(const cuda_linear &linear) {
  switch (linear.format) {
  case LLQ_WEIGHT_INT4:
    return mixed_int4_kernels;
  case LLQ_WEIGHT_INT8:
    return mixed_int8_kernels;
  case LLQ_WEIGHT_FP8:
    return mixed_fp8_kernels;
  default:
    return mixed_dense_kernels;
  }
}

static const mixed_kernel *kernel_of(const cuda_linear &linear, const mixed_tiles &tiles) {
  for (const mixed_kernel &kernel : kernels_of(linear))
    if (kernel.n_rows == tiles.n_rows && kernel.n_parts == tiles.n_parts &&
        kernel.in_shares == tiles.in_shares)
      return &kernel;
  return nullptr;
}

cudaError_t sm90_mixed_with(const cuda_launch *launch, const cuda_product *product,
                            const mixed_tiles *tiles) {
  const mixed_kernel *kernel = kernel_of(*product->linear, *tiles);
  if (kernel == nullptr)
    return cudaErrorInvalidConfiguration;
  return kernel->launch[product->linear->zero != nullptr](launch, product, *tiles);
}

static int aligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

static int takes_format(const cuda_linear &linear) {
  int is_plain = linear.layout == CUDA_LAYOUT_PLAIN;
  if (linear.activation !=
      (linear.format == LLQ_WEIGHT_FP8 ? LLQ_ACTIVATION_FP8 : LLQ_ACTIVATION_NONE))
    return 0;
  if (linear.format == LLQ_WEIGHT_INT4)
    return !is_plain && linear.group_size % step_inputs == 0;
  return is_plain && (linear.format == LLQ_WEIGHT_DENSE || linear.n_groups == 1);
}

int sm90_mixed_wants_prepared(const cuda_linear *linear) {
  return linear->format != LLQ_WEIGHT_INT4;
}

static bool has_kernel(const cuda_linear &linear, int in_shares) {
  for (const mixed_kernel &kernel : kernels_of(linear))
    if (kernel.in_shares == in_shares)
      return true;
  return false;
}

int sm90_mixed_takes(const cuda_product *product, int in_shares) {
  const cuda_linear &linear = *product->linear;
  return takes_format(linear) && has_kernel(linear, in_shares) && linear.dtype == LLQ_BF16 &&
         linear.n_out <= INT32_MAX && linear.group_index == nullptr &&
         linear.n_out % (product->swiglu ? 32 : 16) == 0 && linear.n_in % step_inputs == 0 &&
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
  for (const mixed_kernel &kernel : kernels_of(*product->linear))
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
  mixed_grid grid = kernel_of(*product->linear, tiles)->grid(product, tiles, n_units);
  return grid.n_blocks * grid.n_slots * grid.slot_bytes;
}

cudaError_t sm90_mixed(const cuda_launch *launch, const cuda_product *product, int in_shares) {
  mixed_tiles tiles = sm90_mixed_choose(product, launch->n_units, in_shares);
  cudaError_t error = sm90_mixed_with(launch, product, &tiles);
  tiles.n_splits = 1;
  return error == cudaErrorInvalidConfiguration ? sm90_mixed_with(launch, product, &tiles) : error;
}
