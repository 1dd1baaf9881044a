/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of few rows: weights stream through shared memory once, at the rate of
   device memory; x stays there, or streams along where it is too large.

   One block a multiprocessor takes a range of tiles of 16 outputs, two at a time.
   Its warps share the inputs: warp w multiplies blocks w, w + 8, ... of 64 inputs,
   and each has a ring of its own in shared memory, filled by asynchronous copies
   in which a lane brings what the same lane multiplies, so that no warp waits for
   another until the sums of as many pairs as there is room for are there. Then the
   warps' sums are added in order. That order depends on n_in alone: neither the
   number of rows nor the table, the grid, the depth of the ring or the room changes
   a bit of a row's result.

   Few warps with many registers, two blocks at a time, rather than many warps:
   chains of matrix instructions then run beside each other.

   As a dependent launch a block fills its ring while the kernel before it still
   runs, and waits only then for x. */
#ifndef LLQ_CUDA_STREAM_CUH
#define LLQ_CUDA_STREAM_CUH

#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/common/stream_prepare.cuh"
#include "backends/cuda/common/stream_weight.cuh"

struct stream_call {
  stream_weight weight;
  const __nv_bfloat16 *x, *norm, *residual;
  const float *row_scale; /* of x prepared before, by stream_prepare */
  void *out;
  float eps;
  int n_rows, n_out, n_tiles, swiglu, out_f32, prepared;
  int n_kept; /* pairs whose sums there is room for */
};

/* The pairs of tiles of a block. */
struct stream_range {
  int first, n_tiles, n_pairs;
  int second; /* from the first tile of a pair to the second */

  __device__ __forceinline__ explicit stream_range(const stream_call &call) {
    int64_t n = call.swiglu ? call.n_tiles / 2 : call.n_tiles;
    first = static_cast<int>(n * blockIdx.x / gridDim.x);
    n_tiles = static_cast<int>(n * (blockIdx.x + 1) / gridDim.x) - first;
    n_pairs = call.swiglu ? n_tiles : (n_tiles + 1) / 2;
    second = call.swiglu ? static_cast<int>(n) : 1;
  }

  __device__ __forceinline__ int tile(const stream_call &call, int pair) const {
    return first + (call.swiglu ? pair : 2 * pair);
  }

  __device__ __forceinline__ bool has_second(const stream_call &call, int pair) const {
    return call.swiglu || 2 * pair + 1 < n_tiles;
  }

  /* A tile alone goes through slots two blocks at a time, if each warp has an even
     number of them. */
  __device__ __forceinline__ bool is_single(const stream_call &call, int pair) const {
    return !has_second(call, pair) && call.weight.n_blocks % (2 * stream_warps) == 0;
  }
};

/* The thread's number in its warp, once and for all: kept in a register where the
   compiler would ask for it again and again. */
__device__ __forceinline__ int lane_of_thread() {
  int lane = threadIdx.x % 32;
  asm volatile("" : "+r"(lane));
  return lane;
}

/* A warp's ring. A slot holds a block of 64 inputs of both tiles of a pair; with n_x =
   0 where a tile is alone, two blocks of it; with n_x > 0 also those inputs of 8 n_x
   rows of x. */
template <class Format, int n_slots, int n_x> class stream_ring {
public:
  __device__ __forceinline__ stream_ring(const stream_call &call, const stream_range &range,
                                         uint32_t shared, int lane)
      : call(call), range(range), lane(lane), block(threadIdx.x / 32), stride(stride_of(0)),
        begin(shared + threadIdx.x / 32 * n_slots * slot_size),
        source(call.weight, range.tile(call, 0), second_of(0), lane) {
    if (block >= call.weight.n_blocks)
      pair = range.n_pairs; /* nothing for this warp */
  }

  __device__ __forceinline__ void fill() {
#pragma unroll 1
    for (int i = 0; i < n_slots; i++) {
      if (i >= n_filling)
        copy_wait<n_filling - 1>();
      push();
    }
  }

  /* The next n slots, complete. */
  template <int n> __device__ __forceinline__ void front(uint32_t (&slots)[n]) const {
    copy_wait<n_slots - n>();
    __syncwarp();
    uint32_t next = at;
#pragma unroll
    for (int i = 0; i < n; i++, next = after(next))
      slots[i] = begin + next;
  }

  /* After the warp has read them: they are filled again. */
  template <int n> __device__ __forceinline__ void replace() {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < n; i++)
      push();
  }

  static constexpr int x_offset = (Format::n_bytes + 127) / 128 * 128;
  static constexpr int slot_size = (n_x > 0 ? x_offset : Format::n_bytes) + 1024 * n_x;
  static constexpr int size = stream_warps * n_slots * slot_size;

