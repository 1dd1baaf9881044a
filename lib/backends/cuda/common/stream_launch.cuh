/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernel takes a product, and its launches, for both tables. */
#ifndef LLQ_CUDA_STREAM_LAUNCH_CUH
#define LLQ_CUDA_STREAM_LAUNCH_CUH

#include "backends/cuda/common/stream.cuh"

/* Rows of a piece: while x stays in shared memory, and while it streams. */
constexpr int stream_rows_resident = 16, stream_rows_max = 32;

/* What a block can have of this device's shared memory; 0 if it cannot be asked. */
inline size_t stream_memory_limit() {
  int device, limit;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) !=
          cudaSuccess)
    return 0;
  return static_cast<size_t>(limit);
}

/* The next kernel of a chain starts beside this one, one block of each on every
   multiprocessor: two of one kernel would leave another multiprocessor without
   work. To that end kernels take turns. Those that add a residual take a little
   more than half of a multiprocessor's memory, so that two never fit; the others
   a little less, so that one fits beside, and one only. (Attention, which is not
   everywhere, comes between.) What takes more rows is alone. */
constexpr size_t stream_memory_less = 113 * 1024 - 128, stream_memory_more = 113 * 1024 + 128,
                 stream_memory_alone = 116 * 1024;

inline size_t stream_memory_shared(bool adds) {
  size_t limit = stream_memory_limit(), wanted = adds ? stream_memory_more : stream_memory_less;
  return limit < wanted ? limit : wanted;
}

/* Bytes of rings while x stays in shared memory: the largest that there is room
   for. The last is for dense products so large that what runs beside does not
   matter. */
constexpr int stream_ring_sizes[] = {40 * 1024, 72 * 1024, 96 * 1024, 200 * 1024};
constexpr int stream_pairs_alone = 8; /* of a block, from which on that is so */

/* And where n eights of its rows stream: what the table's GPU has beside a pair's
   sums, or less, so that another kernel fits. */
template <class Table> constexpr int stream_ring_with_x(int n) {
  int row_size = 4 * (2 * stream_warps * partial_stride + stream_warps + 1);
  return n == 1 ? 104 * 1024 : Table::shared_memory - 8 * n * row_size;
}

/* Pairs whose sums are kept, at most. */
constexpr int stream_kept_max = 8;

template <class Format, int ring_size, int n_x> struct stream_ring_of {
  static constexpr int n_slots = ring_size / stream_ring<Format, 1, n_x>::size;
  typedef stream_memory<Format, n_slots, n_x> memory;
};

/* How many rows of a format leave room for another kernel, at 4096 inputs. */
template <class Format> constexpr int stream_rows_sharing() {
  return Format::is_dense ? 4 : 8;
}

/* How rows are cut into pieces, and the kernel that a piece takes. */
struct stream_plan {
  int n_rows; /* of a piece, at most; 0: cannot be */
  bool streams_x, prepares;
  int ring; /* of stream_ring_sizes, if x does not stream */
};

template <class Table, class Format, int n> size_t stream_streaming_size(int n_rows) {
  return stream_ring_of<Format, stream_ring_with_x<Table>(n), n>::memory::size(n_rows, 0, 1);
}

/* 17 to 32 rows stream if there is room for more than one slot. */
template <class Table, class Format> constexpr bool stream_takes_most() {
  return stream_ring_of<Format, stream_ring_with_x<Table>(4), 4>::n_slots > 1;
}

template <class Format, int ring> size_t stream_resident_size(int n_rows, int64_t n_in) {
  return stream_ring_of<Format, stream_ring_sizes[ring], 0>::memory::size(n_rows, n_in, 1);
}

/* How many rows of this width fit at once. */
template <class Format> int stream_rows_at_once(int64_t n_in) {
  size_t limit = stream_memory_limit();
  int n = stream_rows_resident;
  while (n > 0 && stream_resident_size<Format, 1>(n, n_in) > limit)
    n--;
  return n;
}

/* The largest ring for up to 8 rows beside which sums fit, too; -1: none. After a
   launch that prepares x no other kernel need fit. */
template <class Format>
int stream_largest_ring(const cuda_product &product, int n_units, bool prepares) {
  int n_rows = static_cast<int>(product.n_rows);
  int64_t n_in = product.linear->n_in, n_pairs = product.linear->n_out / tile_outputs / 2;
  size_t limit =
      prepares ? stream_memory_limit() : stream_memory_shared(product.residual != nullptr);
  if (Format::is_dense && n_pairs >= stream_pairs_alone * n_units &&
      stream_resident_size<Format, 3>(n_rows, n_in) <= stream_memory_limit())
    return 3;
  if (stream_resident_size<Format, 2>(n_rows, n_in) <= limit)
    return 2;
  if (stream_resident_size<Format, 1>(n_rows, n_in) <= limit)
    return 1;
  bool is_small = !prepares && n_rows > 4 && stream_rows_sharing<Format>() > 4;
  return is_small && stream_resident_size<Format, 0>(n_rows, n_in) <= limit ? 0 : -1;
}

