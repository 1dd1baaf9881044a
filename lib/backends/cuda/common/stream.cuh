/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of few rows: weights stream through shared memory once, at the rate of
   device memory; x stays there, or streams along where it is too large.

   One block a multiprocessor takes a range of tiles of 16 outputs, two at a time.
   Its warps share the inputs: warp w multiplies blocks w, w + 16, ... of 64
   inputs, and each has a ring of its own in shared memory, filled by asynchronous
   copies in which a lane brings what the same lane multiplies, so that no warp
   waits for another within a pair of tiles. Then the warps' sums are added in
   order. That order depends on n_in alone: neither the number of rows nor the
   table, the grid or the depth of the ring changes a bit of a row's result.

   As a dependent launch a block fills its ring while the kernel before it still
   runs, and waits only then for x. */
#ifndef LLQ_CUDA_STREAM_CUH
#define LLQ_CUDA_STREAM_CUH

#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/common/stream_weight.cuh"

struct stream_call {
  stream_weight weight;
  const __nv_bfloat16 *x, *norm, *residual;
  const float *row_scale; /* of x prepared before, by stream_prepare */
  void *out;
  float eps;
  int n_rows, n_out, n_tiles, swiglu, out_f32, prepared;
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
};

/* A warp's ring. A slot holds a block of 64 inputs of a tile, or of both tiles of
   a pair if the format is paired; and with n_x > 0 also those inputs of 8 n_x
   rows of x, with the first tile. */
template <class Format, int n_slots, int n_x> class stream_ring {
public:
  __device__ __forceinline__ stream_ring(const stream_call &call, const stream_range &range,
                                         uint32_t shared)
      : call(call), range(range), lane(threadIdx.x % 32), block(threadIdx.x / 32),
        begin(shared + threadIdx.x / 32 * n_slots * slot_size),
        source(call.weight, range.tile(call, 0), range.second, lane) {
    if (block >= call.weight.n_blocks)
      pair = range.n_pairs; /* nothing for this warp */
  }

  __device__ __forceinline__ void fill() {
    for (int i = 0; i < n_slots; i++)
      push();
  }

  /* The next slot, complete. */
  __device__ __forceinline__ uint32_t front() const {
    copy_wait<n_slots - 1>();
    __syncwarp();
    return begin + at;
  }

  /* After the warp has read the front slot: it is filled again. */
  __device__ __forceinline__ void replace() {
    __syncwarp();
    push();
  }

  static constexpr int x_offset = (Format::n_bytes + 127) / 128 * 128;
  static constexpr int slot_size = (n_x > 0 ? x_offset : Format::n_bytes) + 1024 * n_x;
  static constexpr int size = stream_warps * n_slots * slot_size;

private:
  __device__ __forceinline__ void push() {
    if (pair < range.n_pairs) {
      uint32_t to = begin + at;
      bool has_second = range.has_second(call, pair);
      if (n_x > 0 && !at_second)
        copy_inputs(to + x_offset);
      source.copy(call.weight, block, lane, Format::paired ? has_second : at_second, to);
      at_second = !Format::paired && has_second && !at_second;
      if (!at_second)
        next_block();
    }
    copy_commit();
    at = at == (n_slots - 1) * slot_size ? 0 : at + slot_size;
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
    block += stream_warps;
    if (block < call.weight.n_blocks)
      return;
    block = threadIdx.x / 32;
    pair++;
    source = typename Format::source(call.weight, range.tile(call, pair), range.second, lane);
  }

  const stream_call &call;
  const stream_range &range;
  int lane, block, pair = 0;
  bool at_second = false;
  uint32_t begin, at = 0;
  typename Format::source source;
};

/* Where warps leave their sums: [warp][tile of the pair][row][partial_stride]. */
constexpr int partial_stride = 20; /* 16 outputs, in distinct banks */

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

/* The same lane's sums of another warp. */
template <class Sum, int n>
__device__ __forceinline__ void add_sums(Sum (&sums)[n][4], int n_rows, const Sum *from) {
  int output = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int i = 0; i < n; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int row = 8 * i + column + (j & 1);
      if (row < n_rows)
        sums[i][j] += from[row * partial_stride + output + 8 * (j >> 1)];
    }
}

/* The upper half of the warps hand theirs to the lower half, which add and leave
   them for collect(). */