private:
  /* Slots under way while the ring is filled: 30 KB a multiprocessor keep memory busy.
     With more, x's loads wait behind them; where x streams, it is in them. */
  static constexpr int n_enough = (30 * 1024 * 2 / (stream_warps * slot_size) + 1) / 2;
  static constexpr int n_filling = n_x > 0 ? n_slots : n_enough > 0 ? n_enough : 1;

  static __device__ __forceinline__ uint32_t after(uint32_t at) {
    return at == (n_slots - 1) * slot_size ? 0 : at + slot_size;
  }

  __device__ __forceinline__ void push() {
    if (pair < range.n_pairs) {
      uint32_t to = begin + at;
      if (n_x > 0)
        copy_inputs(to + x_offset);
      source.copy(call.weight, block, lane, to);
      next_block();
    }
    copy_commit();
    at = after(at);
  }

  /* Rows of a block are as in stream_input.cuh, for 8 n_x rows. */
  __device__ __forceinline__ void copy_inputs(uint32_t to) const {
#pragma unroll
    for (int i = 0; i < 2 * n_x; i++) {
      int row = 4 * i + lane / 8, chunk = lane % 8;
      const __nv_bfloat16 *from = call.x + static_cast<int64_t>(row) * call.weight.n_in;
      copy_16_if(row < call.n_rows, to + 1024 * (row / 8) + input_chunk(row % 8, chunk),
                 from + block * tile_inputs + 8 * chunk);
    }
  }

  __device__ __forceinline__ void next_block() {
    block += stride;
    if (__builtin_expect(block < call.weight.n_blocks, 1))
      return;
    block = threadIdx.x / 32;
    pair++;
    stride = stride_of(pair);
    source = typename Format::source(call.weight, range.tile(call, pair), second_of(pair), lane);
  }

  __device__ __forceinline__ bool is_single(int pair) const {
    return n_x == 0 && range.is_single(call, pair);
  }

  /* From a slot's first block to the next slot's. */
  __device__ __forceinline__ int stride_of(int pair) const {
    return is_single(pair) ? 2 * stream_warps : stream_warps;
  }

  __device__ __forceinline__ slot_second second_of(int pair) const {
    return {range.has_second(call, pair) ? range.second : 0, is_single(pair) ? stream_warps : 0};
  }

  const stream_call &call;
  const stream_range &range;
  int lane, block, stride, pair = 0;
  uint32_t begin, at = 0;
  typename Format::source source;
};

/* Where warps leave their sums: [warp][tile of the pair][row][partial_stride]. */
constexpr int partial_stride = 20; /* 16 outputs, in distinct banks */

__host__ __device__ __forceinline__ size_t partial_size(int n_rows, int n_kept) {
  return static_cast<size_t>(n_rows) * n_kept * 2 * stream_warps * partial_stride * 4;
}

template <class Sum, int n>
__device__ __forceinline__ void leave_sums(const Sum (&sums)[n][4], int n_rows, Sum *to) {
  int output = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int i = 0; i < n; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int row = 8 * i + column + (j & 1);
      if (row < n_rows)
        to[row * partial_stride + output + 8 * (j >> 1)] = sums[i][j];
    }
}

/* A warp's sums of the i-th pair kept. */
template <class Sum, int n>
__device__ __forceinline__ void keep_sums(const Sum (&sums)[2][n][4], const stream_call &call,
                                          Sum *partial, int i) {
  Sum *to = partial + 2 * (stream_warps * i + threadIdx.x / 32) * call.n_rows * partial_stride;
  leave_sums(sums[0], call.n_rows, to);
  leave_sums(sums[1], call.n_rows, to + call.n_rows * partial_stride);
}