inline size_t stream_prepared_size(int64_t n_rows, int64_t n_in) {
  return static_cast<size_t>(n_rows) * (2 * static_cast<size_t>(n_in) + sizeof(float));
}

/* Rows that each block prepares for itself, at most: what a launch of its own does
   once for more of them. */
template <class Format> int stream_rows_in_block(int64_t n_in) {
  return Format::input != stream_bf16 ? 1 : n_in <= stream_short ? 8 : 2;
}

/* x streams where rows are many; and where it is large, or all rows would not fit,
   if it is read no more than twice. It is prepared by a launch of its own where it
   streams, or where that takes long. */
template <class Table, class Format>
stream_plan stream_plan_of(const cuda_product &product, int n_units, size_t scratch_size) {
  int64_t n_in = product.linear->n_in, n_pairs = product.linear->n_out / tile_outputs / 2;
  int n = static_cast<int>(product.n_rows < stream_rows_max ? product.n_rows : stream_rows_max);
  bool changes = product.norm != nullptr || Format::input != stream_bf16;
  bool can_prepare = !changes || stream_prepared_size(n, n_in) <= scratch_size;
  if constexpr (stream_takes_most<Table, Format>())
    if (n > stream_rows_resident && can_prepare &&
        stream_streaming_size<Table, Format, 4>(n) <= stream_memory_limit())
      return {n, true, changes, 0};
  n = n < stream_rows_resident ? n : stream_rows_resident;
  bool prepares = changes && can_prepare && n > stream_rows_in_block<Format>(n_in);
  size_t streaming = n <= 8 ? stream_streaming_size<Table, Format, 1>(n)
                            : stream_streaming_size<Table, Format, 2>(n);
  bool can_stream = n_pairs <= 2 * n_units && can_prepare && streaming <= stream_memory_limit();
  if (n <= stream_rows_sharing<Format>()) {
    int ring = stream_largest_ring<Format>(product, n_units, prepares);
    if (ring >= 0)
      return {n, false, prepares, ring};
    if (can_stream)
      return {n, true, changes, 0};
  }
  int at_once = stream_rows_at_once<Format>(n_in);
  if (can_stream && n > stream_rows_sharing<Format>() && (2 * n * n_in > 64 * 4096 || n > at_once))
    return {n, true, changes, 0};
  n = n < at_once ? n : at_once;
  return {n, false, prepares && n > stream_rows_in_block<Format>(n_in), 1};
}

inline stream_weight stream_weight_of(const cuda_linear &linear) {
  stream_weight w = {};
  w.data = static_cast<const char *>(linear.data);
  w.scale = static_cast<const char *>(linear.scale);
  w.zero = reinterpret_cast<const char *>(linear.zero);
  w.n_in = static_cast<int>(linear.n_in);
  w.n_blocks = w.n_in / tile_inputs;
  w.n_groups = static_cast<int>(linear.n_groups);
  w.group_factor = group_factor_of(w.n_blocks / w.n_groups);
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

template <class Kernel> cudaError_t stream_allow(Kernel kernel) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(stream_memory_limit()));
}

/* What x must be in scratch memory for, at most. */
inline size_t stream_scratch(const cuda_product *product) {
  int64_t n = product->n_rows < stream_rows_max ? product->n_rows : stream_rows_max;
  bool changes = product->norm != nullptr || product->linear->activation != LLQ_ACTIVATION_NONE;
  return changes ? stream_prepared_size(n, product->linear->n_in) : 0;
}

/* How many pairs' sums fit beside the rest; a block has no more than n_pairs. */
template <class Memory> int stream_kept(const stream_call &call, int n_pairs, size_t limit) {
  int n = n_pairs < stream_kept_max ? n_pairs : stream_kept_max;
  while (n > 1 && Memory::size(call.n_rows, call.weight.n_in, n) > limit)
    n--;
  return n;
}

/* Tiles are spread over all multiprocessors, and the rest of a block's memory keeps
   sums. `alone`: no other kernel beside it. */
