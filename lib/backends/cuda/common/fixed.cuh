/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 of few rows with x as integers (fixed_input.cuh): as in stream.cuh, but the
   codes go into integer products as they are, 4 bits of a byte, and a block's sum is
   multiplied by its scale and by x's power of two. That is half the instructions; and a
   weight is its code times its scale, not rounded to bf16. */
#ifndef LLQ_CUDA_FIXED_CUH
#define LLQ_CUDA_FIXED_CUH

#include "backends/cuda/common/fixed_input.cuh"
#include "backends/cuda/common/stream.cuh"

template <bool has_zero> struct fixed_int4 : stream_int4<has_zero> {
  static constexpr float unit = 1; /* codes count as integers here */
};

/* What of a block of x a lane multiplies: two halves of a row's integers, as columns
   2 r and 2 r + 1 of 8, and the unit and the sum of row lane % 4. Lanes without a row
   take the last one's. */
struct fixed_operand {
  uint32_t column, side; /* from the beginning of a block */

  __device__ __forceinline__ fixed_operand(int n_rows, int lane)
      : column(64 * min(lane / 4, 2 * n_rows - 1) + 16 * (lane % 4)),
        side(128 * n_rows + 8 * min(lane % 4, n_rows - 1)) {
  }
};

struct fixed_block {
  uint32_t x[4];
  float unit;
  int sum;

  __device__ __forceinline__ void load(const fixed_operand &at, uint32_t from) {
    store_four(load_shared_16(from + at.column), x);
    uint2 side = load_shared_8(from + at.side);
    unit = __uint_as_float(side.x);
    sum = static_cast<int>(side.y);
  }
};

/* Of a tile: for outputs lane / 4 and, times 16, lane / 4 + 8, of row lane % 4. */
typedef float fixed_sums[2];

/* w: of fixed_int4. A zero point is 136 and more in bf16: its low bits are 8 and
   more, as codes begin at 0. Codes of outputs + 8 stay in the high half of bytes. */
template <class Fragment>
__device__ __forceinline__ void add_fixed(const Fragment &w, const fixed_block &x,
                                          fixed_sums &sums) {
  float scale[] = {low_half(w.scale), high_half(w.scale)};
  int zero[] = {static_cast<int>(w.zero & 0x7f), static_cast<int>(w.zero >> 12 & 0x7f0)};
  int products[4] = {};
#pragma unroll
  for (int i = 0; i < 4; i += 2)
    multiply_u8(products,
                {w.words[i] & 0x0f0f0f0f, w.words[i] & 0xf0f0f0f0, w.words[i + 1] & 0x0f0f0f0f,
                 w.words[i + 1] & 0xf0f0f0f0},
                x.x[i], x.x[i + 1]);
#pragma unroll
  for (int j = 0; j < 2; j++) {
    int product = 256 * products[2 * j] + products[2 * j + 1] - zero[j] * x.sum;
    sums[j] = fmaf(static_cast<float>(product), scale[j] * x.unit, sums[j]);
  }
}

/* Blocks `first`, first + 8, ... of a pair, n_blocks at a time. */
template <int n_blocks, class Format, int n_slots>
__device__ __forceinline__ void
add_fixed_blocks(const stream_call &call, stream_ring<Format, n_slots, 0> &ring, int first,
                 uint32_t rows, const fixed_operand &at, int lane, fixed_sums (&sums)[2]) {
  int block_size = fixed_block_size(call.n_rows);
  uint32_t slots[n_blocks];
  fixed_block x[n_blocks];
  ring.front(slots);
#pragma unroll
  for (int b = 0; b < n_blocks; b++)
    x[b].load(at, rows + block_size * (first + stream_warps * b));
#pragma unroll
  for (int b = 0; b < n_blocks; b++) {
    int block = first + stream_warps * b;
#pragma unroll
    for (int tile = 0; tile < 2; tile++)
      add_fixed(typename Format::fragment(call.weight, block, tile, slots[b], lane), x[b],
                sums[tile]);
  }
  ring.template replace<n_blocks>();
}

