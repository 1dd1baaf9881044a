/* SPDX-License-Identifier: Apache-2.0 */
/* Linears of few rows: weights stream through shared memory once, at the rate of
   device memory; x stays there.

   One block a multiprocessor takes a range of tiles of 16 outputs, two at a time.
   Its eight warps share the inputs: warp w multiplies blocks w, w + 8, ... of 64
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
  void *out;
  float eps;
  int n_rows, n_out, n_tiles, swiglu, out_f32;
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

/* A warp's ring: one slot holds a block of 64 inputs of a pair of tiles. */
template <class Format, int n_slots> class stream_ring {
public:
  __device__ __forceinline__ stream_ring(const stream_call &call, const stream_range &range,
                                         uint32_t shared)
      : call(call), range(range), lane(threadIdx.x % 32), block(threadIdx.x / 32),
        begin(shared + threadIdx.x / 32 * n_slots * slot_size),
        first(call.weight, range.tile(call, 0), lane),
        second(call.weight, range.tile(call, 0) + range.second, lane) {
    if (block >= call.weight.n_blocks)
      pair = range.n_pairs; /* nothing for this warp */
    for (int i = 0; i < n_slots; i++)
      push();
  }

  /* The slot of the next block, complete. */
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

  static constexpr int slot_size = 2 * Format::n_bytes;
  static constexpr int size = stream_warps * n_slots * slot_size;

private:
  __device__ __forceinline__ void push() {
    if (pair < range.n_pairs) {
      first.copy(call.weight, block, lane, begin + at);
      if (range.has_second(call, pair))
        second.copy(call.weight, block, lane, begin + at + Format::n_bytes);
      block += stream_warps;
      if (block >= call.weight.n_blocks)
        next_pair();
    }
    copy_commit();
    at = at == (n_slots - 1) * slot_size ? 0 : at + slot_size;
  }

  __device__ __forceinline__ void next_pair() {
    pair++;
    block = threadIdx.x / 32;
    int tile = range.tile(call, pair);
    first = typename Format::source(call.weight, tile, lane);
    second = typename Format::source(call.weight, tile + range.second, lane);
  }

  const stream_call &call;
  const stream_range &range;
  int lane, block, pair = 0;
  uint32_t begin, at = 0;
  typename Format::source first, second;
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

template <class Sum> __device__ __forceinline__ Sum collect(const Sum *partial, int warp_stride) {
  Sum sum = 0;
#pragma unroll
  for (int i = 0; i < stream_warps; i++)
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
    if (call.residual != nullptr)
      y = load(call.residual, at) + round_to(LLQ_BF16, y);
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

/* Shared memory, in this order. */
template <class Format, int n_slots> struct stream_memory {
  static constexpr int n_spare_rows = 15; /* of x: read, but not used */

  static size_t rows_size(int n_rows, int64_t n_in) {
    return 2 * static_cast<size_t>(n_rows * n_in) + 128 * n_spare_rows;
  }

  static size_t size(int n_rows, int64_t n_in) {
    size_t partial = static_cast<size_t>(n_rows) * stream_warps * 2 * partial_stride * 4;
    size_t row_values = static_cast<size_t>(n_rows) * (2 * stream_warps + 1) * 4;
    return stream_ring<Format, n_slots>::size + rows_size(n_rows, n_in) + partial + row_values;
  }
};

/* n: eights of rows. `Table` tells apart what is compiled for different GPUs. */
template <class Table, class Format, int n, int n_slots>
__global__ void __launch_bounds__(stream_threads, 2)
    stream_linear(const __grid_constant__ stream_call call) {
  typedef typename Format::sum Sum;
  extern __shared__ __align__(128) char shared[];
  dependency_release();
  stream_range range(call);
  stream_ring<Format, n_slots> ring(call, range, shared_address(shared));

  char *shared_rows = shared + ring.size;
  Sum *partial = reinterpret_cast<Sum *>(shared_rows + call.n_rows * call.weight.n_in * 2 +
                                         128 * stream_memory<Format, n_slots>::n_spare_rows);
  int tile_stride = call.n_rows * partial_stride;
  float *row_values = reinterpret_cast<float *>(partial + stream_warps * 2 * tile_stride);
  float *row_scale = row_values + 2 * stream_warps * call.n_rows;
  dependency_wait();
  prepare_rows<Format::input>({call.x, call.n_rows, call.weight.n_in, shared_rows, row_values,
                               row_scale},
                              call.norm, call.eps);

  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  uint32_t rows = shared_address(shared_rows);
  stream_finish<Format> finish(call, partial, row_scale);
  for (int pair = 0; pair < range.n_pairs; pair++) {
    bool has_second = range.has_second(call, pair);
    Sum sums[2][n][4] = {};
    for (int block = warp; block < call.weight.n_blocks; block += stream_warps) {
      uint32_t slot = ring.front();
      typename Format::fragment first(call.weight, block, slot, lane);
      typename Format::fragment second(call.weight, block, slot + Format::n_bytes, lane);
      ring.replace();
      uint32_t x[n][8];
#pragma unroll
      for (int i = 0; i < n; i++)
        Format::inputs(rows + 128 * (block * call.n_rows + 8 * i), lane, x[i]);
      Format::multiply(first, x, sums[0]);
      if (has_second)
        Format::multiply(second, x, sums[1]);
    }
    __syncthreads(); /* the sums of the pair before have been read */
    leave_sums(sums[0], call.n_rows, partial + 2 * warp * tile_stride);
    leave_sums(sums[1], call.n_rows, partial + (2 * warp + 1) * tile_stride);
    __syncthreads();
    int tile = range.tile(call, pair);
    int n_items = call.n_rows * (call.swiglu ? 16 : 32);
    for (int item = threadIdx.x; item < n_items; item += stream_threads) {
      stream_output o = output_of(call, item);
      if (o.tile == 0 || has_second)
        finish.write(o, tile * tile_outputs, (tile + range.second) * tile_outputs);
    }
  }
}

#endif
