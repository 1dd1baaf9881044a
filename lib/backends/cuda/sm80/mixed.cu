/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel a product takes, and how it is cut. */
#include "backends/cuda/sm80/mixed.h"

#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/common/quantize.h"
#include "backends/cuda/sm80/mixed_kernel.cuh"

namespace {

int64_t blocks_of(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

size_t padded(int64_t size) {
  return (static_cast<size_t>(size) + 255) / 256 * 256;
}

bool is_aligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

bool is_quantized(const cuda_product *product) {
  return product->linear->activation == LLQ_ACTIVATION_FP8;
}

bool has_rows(const cuda_product *product) {
  return product->norm != nullptr || is_quantized(product);
}

template <class W, int n_outs, int n_rows>
cudaError_t launch_cut(const cuda_launch *launch, const mixed_arguments &arguments) {
  constexpr int size = mixed_block<W, n_outs, n_rows>::shared_bytes;
  auto *kernel = multiply_mixed<W, n_outs, n_rows>;
  cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, size);
  if (error != cudaSuccess)
    return error;
  dim3 grid(static_cast<unsigned>(blocks_of(arguments.n_rows, n_rows)),
            static_cast<unsigned>(blocks_of(arguments.w.n_out, n_outs)),
            static_cast<unsigned>(arguments.n_splits));
  return launch_kernel(launch, kernel, grid, mixed_threads, size, arguments);
}

template <class W>
cudaError_t launch_format(const cuda_launch *launch, const mixed_arguments &arguments,
                          const sm80_mixed_cut *cut) {
  if (cut->n_outs == 256 && cut->n_rows == 128)
    return launch_cut<W, 256, 128>(launch, arguments);
  if (cut->n_outs != 128)
    return cudaErrorInvalidValue;
  switch (cut->n_rows) {
  case 128:
    return launch_cut<W, 128, 128>(launch, arguments);
  case 64:
    return launch_cut<W, 128, 64>(launch, arguments);
  case 32:
    return launch_cut<W, 128, 32>(launch, arguments);
  default:
    return cudaErrorInvalidValue;
  }
}

cudaError_t launch_any(const cuda_launch *launch, const mixed_arguments &arguments,
                       const sm80_mixed_cut *cut) {
  const cuda_linear &w = arguments.w;
  if (w.format == LLQ_WEIGHT_INT4)
    return w.zero != nullptr ? launch_format<int4_weight<true>>(launch, arguments, cut)
                             : launch_format<int4_weight<false>>(launch, arguments, cut);
  if (w.format == LLQ_WEIGHT_INT8)
    return launch_format<int8_weight>(launch, arguments, cut);
  return w.activation == LLQ_ACTIVATION_FP8 ? launch_format<e4m3_codes>(launch, arguments, cut)
                                            : launch_format<e4m3_weight>(launch, arguments, cut);
}

/* Scratch memory: rows and their scales, then what splits need. */
size_t rows_size(const cuda_product *product) {
  return has_rows(product) ? padded(2 * product->n_rows * product->linear->n_in) : 0;
}

size_t scales_size(const cuda_product *product) {
  return is_quantized(product) ? padded(4 * product->n_rows) : 0;
}

int64_t n_blocks(const cuda_product *product, const sm80_mixed_cut *cut) {
  return blocks_of(product->n_rows, cut->n_rows) * blocks_of(product->linear->n_out, cut->n_outs);
}

size_t counters_size(const cuda_product *product, const sm80_mixed_cut *cut) {
  return cut->n_splits > 1 ? padded(4 * n_blocks(product, cut)) : 0;
}

/* Norm and codes of the rows. */
cudaError_t prepare_rows(const cuda_launch *launch, const cuda_product *product, void *x,
                         float *row_scale) {
  cuda_rows rows = {};
  rows.x = product->x;
  rows.norm = product->norm;
  rows.eps = product->eps;
  rows.activation = product->linear->activation;
  rows.out = x;
  rows.row_scale = row_scale;
  rows.codes_as_bf16 = 1;
  rows.n_rows = product->n_rows;
  rows.n_cols = product->linear->n_in;
  return common_rows(launch, &rows);
}

} // namespace

size_t sm80_mixed_scratch_of(const cuda_product *product, const sm80_mixed_cut *cut) {
  int64_t sums = cut->n_splits > 1 ? static_cast<int64_t>(cut->n_splits) * cut->n_outs *
                                         cut->n_rows * 4 * n_blocks(product, cut)
                                   : 0;
  return rows_size(product) + scales_size(product) + counters_size(product, cut) + padded(sums);
}

size_t sm80_mixed_scratch(const cuda_product *product, int n_units) {
  sm80_mixed_cut cut = sm80_mixed_choose(product, n_units);
  return sm80_mixed_scratch_of(product, &cut);
}