/* The blocks of a single tile. */
template <class Format, int n_slots>
__device__ __forceinline__ void
add_fixed_single(const stream_call &call, stream_ring<Format, n_slots, 0> &ring, uint32_t rows,
                 const fixed_operand &at, int lane, fixed_sums &sums) {
  int block_size = fixed_block_size(call.n_rows);
#pragma unroll 1
  for (int block = threadIdx.x / 32; block < call.weight.n_blocks; block += 2 * stream_warps) {
    uint32_t slots[1];
    fixed_block x[2];
    ring.front(slots);
#pragma unroll
    for (int half = 0; half < 2; half++)
      x[half].load(at, rows + block_size * (block + stream_warps * half));
#pragma unroll
    for (int half = 0; half < 2; half++)
      add_fixed(
          typename Format::fragment(call.weight, block + stream_warps * half, half, slots[0], lane),
          x[half], sums);
    ring.template replace<1>();
  }
}

template <class Format, int n_slots>
__device__ __forceinline__ void
add_fixed_pair(const stream_call &call, stream_ring<Format, n_slots, 0> &ring, uint32_t rows,
               const fixed_operand &at, int lane, fixed_sums (&sums)[2]) {
  int block = threadIdx.x / 32, n_blocks = call.weight.n_blocks;
#pragma unroll 1
  for (; block + stream_warps < n_blocks; block += 2 * stream_warps)
    add_fixed_blocks<2>(call, ring, block, rows, at, lane, sums);
#pragma unroll 1
  for (; block < n_blocks; block += stream_warps)
    add_fixed_blocks<1>(call, ring, block, rows, at, lane, sums);
}

/* A warp's sums of the i-th pair kept. */
__device__ __forceinline__ void keep_fixed(const fixed_sums (&sums)[2], const stream_call &call,
                                           float *partial, int i, int lane) {
  int row = lane % 4;
  if (row >= call.n_rows)
    return;
  partial += 2 * (stream_warps * i + threadIdx.x / 32) * call.n_rows * partial_stride;
#pragma unroll
  for (int tile = 0; tile < 2; tile++) {
    float *to = partial + (tile * call.n_rows + row) * partial_stride + lane / 4;
    to[0] = sums[tile][0];
    to[8] = sums[tile][1] * 0.0625f;
  }
}

/* Shared memory, in this order. */
template <class Format, int n_slots> struct fixed_memory {
  static __host__ __device__ size_t rows_size(int n_rows, int64_t n_in) {
    return static_cast<size_t>(n_in / tile_inputs * fixed_block_size(n_rows));
  }

  static size_t size(int n_rows, int64_t n_in, int n_kept) {
    return stream_ring<Format, n_slots, 0>::size + rows_size(n_rows, n_in) +
           partial_size(n_rows, n_kept) + static_cast<size_t>(n_rows) * stream_warps * 4;
  }
};

/* Up to four rows. `Table` tells apart what is compiled for different GPUs. */
template <class Table, class Format, int n_slots>
__global__ void __launch_bounds__(stream_threads, 2)
    fixed_linear(const __grid_constant__ stream_call call) {
  typedef fixed_memory<Format, n_slots> memory;
  extern __shared__ __align__(128) char shared[];
  dependency_release();
  int lane = lane_of_thread();
  stream_range range(call);
  stream_ring<Format, n_slots, 0> ring(call, range, shared_address(shared), lane);
  char *shared_rows = shared + ring.size;
  float *partial =
      reinterpret_cast<float *>(shared_rows + memory::rows_size(call.n_rows, call.weight.n_in));
  float *squares = reinterpret_cast<float *>(reinterpret_cast<char *>(partial) +
                                             partial_size(call.n_rows, call.n_kept));
  ring.fill();
  fixed_norm norm(call.norm, call.weight.n_in, call.eps);
  stream_finish<Format> finish(call, range, partial, nullptr);
  fixed_operand at(call.n_rows, lane);
  dependency_wait();
  finish.fetch_residual();
  fix_rows({call.x, call.n_rows, call.weight.n_in, shared_rows, squares}, norm);

  int n_kept = 0;
#pragma unroll 1
  for (int pair = 0; pair < range.n_pairs; pair++) {
    fixed_sums sums[2] = {};
    if (range.is_single(call, pair))
      add_fixed_single(call, ring, shared_address(shared_rows), at, lane, sums[0]);
    else
      add_fixed_pair(call, ring, shared_address(shared_rows), at, lane, sums);
    keep_fixed(sums, call, partial, n_kept, lane);
    if (++n_kept < call.n_kept && pair + 1 < range.n_pairs)
      continue;
    __syncthreads();
    finish.write_pairs(pair + 1 - n_kept, n_kept);
    __syncthreads(); /* the sums have been read */
    n_kept = 0;
  }
}

#endif
