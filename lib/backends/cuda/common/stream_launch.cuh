/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel takes a product, and its launches, for both tables. */
#ifndef LLQ_CUDA_STREAM_LAUNCH_CUH
#define LLQ_CUDA_STREAM_LAUNCH_CUH

#include "backends/cuda/common/stream.cuh"

constexpr int stream_rows_max = 16;

/* What a block can have of this device's shared memory; 0 if it cannot be asked. */
inline size_t stream_memory_limit() {
  int device, limit;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) !=
          cudaSuccess)
    return 0;
  return static_cast<size_t>(limit);
}

/* Half of a multiprocessor, so that the next kernel of a chain can start beside
   this one. Two blocks of one kernel on a multiprocessor leave another without
   work, and do so where some kernels of a chain fit beside others and some do
   not: so a number of rows decides for all, and who is to be alone takes more. */
constexpr size_t stream_memory_shared = 113 * 1024, stream_memory_alone = 116 * 1024;

/* Bytes of rings: while x stays in shared memory, if much of it, and if it streams
   (`Table` says that for more than 8 rows). */
constexpr int stream_ring_resident = 72 * 1024, stream_ring_small = 40 * 1024,
              stream_ring_with_x = 104 * 1024;

template <class Format, int ring_size, int n_x> struct stream_ring_of {
  static constexpr int n_slots = ring_size / stream_ring<Format, 1, n_x>::size;
  typedef stream_memory<Format, n_slots, n_x> memory;
};

/* How many rows of a format leave room for another kernel, at 4096 inputs. */
template <class Format> constexpr int stream_rows_sharing() {
  return Format::n_bytes < 2048 ? 8 : 4;
}

/* How rows are cut into pieces, and the kernel that a piece takes. */
struct stream_plan {
  int n_rows; /* of a piece, at most; 0: cannot be */
  bool streams_x, small_ring, prepares;
};

template <class Format> size_t stream_resident_size(int n_rows, int64_t n_in, bool small_ring) {
  return small_ring
             ? stream_ring_of<Format, stream_ring_small, 0>::memory::size(n_rows, n_in)
             : stream_ring_of<Format, stream_ring_resident, 0>::memory::size(n_rows, n_in);
}

/* How many rows of this width fit at once. */
template <class Format> int stream_rows_at_once(int64_t n_in) {
  size_t limit = stream_memory_limit();
  int n = stream_rows_max;
  while (n > 0 && stream_resident_size<Format>(n, n_in, false) > limit)
    n--;
  return n;
}

inline size_t stream_prepared_size(int64_t n_rows, int64_t n_in) {
  return static_cast<size_t>(n_rows) * (2 * static_cast<size_t>(n_in) + sizeof(float));
}

/* x streams where it is large and is then read no more than twice. It is prepared
   by a launch of its own where it streams, or where that takes long. */
template <class Table, class Format>
stream_plan stream_plan_of(const cuda_product &product, int n_units, size_t scratch_size) {
  int64_t n_in = product.linear->n_in, n_pairs = product.linear->n_out / tile_outputs / 2;
  int n = static_cast<int>(product.n_rows < stream_rows_max ? product.n_rows : stream_rows_max);
  bool changes = product.norm != nullptr || Format::input != stream_bf16;
  size_t streaming = n <= 8 ? stream_ring_of<Format, stream_ring_with_x, 1>::memory::size(n, n_in)
                            : stream_ring_of<Format, Table::ring_with_x, 2>::memory::size(n, n_in);
  bool can_stream = n_pairs <= 2 * n_units && streaming <= stream_memory_limit() &&
                    (!changes || stream_prepared_size(n, n_in) <= scratch_size);
  if (n <= stream_rows_sharing<Format>()) {
    if (stream_resident_size<Format>(n, n_in, false) <= stream_memory_shared)
      return {n, false, false, false};
    if (n > 4 && stream_resident_size<Format>(n, n_in, true) <= stream_memory_shared)
      return {n, false, true, false};
    if (can_stream)
      return {n, true, false, changes};
  } else if (can_stream && 2 * n * n_in > 64 * 4096) {
    return {n, true, false, changes};
  }
  int at_once = stream_rows_at_once<Format>(n_in);
  n = n < at_once ? n : at_once;
  bool fits = stream_prepared_size(n, n_in) <= scratch_size;
  return {n, false, false, changes && fits && n > 8};
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

/* All kernels alike: a multiprocessor must be idle to divide its memory
   otherwise, and then a kernel could not start beside the one before. */
template <class Kernel> cudaError_t stream_allow(Kernel kernel) {
  cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           static_cast<int>(stream_memory_limit()));
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                 cudaSharedmemCarveoutMaxShared);
  return error;
}

/* What x must be in scratch memory for, at most. */
inline size_t stream_scratch(const cuda_product *product) {
  int64_t n = product->n_rows < stream_rows_max ? product->n_rows : stream_rows_max;
  bool changes = product->norm != nullptr || product->linear->activation != LLQ_ACTIVATION_NONE;
  return changes ? stream_prepared_size(n, product->linear->n_in) : 0;
}