int sm80_mixed_takes(const cuda_product *product) {
  const cuda_linear *w = product->linear;
  bool is_tiled = w->format == LLQ_WEIGHT_INT4 && w->layout == CUDA_LAYOUT_TILED;
  bool is_bytes =
      (w->format == LLQ_WEIGHT_INT8 || w->format == LLQ_WEIGHT_FP8) && w->zero == nullptr;
  bool suits = w->activation == LLQ_ACTIVATION_NONE ||
               (is_quantized(product) && w->format == LLQ_WEIGHT_FP8 && w->n_groups == 1);
  return (is_tiled || is_bytes) && suits && w->dtype == LLQ_BF16 && w->group_index == nullptr &&
         w->order == nullptr && w->n_in % mixed_inputs == 0 && w->group_size % mixed_inputs == 0 &&
         w->n_in <= 65536 && w->n_out % (product->swiglu ? 32 : 16) == 0 &&
         w->n_out <= 65535 * 128 && product->n_rows <= INT32_MAX / 128 &&
         product->out_dtype == LLQ_BF16 && is_aligned(w->data) && is_aligned(product->x) &&
         is_aligned(product->norm) && is_aligned(product->residual) && is_aligned(product->out);
}

/* What a step of 64 inputs takes in a block that has a multiprocessor to itself,
   and in two that share one: microseconds on an H200, of which only the ratios
   matter. */
struct cut_cost {
  int n_outs, n_rows;
  double alone, shared; /* 0: two do not fit */
};

static double time_of(const cut_cost &cost, int64_t n_blocks, int64_t n_steps, int n_splits,
                      int n_units) {
  const int64_t in_round = cost.shared > 0 ? 2 * n_units : n_units, last = n_blocks % in_round;
  const double full = cost.shared > 0 ? cost.shared : cost.alone;
  double step = static_cast<double>(n_blocks / in_round) * full + (last == 0         ? 0
                                                                   : last <= n_units ? cost.alone
                                                                                     : full);
  /* The block that comes last adds the sums of the others. */
  double sums = n_splits > 1 ? 5 + 1.1e-4 * n_splits * cost.n_outs * cost.n_rows : 0;
  return step * static_cast<double>(blocks_of(n_steps, n_splits)) + sums;
}

sm80_mixed_cut sm80_mixed_choose(const cuda_product *product, int n_units) {
  static const cut_cost costs[] = {
      {128, 32, 0.77, 1.26}, {128, 64, 0.91, 1.5}, {128, 128, 1.33, 2.27}, {256, 128, 2.0, 0}};
  const int64_t n_steps = product->linear->n_in / mixed_inputs;
  sm80_mixed_cut best = {128, 32, 1};
  double best_time = -1;
  for (const cut_cost &cost : costs)
    for (int n_splits = 1; n_splits == 1 || (n_splits <= 8 && n_steps / n_splits >= 8);
         n_splits *= 2) {
      sm80_mixed_cut cut = {cost.n_outs, cost.n_rows, n_splits};
      double time = time_of(cost, n_blocks(product, &cut) * n_splits, n_steps, n_splits, n_units);
      if (best_time < 0 || time < best_time) {
        best = cut;
        best_time = time;
      }
    }
  return best;
}

/* This file is compiled for sm_80, whose kernels know nothing of overlapping:
   they are launched after the one before has ended. */
cudaError_t sm80_mixed_with(const cuda_launch *launch, const cuda_product *product,
                            const sm80_mixed_cut *cut) {
  char *scratch = static_cast<char *>(launch->scratch);
  mixed_arguments arguments = {};
  arguments.w = *product->linear;
  arguments.group_factor = group_factor_of(arguments.w.n_in / mixed_inputs / arguments.w.n_groups);
  arguments.x = product->x;
  arguments.residual = product->residual;
  arguments.out = product->out;
  arguments.n_rows = static_cast<int>(product->n_rows);
  arguments.n_splits = cut->n_splits;
  arguments.swiglu = product->swiglu;
  if (product->n_rows == 0)
    return cudaSuccess;
  if (sm80_mixed_scratch_of(product, cut) > launch->scratch_size)
    return cudaErrorInvalidValue;
  cudaError_t error = cudaSuccess;
  if (has_rows(product)) {
    arguments.x = scratch;
    arguments.row_scale = reinterpret_cast<const float *>(scratch + rows_size(product));
    error = prepare_rows(launch, product, scratch,
                         reinterpret_cast<float *>(scratch + rows_size(product)));
  }
  scratch += rows_size(product) + scales_size(product);
  if (error == cudaSuccess && cut->n_splits > 1) {
    arguments.n_done = reinterpret_cast<unsigned *>(scratch);
    arguments.partial = reinterpret_cast<float4 *>(scratch + counters_size(product, cut));
    error = cudaMemsetAsync(scratch, 0, counters_size(product, cut), launch->stream);
  }
  cuda_launch after = *launch;
  after.overlaps = 0;
  return error == cudaSuccess ? launch_any(&after, arguments, cut) : error;
}

cudaError_t sm80_mixed(const cuda_launch *launch, const cuda_product *product) {
  sm80_mixed_cut cut = sm80_mixed_choose(product, launch->n_units);
  return sm80_mixed_with(launch, product, &cut);
}