template <class Sum> __device__ __forceinline__ Sum collect(const Sum *partial, int warp_stride) {
  Sum sum = 0;
#pragma unroll
  for (int i = 0; i < stream_warps; i++)
    sum += partial[i * warp_stride];
  return sum;
}

/* An output that a thread finishes: `tile` is 0 or 1 of the pair. */
struct stream_output {
  int pair, row, tile, index;
};

__device__ __forceinline__ stream_output output_of(const stream_call &call, int item) {
  int row = item >> (call.swiglu ? 4 : 5);
  int pair = call.n_rows == 1 ? row : row / call.n_rows;
  return {pair, row - pair * call.n_rows, call.swiglu ? 0 : item / 16 % 2, item % 16};
}

/* From the sums of kept pairs to what the call writes. */
template <class Format> class stream_finish {
public:
  typedef typename Format::sum Sum;

  __device__ __forceinline__ stream_finish(const stream_call &call, const stream_range &range,
                                           const Sum *partial, const float *row_scale)
      : call(call), range(range), partial(partial), row_scale(row_scale) {
    stream_output o = output_of(call, threadIdx.x);
    if (call.residual != nullptr && o.pair < range.n_pairs && is_output(o, 0))
      residual_at = call.residual + place(o, output(o, 0));
  }

  /* What the thread's first output adds to, ahead. */
  __device__ __forceinline__ void fetch_residual() {
    if (residual_at != nullptr)
      residual = __ldcg(residual_at);
  }

  /* n pairs from `first` on. */
  __device__ __forceinline__ void write_pairs(int first, int n) const {
    int n_items = n * call.n_rows * (call.swiglu ? 16 : 32);
#pragma unroll 1
    for (int item = threadIdx.x; item < n_items; item += stream_threads) {
      stream_output o = output_of(call, item);
      if (is_output(o, first))
        write(o, output(o, first), first == 0 && item < stream_threads);
    }
  }

private:
  __device__ __forceinline__ bool is_output(const stream_output &o, int first_pair) const {
    return o.tile == 0 || range.has_second(call, first_pair + o.pair);
  }

  __device__ __forceinline__ int output(const stream_output &o, int first_pair) const {
    return (range.tile(call, first_pair + o.pair) + o.tile * range.second) * tile_outputs + o.index;
  }

  /* Where it lies in what the call writes. */
  __device__ __forceinline__ int64_t place(const stream_output &o, int output) const {
    return static_cast<int64_t>(o.row) * (call.swiglu ? call.n_out / 2 : call.n_out) + output;
  }

  __device__ __forceinline__ void write(const stream_output &o, int output, bool is_fetched) const {
    float y = product(o, o.tile, output);
    int64_t at = place(o, output);
    if (call.out_f32) {
      static_cast<float *>(call.out)[at] = y;
      return;
    }
    if (call.swiglu) {
      float gate = round_to(LLQ_BF16, y);
      float up = round_to(LLQ_BF16, product(o, 1, output + range.second * tile_outputs));
      y = gate / (1.0f + expf(-gate)) * up;
    }
    if (call.residual != nullptr) /* through L2, as x */
      y = __bfloat162float(is_fetched ? residual : __ldcg(call.residual + at)) +
          round_to(LLQ_BF16, y);
    store(static_cast<__nv_bfloat16 *>(call.out), at, y);
  }

  __device__ __forceinline__ float product(const stream_output &o, int tile, int output) const {
    int tile_stride = call.n_rows * partial_stride;
    const Sum *at = partial + 2 * stream_warps * o.pair * tile_stride + tile * tile_stride +
                    o.row * partial_stride + o.index;
    float sum = static_cast<float>(collect(at, 2 * tile_stride)) * Format::unit;
    if (!Format::scaled)
      return sum;
    return sum * row_scale[o.row] *
           load(reinterpret_cast<const __nv_bfloat16 *>(call.weight.scale), output);
  }

  const stream_call &call;
  const stream_range &range;
  const Sum *partial;
  const float *row_scale;
  const __nv_bfloat16 *residual_at = nullptr;
  __nv_bfloat16 residual = {};
};