template <class Table, class Format, int n, int ring_size, int n_x>
cudaError_t stream_launch_of(const cuda_launch *launch, const stream_call &call) {
  typedef stream_ring_of<Format, ring_size, n_x> ring;
  auto kernel = stream_linear<Table, Format, n, ring::n_slots, (n_x > 0)>;
  size_t size = ring::memory::size(call.n_rows, call.weight.n_in);
  bool alone = launch->overlaps && call.n_rows > stream_rows_sharing<Format>();
  if (alone && size < stream_memory_alone)
    size = stream_memory_alone;
  cudaError_t error = stream_allow(kernel);
  if (error != cudaSuccess)
    return error;
  int n_shares = call.swiglu ? call.n_tiles / 2 : call.n_tiles;
  int n_blocks = n_shares < launch->n_units ? n_shares : launch->n_units;
  return launch_kernel(launch, kernel, static_cast<unsigned>(n_blocks), stream_threads, size, call);
}

template <class Table, class Format>
cudaError_t stream_launch(const cuda_launch *launch, const stream_call &call,
                          const stream_plan &plan) {
  if (call.n_rows > 8)
    return plan.streams_x
               ? stream_launch_of<Table, Format, 2, Table::ring_with_x, 2>(launch, call)
               : stream_launch_of<Table, Format, 2, stream_ring_resident, 0>(launch, call);
  if (plan.streams_x)
    return stream_launch_of<Table, Format, 1, stream_ring_with_x, 1>(launch, call);
  if constexpr (stream_rows_sharing<Format>() > 4)
    if (plan.small_ring)
      return stream_launch_of<Table, Format, 1, stream_ring_small, 0>(launch, call);
  return stream_launch_of<Table, Format, 1, stream_ring_resident, 0>(launch, call);
}

/* x of a call into scratch memory; the call then takes it from there. */
template <class Table, class Format>
cudaError_t stream_prepare_x(const cuda_launch *launch, stream_call *call) {
  auto kernel = stream_prepare<Table, Format::input>;
  cudaError_t error = stream_allow(kernel);
  if (error != cudaSuccess)
    return error;
  int64_t n_in = call->weight.n_in;
  char *x = static_cast<char *>(launch->scratch);
  float *row_scale = reinterpret_cast<float *>(x + 2 * call->n_rows * n_in);
  error = launch_kernel(launch, kernel, static_cast<unsigned>(call->n_rows), stream_threads,
                        static_cast<size_t>(2 * n_in + 4 * (stream_warps + 1)), call->x, call->norm, call->eps,
                        call->weight.n_in, reinterpret_cast<uint4 *>(x), row_scale);
  call->x = reinterpret_cast<const __nv_bfloat16 *>(x);
  call->norm = nullptr;
  call->prepared = 1;
  if (Format::input != stream_bf16)
    call->row_scale = row_scale;
  return error;
}

/* Rows in equal pieces. */
template <class Table, class Format>
cudaError_t stream_pieces(const cuda_launch *launch, const cuda_product &product) {
  stream_plan plan = stream_plan_of<Table, Format>(product, launch->n_units, launch->scratch_size);
  if (plan.n_rows <= 0)
    return product.n_rows == 0 ? cudaSuccess : cudaErrorInvalidValue;
  int64_t n_pieces = (product.n_rows + plan.n_rows - 1) / plan.n_rows;
  for (int64_t i = 0; i < n_pieces; i++) {
    int64_t first = product.n_rows * i / n_pieces;
    int n_rows = static_cast<int>(product.n_rows * (i + 1) / n_pieces - first);
    stream_call call = stream_call_of(product, first, n_rows);
    cudaError_t error = cudaSuccess;
    if (plan.prepares)
      error = stream_prepare_x<Table, Format>(launch, &call);
    if (error == cudaSuccess)
      error = stream_launch<Table, Format>(launch, call, plan);
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

struct stream_fits {
  const cuda_linear &linear;
  int fits;

  template <class Format> void run() {
    int per_channel = linear.n_groups == 1;
    fits = stream_rows_at_once<Format>(linear.n_in) > 0 && (per_channel || !Format::scaled);
  }
};

inline int stream_aligned(const void *p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

inline int stream_takes(const cuda_product *product) {
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
  stream_fits action = {linear, 0};
  return stream_dispatch(linear, action) && action.fits;
}

template <class Table> struct stream_start {
  const cuda_launch *launch;
  const cuda_product &product;
  cudaError_t error;

  template <class Format> void run() {
    error = stream_pieces<Table, Format>(launch, product);
  }
};

template <class Table>
cudaError_t stream_run(const cuda_launch *launch, const cuda_product *product) {
  stream_start<Table> action = {launch, *product, cudaErrorInvalidValue};
  stream_dispatch(*product->linear, action);
  return action.error;
}

#endif