template <class Sum, int n>
__device__ __forceinline__ void share_sums(Sum (&sums)[2][n][4], int n_rows, Sum *partial) {
  constexpr int half = stream_warps / 2;
  int warp = threadIdx.x / 32, stride = n_rows * partial_stride;
  Sum *own = partial + 2 * (warp % half) * stride;
  __syncthreads(); /* the sums of the pair before have been read */
  for (int part = 1; part >= 0; part--) {
    if (warp / half == part)
      for (int tile = 0; tile < 2; tile++) {
        if (part == 0)
          add_sums(sums[tile], n_rows, own + tile * stride);
        leave_sums(sums[tile], n_rows, own + tile * stride);
      }
    __syncthreads();
  }
}

template <class Sum> __device__ __forceinline__ Sum collect(const Sum *partial, int warp_stride) {
  Sum sum = 0;
#pragma unroll
  for (int i = 0; i < stream_warps / 2; i++)
    sum += partial[i * warp_stride];
  return sum;
}

/* An output that a thread finishes: `tile` is 0 or 1 of the pair. */
struct stream_output {
  int row, tile, index;
};

__device__ __forceinline__ stream_output output_of(const stream_call &call, int item) {
  int tile = call.swiglu ? 0 : item / 16 % 2;
  return {item / (call.swiglu ? 16 : 32), tile, item % 16};
}

/* From the sums of a pair to what the call writes. */
template <class Format> class stream_finish {
public:
  typedef typename Format::sum Sum;

  __device__ __forceinline__ stream_finish(const stream_call &call, const Sum *partial,
                                           const float *row_scale)
      : call(call), partial(partial), row_scale(row_scale) {}

  __device__ __forceinline__ void write(const stream_output &o, int first_output,
                                        int second_output) const {
    int first = first_output + o.index, second = second_output + o.index;
    float y = product(o.row, o.tile, o.index, o.tile == 0 ? first : second);
    int64_t at = static_cast<int64_t>(o.row) * (call.swiglu ? call.n_out / 2 : call.n_out) +
                 (o.tile == 0 ? first : second);
    if (call.out_f32) {
      static_cast<float *>(call.out)[at] = y;
      return;
    }
    if (call.swiglu) {
      float gate = round_to(LLQ_BF16, y);
      float up = round_to(LLQ_BF16, product(o.row, 1, o.index, second));
      y = gate / (1.0f + expf(-gate)) * up;
    }
    if (call.residual != nullptr) /* through L2, as x */
      y = __bfloat162float(__ldcg(call.residual + at)) + round_to(LLQ_BF16, y);
    store(static_cast<__nv_bfloat16 *>(call.out), at, y);
  }

private:
  __device__ __forceinline__ float product(int row, int tile, int index, int output) const {
    int tile_stride = call.n_rows * partial_stride;
    const Sum *at = partial + tile * tile_stride + row * partial_stride + index;
    float sum = static_cast<float>(collect(at, 2 * tile_stride)) * Format::unit;
    if (!Format::scaled)
      return sum;
    return sum * row_scale[row] *
           load(reinterpret_cast<const __nv_bfloat16 *>(call.weight.scale), output);
  }

  const stream_call &call;
  const Sum *partial;
  const float *row_scale;
};

/* Shared memory, in this order; n_x as in stream_ring. */
template <class Format, int n_slots, int n_x> struct stream_memory {
  static constexpr int n_spare_rows = 15; /* of x: read, but not used */

  static __host__ __device__ size_t rows_size(int n_rows, int64_t n_in) {
    return n_x > 0 ? 0 : 2 * static_cast<size_t>(n_rows * n_in) + 128 * n_spare_rows;
  }

  static __host__ __device__ size_t partial_size(int n_rows) {
    return static_cast<size_t>(n_rows) * stream_warps * partial_stride * 4;
  }

  static size_t size(int n_rows, int64_t n_in) {
    size_t row_values = static_cast<size_t>(n_rows) * (stream_warps + 1) * 4;
    return stream_ring<Format, n_slots, n_x>::size + rows_size(n_rows, n_in) +
           partial_size(n_rows) + row_values;
  }
};

__device__ __forceinline__ uint4 first_norm_chunk(const __nv_bfloat16 *norm, int n_in) {
  if (norm == nullptr || static_cast<int>(threadIdx.x) >= n_in / 8)
    return {};
  return reinterpret_cast<const uint4 *>(norm)[threadIdx.x];
}