/* Shared memory, in this order; n_x as in stream_ring. */
template <class Format, int n_slots, int n_x> struct stream_memory {
  static constexpr int n_spare_rows = 15; /* of x: read, but not used */

  static __host__ __device__ size_t rows_size(int n_rows, int64_t n_in) {
    return n_x > 0 ? 0 : 2 * static_cast<size_t>(n_rows * n_in) + 128 * n_spare_rows;
  }

  static size_t size(int n_rows, int64_t n_in, int n_kept) {
    size_t row_values = static_cast<size_t>(n_rows) * (stream_warps + 1) * 4;
    return stream_ring<Format, n_slots, n_x>::size + rows_size(n_rows, n_in) +
           partial_size(n_rows, n_kept) + row_values;
  }
};

/* Blocks `first`, first + 8, ... of a pair, n_blocks at a time. `x`: where their
   inputs lie, unless that is the ring. */
template <int n_blocks, class Format, int n_slots, int n_x, int n>
__device__ __forceinline__ void
sum_blocks(const stream_call &call, stream_ring<Format, n_slots, n_x> &ring, int first,
           uint32_t rows, int lane, typename Format::sum (&sums)[2][n][4]) {
  typedef typename Format::fragment fragment;
  uint32_t slots[n_blocks], x[n_blocks][n][8];
  ring.front(slots);
#pragma unroll
  for (int b = 0; b < n_blocks; b++) {
    uint32_t inputs =
        n_x > 0 ? slots[b] + ring.x_offset : rows + 128 * (first + stream_warps * b) * call.n_rows;
#pragma unroll
    for (int i = 0; i < n; i++)
      Format::inputs(inputs + Format::first_inputs(lane) + 1024 * i, x[b][i]);
  }
#pragma unroll
  for (int b = 0; b < n_blocks; b++) {
    int block = first + stream_warps * b;
    fragment a(call.weight, block, 0, slots[b], lane), c(call.weight, block, 1, slots[b], lane);
    Format::add(a, x[b], sums[0]);
    Format::add(c, x[b], sums[1]);
  }
  ring.template replace<n_blocks>();
}

/* This warp's share of a single tile's sums: blocks two at a time, in the same order. */
template <class Format, int n_slots, int n>
__device__ __forceinline__ void sum_single(const stream_call &call,
                                           stream_ring<Format, n_slots, 0> &ring, uint32_t rows,
                                           int lane, typename Format::sum (&sums)[n][4]) {
  typedef typename Format::fragment fragment;
#pragma unroll 1
  for (int block = threadIdx.x / 32; block < call.weight.n_blocks; block += 2 * stream_warps) {
    uint32_t slots[1], x[2][n][8];
    ring.front(slots);
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int i = 0; i < n; i++)
        Format::inputs(rows + 128 * (block + stream_warps * half) * call.n_rows +
                           Format::first_inputs(lane) + 1024 * i,
                       x[half][i]);
#pragma unroll
    for (int half = 0; half < 2; half++)
      Format::add(fragment(call.weight, block + stream_warps * half, half, slots[0], lane), x[half],
                  sums);
    ring.template replace<1>();
  }
}

/* And of a pair's. */
template <class Format, int n_slots, int n_x, int n>
__device__ __forceinline__ void sum_pair(const stream_call &call,
                                         stream_ring<Format, n_slots, n_x> &ring, uint32_t rows,
                                         int lane, typename Format::sum (&sums)[2][n][4]) {
  int block = threadIdx.x / 32, n_blocks = call.weight.n_blocks;
  if constexpr (n_slots > 2 && n < 4) { /* of many rows one block at a time is enough */
#pragma unroll 1
    for (; block + stream_warps < n_blocks; block += 2 * stream_warps)
      sum_blocks<2>(call, ring, block, rows, lane, sums);
  }
#pragma unroll 1
  for (; block < n_blocks; block += stream_warps)
    sum_blocks<1>(call, ring, block, rows, lane, sums);
}