template <class Memory, class Kernel>
cudaError_t stream_start_kernel(const cuda_launch *launch, Kernel kernel, stream_call call,
                                bool alone) {
  int n_shares = call.swiglu ? call.n_tiles / 2 : call.n_tiles;
  int n_blocks = n_shares < launch->n_units ? n_shares : launch->n_units;
  int n_tiles = (n_shares + n_blocks - 1) / n_blocks;
  int n_pairs = call.swiglu ? n_tiles : (n_tiles + 1) / 2;
  bool adds = call.residual != nullptr;
  size_t limit = stream_memory_shared(adds);
  if (Memory::size(call.n_rows, call.weight.n_in, 1) > limit) {
    limit = stream_memory_limit();
    alone = true;
  }
  call.n_kept = stream_kept<Memory>(call, n_pairs, limit);
  size_t size = Memory::size(call.n_rows, call.weight.n_in, call.n_kept);
  size_t least = alone ? stream_memory_alone : adds ? stream_memory_more : 0;
  if (launch->overlaps && size < least)
    size = least;
  cudaError_t error = stream_allow(kernel);
  if (error != cudaSuccess)
    return error;
  return launch_kernel(launch, kernel, static_cast<unsigned>(n_blocks), stream_threads, size, call);
}

template <class Table, class Format, int n, int ring_size, int n_x>
cudaError_t stream_launch_of(const cuda_launch *launch, const stream_call &call) {
  typedef stream_ring_of<Format, ring_size, n_x> ring;
  return stream_start_kernel<typename ring::memory>(
      launch, stream_linear<Table, Format, n, ring::n_slots, (n_x > 0)>, call,
      call.n_rows > stream_rows_sharing<Format>());
}

template <class Table, class Format>
cudaError_t stream_launch(const cuda_launch *launch, const stream_call &call,
                          const stream_plan &plan) {
  if constexpr (stream_takes_most<Table, Format>())
    if (call.n_rows > stream_rows_resident)
      return stream_launch_of<Table, Format, 4, stream_ring_with_x<Table>(4), 4>(launch, call);
  if (call.n_rows > 8)
    return plan.streams_x
               ? stream_launch_of<Table, Format, 2, stream_ring_with_x<Table>(2), 2>(launch, call)
               : stream_launch_of<Table, Format, 2, stream_ring_sizes[1], 0>(launch, call);
  if (plan.streams_x)
    return stream_launch_of<Table, Format, 1, stream_ring_with_x<Table>(1), 1>(launch, call);
  if constexpr (Format::is_dense)
    if (plan.ring == 3)
      return stream_launch_of<Table, Format, 1, stream_ring_sizes[3], 0>(launch, call);
  if (plan.ring == 2)
    return stream_launch_of<Table, Format, 1, stream_ring_sizes[2], 0>(launch, call);
  if constexpr (stream_rows_sharing<Format>() > 4)
    if (plan.ring == 0)
      return stream_launch_of<Table, Format, 1, stream_ring_sizes[0], 0>(launch, call);
  return stream_launch_of<Table, Format, 1, stream_ring_sizes[1], 0>(launch, call);
}

/* Rows of x as products take them: see stream_prepare(). */
template <class Table, stream_input input, stream_order order>
cudaError_t stream_prepare_to(const cuda_launch *launch, const stream_call &call, int64_t n_rows,
                              void *out, float *row_scale) {
  auto kernel = stream_prepare<Table, input, order>;
  cudaError_t error = stream_allow(kernel);
  if (error != cudaSuccess)
    return error;
  return launch_kernel(launch, kernel, static_cast<unsigned>(n_rows), stream_threads,
                       stream_prepare_size(call.weight.n_in), call.x, call.norm, call.eps,
                       call.weight.n_in, static_cast<uint4 *>(out), row_scale);
}

/* x of a call into scratch memory; the call then takes it from there. */
template <class Table, class Format>
cudaError_t stream_prepare_x(const cuda_launch *launch, stream_call *call) {
  char *x = static_cast<char *>(launch->scratch);
  float *row_scale =
      reinterpret_cast<float *>(x + 2 * static_cast<int64_t>(call->n_rows) * call->weight.n_in);
  cudaError_t error = stream_prepare_to<Table, Format::input, stream_in_order>(
      launch, *call, call->n_rows, x, row_scale);
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

inline int stream_aligned(const void *p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

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
cudaError_t stream_normalize(const cuda_launch *launch, const cuda_product &product, void *out) {
  return stream_prepare_to<Table, stream_bf16, stream_in_order>(
      launch, stream_call_of(product, 0, 0), product.n_rows, out, nullptr);
}

/* All rows of x, in the order in which the format takes them. */
template <class Table> struct stream_prepare_all {
  const cuda_launch *launch;
  const cuda_product &product;
  void *out;
  float *row_scale;
  cudaError_t error;

  template <class Format> void run() {
    if constexpr (Format::input != stream_codes)
      error = stream_prepare_to<Table, Format::input, Format::order>(
          launch, stream_call_of(product, 0, 0), product.n_rows, out, row_scale);
  }
};

template <class Table>
cudaError_t stream_run(const cuda_launch *launch, const cuda_product *product) {
  stream_start<Table> action = {launch, *product, cudaErrorInvalidValue};
  stream_dispatch(*product->linear, action);
  return action.error;
}

#endif
