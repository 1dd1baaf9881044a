/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel takes a product, and its launches, for both tables. */
#ifndef LLQ_CUDA_STREAM_LAUNCH_CUH
#define LLQ_CUDA_STREAM_LAUNCH_CUH

#include "backends/cuda/common/stream.cuh"

constexpr int stream_rows_max = 16;
constexpr size_t stream_memory_max = 227 * 1024;

/* Shared memory for the rings of a block: enough in flight for device memory,
   and two blocks a multiprocessor while x is small. */
struct stream_tuning {
  static constexpr int ring_bytes(int n) { return n == 1 ? 80 * 1024 : 56 * 1024; }
};

template <class Tuning, class Format> constexpr int stream_slots(int n) {
  return Tuning::ring_bytes(n) / (stream_warps * 2 * Format::n_bytes);
}

template <class Tuning, class Format>
size_t stream_memory_size(int n_rows, int64_t n_in) {
  return n_rows <= 8 ? stream_memory<Format, stream_slots<Tuning, Format>(1)>::size(n_rows, n_in)
                     : stream_memory<Format, stream_slots<Tuning, Format>(2)>::size(n_rows, n_in);
}

/* How many rows of this width fit at once. */
template <class Tuning, class Format> int stream_rows_at_once(int64_t n_in) {
  int n = stream_rows_max;
  while (n > 0 && stream_memory_size<Tuning, Format>(n, n_in) > stream_memory_max)
    n--;
  return n;
}

inline stream_weight stream_weight_of(const cuda_linear &linear) {
  stream_weight w = {};
  w.data = static_cast<const char *>(linear.data);
  w.scale = static_cast<const char *>(linear.scale);
  w.zero = reinterpret_cast<const char *>(linear.zero);
  w.n_in = static_cast<int>(linear.n_in);
  w.n_blocks = w.n_in / tile_inputs;
  w.n_groups = static_cast<int>(linear.n_groups);
  w.group_blocks = w.n_blocks / w.n_groups;
  w.group_factor = static_cast<uint32_t>((0x100000000ull + w.group_blocks - 1) / w.group_blocks);
  return w;
}

inline stream_call stream_call_of(const cuda_product &product, int64_t first_row, int n_rows) {
  const cuda_linear &linear = *product.linear;
  int64_t out_width = product.swiglu ? linear.n_out / 2 : linear.n_out;
  int64_t at = first_row * out_width;
  stream_call call = {};
  call.weight = stream_weight_of(linear);
  call.x = static_cast<const __nv_bfloat16 *>(product.x) + first_row * linear.n_in;
  call.norm = static_cast<const __nv_bfloat16 *>(product.norm);
  if (product.residual != nullptr)
    call.residual = static_cast<const __nv_bfloat16 *>(product.residual) + at;
  call.out_f32 = product.out_dtype == LLQ_F32;
  call.out = static_cast<char *>(product.out) + at * (call.out_f32 ? 4 : 2);
  call.eps = product.eps;
  call.n_rows = n_rows;
  call.n_out = static_cast<int>(linear.n_out);
  call.n_tiles = call.n_out / tile_outputs;
  call.swiglu = product.swiglu;
  return call;
}

template <class Table, class Tuning, class Format, int n>
cudaError_t stream_launch(const cuda_launch *launch, const stream_call &call) {
  constexpr int n_slots = stream_slots<Tuning, Format>(n);
  auto kernel = stream_linear<Table, Format, n, n_slots>;
  size_t size = stream_memory<Format, n_slots>::size(call.n_rows, call.weight.n_in);
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           static_cast<int>(stream_memory_max));
  /* All alike: a multiprocessor must be idle to divide its memory otherwise, and
     then this kernel could not start beside the one before. */
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  if (error != cudaSuccess)
    return error;
  int n_shares = call.swiglu ? call.n_tiles / 2 : call.n_tiles;
  unsigned n_blocks = static_cast<unsigned>(n_shares < launch->n_units ? n_shares : launch->n_units);
  return launch_kernel(launch, kernel, n_blocks, stream_threads, size, call);
}