/* Of either. */
template <class Format, int n_slots, int n_x, int n>
__device__ __forceinline__ void
sum_tiles(const stream_call &call, stream_ring<Format, n_slots, n_x> &ring, bool is_single,
          uint32_t rows, int lane, typename Format::sum (&sums)[2][n][4]) {
  if constexpr (n_x == 0)
    if (is_single) {
      sum_single(call, ring, rows, lane, sums[0]);
      return;
    }
  sum_pair(call, ring, rows, lane, sums);
}

/* n: eights of rows. `Table` tells apart what is compiled for different GPUs. */
template <class Table, class Format, int n, int n_slots, bool streams_x>
__global__ void __launch_bounds__(stream_threads, n == 1 ? 2 : 1)
    stream_linear(const __grid_constant__ stream_call call) {
  typedef typename Format::sum Sum;
  typedef stream_memory<Format, n_slots, streams_x ? n : 0> memory;
  typedef stream_ring<Format, n_slots, streams_x ? n : 0> ring_type;
  extern __shared__ __align__(128) char shared[];
  dependency_release();
  int lane = lane_of_thread();
  stream_range range(call);
  ring_type ring(call, range, shared_address(shared), lane);
  char *shared_rows = shared + ring.size;
  Sum *partial =
      reinterpret_cast<Sum *>(shared_rows + memory::rows_size(call.n_rows, call.weight.n_in));
  float *row_partial = reinterpret_cast<float *>(reinterpret_cast<char *>(partial) +
                                                 partial_size(call.n_rows, call.n_kept));
  float *row_value = row_partial + stream_warps * call.n_rows;
  stream_rows_of_x of_x = {call.x,      call.n_rows, call.weight.n_in,
                           shared_rows, row_partial, row_value};
  stream_finish<Format> finish(call, range, partial, row_value);
  if (streams_x) {
    dependency_wait();
    ring.fill();
    finish.fetch_residual();
  } else {
    ring.fill();
    stream_norm norm(call.norm, call.weight.n_in, call.eps);
    dependency_wait();
    finish.fetch_residual();
    prepare_rows<Format::input, 8 * n>(of_x, call.prepared, norm);
  }

  if (call.row_scale != nullptr && static_cast<int>(threadIdx.x) < call.n_rows)
    row_value[threadIdx.x] = __ldcg(call.row_scale + threadIdx.x);
  int n_kept = 0;
#pragma unroll 1
  for (int pair = 0; pair < range.n_pairs; pair++) {
    Sum sums[2][n][4] = {};
    sum_tiles(call, ring, range.is_single(call, pair), shared_address(shared_rows), lane, sums);
    keep_sums(sums, call, partial, n_kept);
    if (++n_kept < call.n_kept && pair + 1 < range.n_pairs)
      continue;
    __syncthreads();
    finish.write_pairs(pair + 1 - n_kept, n_kept);
    __syncthreads(); /* the sums have been read */
    n_kept = 0;
  }
}

/* Shared memory of stream_prepare: sums, and a row that registers do not hold. */
constexpr int stream_prepare_sums = 128;

inline size_t stream_prepare_size(int n_in) {
  bool in_registers = n_in <= 8 * stream_chunks_alone * stream_threads;
  return stream_prepare_sums + (in_registers ? 0 : 2 * static_cast<size_t>(n_in));
}

/* One row a block: normalized, and quantized as the products take it, 2 bytes an
   input (int8 codes: 8 in the first half of each 16 bytes), in the order asked for. */
template <class Table, stream_input input, stream_order order>
__global__ void __launch_bounds__(stream_threads, 1)
    stream_prepare(const __nv_bfloat16 *x, const __nv_bfloat16 *norm, float eps, int n_in,
                   uint4 *out, float *row_scale) {
  extern __shared__ __align__(128) char shared[];
  float *partial = reinterpret_cast<float *>(shared), *value = partial + stream_warps;
  dependency_release();
  stream_norm prepared_norm(norm, n_in, eps);
  dependency_wait();
  int64_t at = blockIdx.x;
  stream_rows_of_x row = {x + at * n_in, 1, n_in, shared + stream_prepare_sums, partial, value};
  prepare_row<input, order>(row, prepared_norm, out + at * (n_in / 8));
  if (input != stream_bf16 && threadIdx.x == 0)
    row_scale[at] = *value;
}

#endif