/* This warp's share of a pair's sums. `rows`: of x, unless it is in the ring. */
template <class Format, int n_slots, int n_x, int n>
__device__ __forceinline__ void sum_pair(const stream_call &call,
                                         stream_ring<Format, n_slots, n_x> &ring, uint32_t rows,
                                         bool has_second, typename Format::sum (&sums)[2][n][4]) {
  typedef typename Format::fragment fragment;
  int lane = threadIdx.x % 32;
  for (int block = threadIdx.x / 32; block < call.weight.n_blocks; block += stream_warps) {
    uint32_t slot = ring.front(), x[n][8];
    uint32_t inputs = n_x > 0 ? slot + ring.x_offset : rows + 128 * block * call.n_rows;
    fragment first(call.weight, block, 0, slot, lane);
#pragma unroll
    for (int i = 0; i < n; i++)
      Format::inputs(inputs + 1024 * i, lane, x[i]);
    if (Format::paired) {
      fragment second(call.weight, block, 1, slot, lane);
      ring.replace();
      Format::multiply(first, x, sums[0]);
      if (has_second)
        Format::multiply(second, x, sums[1]);
      continue;
    }
    ring.replace();
    Format::multiply(first, x, sums[0]);
    if (has_second) {
      fragment second(call.weight, block, 1, ring.front(), lane);
      ring.replace();
      Format::multiply(second, x, sums[1]);
    }
  }
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
  stream_range range(call);
  ring_type ring(call, range, shared_address(shared));
  char *shared_rows = shared + ring.size;
  Sum *partial =
      reinterpret_cast<Sum *>(shared_rows + memory::rows_size(call.n_rows, call.weight.n_in));
  float *row_partial = reinterpret_cast<float *>(reinterpret_cast<char *>(partial) +
                                                 memory::partial_size(call.n_rows));
  float *row_value = row_partial + stream_warps * call.n_rows;
  stream_rows_of_x of_x = {call.x, call.n_rows, call.weight.n_in, shared_rows, row_partial,
                           row_value};
  if (streams_x) {
    dependency_wait();
    ring.fill();
  } else {
    uint4 norm = first_norm_chunk(call.norm, call.weight.n_in);
    ring.fill();
    dependency_wait();
    prepare_rows<Format::input>(of_x, call.prepared, reinterpret_cast<const uint4 *>(call.norm),
                                norm, call.eps);
  }

  if (call.row_scale != nullptr && static_cast<int>(threadIdx.x) < call.n_rows)
    row_value[threadIdx.x] = __ldcg(call.row_scale + threadIdx.x);
  stream_finish<Format> finish(call, partial, row_value);
  for (int pair = 0; pair < range.n_pairs; pair++) {
    bool has_second = range.has_second(call, pair);
    Sum sums[2][n][4] = {};
    sum_pair(call, ring, shared_address(shared_rows), has_second, sums);
    share_sums(sums, call.n_rows, partial);
    int tile = range.tile(call, pair);
    int n_items = call.n_rows * (call.swiglu ? 16 : 32);
    for (int item = threadIdx.x; item < n_items; item += stream_threads) {
      stream_output o = output_of(call, item);
      if (o.tile == 0 || has_second)
        finish.write(o, tile * tile_outputs, (tile + range.second) * tile_outputs);
    }
  }
}

/* One row a block: normalized, and quantized as the products take it, 2 bytes an
   input (int8 codes: 8 in the first half of each 16 bytes). */
template <class Table, stream_input input>
__global__ void __launch_bounds__(stream_threads, 1)
    stream_prepare(const __nv_bfloat16 *x, const __nv_bfloat16 *norm, float eps, int n_in,
                   uint4 *out, float *row_scale) {
  extern __shared__ __align__(128) char shared[];
  float *partial = reinterpret_cast<float *>(shared + 2 * n_in), *value = partial + stream_warps;
  dependency_release();
  uint4 first = first_norm_chunk(norm, n_in);
  dependency_wait();
  int64_t row = blockIdx.x;
  stream_rows_of_x rows = {x + row * n_in, 1, n_in, shared, partial, value};
  prepare_rows<input>(rows, false, reinterpret_cast<const uint4 *>(norm), first, eps);
  for (int chunk = threadIdx.x; chunk < n_in / 8; chunk += stream_threads)
    out[row * (n_in / 8) + chunk] = *chunk_of(rows, 0, chunk);
  if (input != stream_bf16 && threadIdx.x == 0)
    row_scale[row] = *value;
}

#endif