/* Rows in equal pieces that fit in shared memory. */
template <class Table, class Tuning, class Format>
cudaError_t stream_pieces(const cuda_launch *launch, const cuda_product &product) {
  int64_t at_once = stream_rows_at_once<Tuning, Format>(product.linear->n_in);
  int64_t n_pieces = (product.n_rows + at_once - 1) / at_once;
  for (int64_t i = 0; i < n_pieces; i++) {
    int64_t first = product.n_rows * i / n_pieces;
    int n_rows = static_cast<int>(product.n_rows * (i + 1) / n_pieces - first);
    stream_call call = stream_call_of(product, first, n_rows);
    cudaError_t error = n_rows <= 8 ? stream_launch<Table, Tuning, Format, 1>(launch, call)
                                    : stream_launch<Table, Tuning, Format, 2>(launch, call);
    if (error != cudaSuccess)
      return error;
  }
  return cudaSuccess;
}

/* Calls action.run<Format>() with the format of a linear; 0 if there is none. */
template <class Action> int stream_dispatch(const cuda_linear &linear, Action &action) {
  int plain = linear.layout == CUDA_LAYOUT_PLAIN;
  if (linear.activation == LLQ_ACTIVATION_NONE && linear.format == LLQ_WEIGHT_INT4 && !plain)
    linear.zero != nullptr ? action.template run<stream_int4<true>>()
                           : action.template run<stream_int4<false>>();
  else if (linear.activation == LLQ_ACTIVATION_NONE && linear.format == LLQ_WEIGHT_INT8 && plain)
    action.template run<stream_int8>();
  else if (linear.activation == LLQ_ACTIVATION_NONE && linear.format == LLQ_WEIGHT_DENSE && plain)
    action.template run<stream_dense>();
  else if (linear.activation == LLQ_ACTIVATION_INT8 && linear.format == LLQ_WEIGHT_INT8 && plain)
    action.template run<stream_int8_int8>();
  else if (linear.activation == LLQ_ACTIVATION_FP8 && linear.format == LLQ_WEIGHT_FP8 && plain)
    action.template run<stream_fp8_fp8>();
  else
    return 0;
  return 1;
}

template <class Tuning> struct stream_fits {
  const cuda_linear &linear;
  int fits;

  template <class Format> void run() {
    int per_channel = linear.n_groups == 1;
    fits = stream_rows_at_once<Tuning, Format>(linear.n_in) > 0 && (per_channel || !Format::scaled);
  }
};

inline int stream_aligned(const void *p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

template <class Tuning> int stream_takes(const cuda_product *product) {
  const cuda_linear &linear = *product->linear;
  int64_t n_groups = linear.n_groups, n_tiles = linear.n_out / tile_outputs;
  if (linear.dtype != LLQ_BF16 || linear.n_out % tile_outputs != 0 || linear.n_out > INT32_MAX ||
      linear.n_in % tile_inputs != 0 || linear.group_index != nullptr)
    return 0;
  if (linear.format != LLQ_WEIGHT_DENSE && linear.n_in / tile_inputs % n_groups != 0)
    return 0;
  if (product->out_dtype != LLQ_BF16 &&
      (product->out_dtype != LLQ_F32 || product->swiglu || product->residual != nullptr))
    return 0;
  if ((product->swiglu && n_tiles % 2 != 0) || !stream_aligned(product->x) ||
      !stream_aligned(product->norm) || !stream_aligned(linear.data) ||
      !stream_aligned(linear.scale))
    return 0;
  stream_fits<Tuning> action = {linear, 0};
  return stream_dispatch(linear, action) && action.fits;
}

template <class Table, class Tuning> struct stream_start {
  const cuda_launch *launch;
  const cuda_product &product;
  cudaError_t error;

  template <class Format> void run() {
    error = stream_pieces<Table, Tuning, Format>(launch, product);
  }
};

template <class Table, class Tuning>
cudaError_t stream_run(const cuda_launch *launch, const cuda_product *product) {
  stream_start<Table, Tuning> action = {launch, *product, cudaErrorInvalidValue};
  stream_dispatch(*product->linear, action);
  return action.error;
}

#endif
