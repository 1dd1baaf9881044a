/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of x on their way to shared memory: short ones stay in registers until all
   is done, others change in place. The bits are the same. */
#ifndef LLQ_CUDA_STREAM_PREPARE_CUH
#define LLQ_CUDA_STREAM_PREPARE_CUH

#include "backends/cuda/common/stream_input.cuh"

/* What a warp has of n rows, reduced by the tree of warp_sum; a lane gets that of
   row lane / (32 / n). */
template <int n, class T, class Op> __device__ __forceinline__ T reduce_in_warp(T (&v)[n], Op op) {
#pragma unroll
  for (int bit = 16, half = n / 2; bit > 0; bit /= 2, half /= 2) {
    bool upper = threadIdx.x & bit;
    if (half == 0)
      v[0] = op(v[0], __shfl_xor_sync(~0u, v[0], bit));
#pragma unroll
    for (int i = 0; i < half; i++) {
      T kept = upper ? v[i + half] : v[i], sent = upper ? v[i] : v[i + half];
      v[i] = op(kept, __shfl_xor_sync(~0u, sent, bit));
    }
  }
  return v[0];
}

/* And what the block has of them, in the order of gather_partial; alike in every
   warp. */
template <int n, class T, class Op>
__device__ __forceinline__ T reduce_in_block(const stream_rows_of_x &rows, T (&v)[n], Op op) {
  constexpr int n_lanes = 32 / n;
  T *partial = reinterpret_cast<T *>(rows.partial), of_warp = reduce_in_warp(v, op);
  int lane = threadIdx.x % 32, row = lane / n_lanes;
  if (lane % n_lanes == 0 && row < rows.n_rows)
    partial[row * stream_warps + threadIdx.x / 32] = of_warp;
  __syncthreads();
  const T *from = partial + (row < rows.n_rows ? row : 0) * stream_warps + lane % 4;
  T all = op(from[0], from[4]);
  all = op(all, __shfl_xor_sync(~0u, all, 2));
  return op(all, __shfl_xor_sync(~0u, all, 1));
}

/* What a lane has of a row, to all. */
template <int n> __device__ __forceinline__ float of_row(float v, int row) {
  return n == 1 ? v : __shfl_sync(~0u, v, row * (32 / n));
}

/* Up to n_most rows of n chunks a thread. */
template <int n_most, int n> struct stream_short_rows {
  static_assert(n_most <= 8, "a lane reduces one row");
  const stream_rows_of_x &rows;
  uint4 x[n_most][n] = {};

  template <class Action> __device__ __forceinline__ void each_row(Action action) {
#pragma unroll
    for (int row = 0; row < n_most; row++)
      if (n_most == 1 || row < rows.n_rows)
        action(row);
  }

  template <class Action> __device__ __forceinline__ void each_chunk(Action action) {
    each_row([&](int row) {
#pragma unroll
      for (int i = 0; i < n; i++) {
        int chunk = static_cast<int>(threadIdx.x) + i * stream_threads;
        if (chunk < rows.n_in / 8)
          action(row, chunk, x[row][i]);
      }
    });
  }

  __device__ __forceinline__ explicit stream_short_rows(const stream_rows_of_x &rows) : rows(rows) {
    const uint4 *from = reinterpret_cast<const uint4 *>(rows.x);
    int n_chunks = rows.n_in / 8;
    each_chunk([&](int row, int chunk, uint4 &v) { v = __ldcg(from + row * n_chunks + chunk); });
  }

  __device__ __forceinline__ void normalize(const stream_norm &norm) {
    float squares[n_most] = {};
    each_row([&](int row) {
#pragma unroll
      for (int i = 0; i < n; i++)
        add_squares(squares[row], x[row][i]);
    });
    float sum = reduce_in_block(rows, squares, [](float a, float b) { return a + b; });
    float factors = norm_factor(sum, rows.n_in, norm.eps);
    each_row([&](int row) {
      float factor = of_row<n_most>(factors, row);
#pragma unroll
      for (int i = 0; i < n; i++) {
        int chunk = static_cast<int>(threadIdx.x) + i * stream_threads;
        if (i < stream_norm::n_ahead)
          x[row][i] = normalized(x[row][i], norm.ahead[i], factor);
        else if (chunk < rows.n_in / 8)
          x[row][i] = normalized(x[row][i], __ldg(norm.weight + chunk), factor);
      }
    });
  }

  /* One row, by its scale, which is left in rows.value. */
  template <stream_input input> __device__ __forceinline__ void quantize() {
    static_assert(n_most == 1, "one row");
    __nv_bfloat162 peak = as_bf16(0);
#pragma unroll
    for (int i = 0; i < n; i++)
      peak = larger(peak, x[0][i]);
    uint32_t bits[1] = {larger_half(peak)};
    __syncthreads(); /* the squares have been read */
    bits[0] = reduce_in_block(rows, bits, [](uint32_t a, uint32_t b) { return max(a, b); });
    float scale = input_scale<input>(__uint_as_float(bits[0] << 16));
    stream_divisor divisor(scale);
#pragma unroll
    for (int i = 0; i < n; i++)
      x[0][i] = quantized<input>(divisor, x[0][i]);
    if (threadIdx.x == 0)
      rows.value[0] = scale;
  }
};

template <stream_input input, int n_most, int n, class Store>
__device__ __forceinline__ void prepare_in_registers(const stream_rows_of_x &rows,
                                                     const stream_norm &norm, Store store) {
  stream_short_rows<n_most, n> in_registers(rows);
  if (norm.weight != nullptr)
    in_registers.normalize(norm);
  if constexpr (input != stream_bf16)
    in_registers.template quantize<input>();
  in_registers.each_chunk(store);
}

template <stream_input input>
__device__ __forceinline__ void prepare_in_shared(const stream_rows_of_x &rows,
                                                  const stream_norm &norm) {
  load_rows(rows);
  if (norm.weight != nullptr)
    normalize_rows(rows, norm);
  if constexpr (input != stream_bf16)
    quantize_rows<input>(rows);
}

/* Inputs of a short row. */
constexpr int stream_short = 8 * stream_norm::n_ahead * stream_threads;

/* All of it, or only the loads if x is prepared; rows.shared is complete for every
   thread afterwards. n_most: of rows.n_rows. Code that runs once must be fetched
   first, so that quantizing more rows than one in registers does not pay. */
template <stream_input input, int n_most>
__device__ __forceinline__ void prepare_rows(const stream_rows_of_x &rows, bool prepared,
                                             const stream_norm &norm) {
  constexpr int n = stream_norm::n_ahead;
  bool is_short = n_most == 8 && rows.n_in <= stream_short;
  auto store = [&](int row, int chunk, uint4 v) { *chunk_of(rows, row, chunk) = v; };
  if (input != stream_bf16 && prepared)
    load_rows(rows);
  else if (is_short && rows.n_rows == 1)
    prepare_in_registers<input, 1, n>(rows, norm, store);
  else if (is_short && input == stream_bf16)
    prepare_in_registers<stream_bf16, 8, n>(rows, norm, store);
  else
    prepare_in_shared<input>(rows, norm);
  __syncthreads();
}

/* Chunks of a thread, up to which a block that has one row only has it in registers. */
constexpr int stream_chunks_alone = 8;

/* Where a pair of inputs, one of four in one of a block's eight chunks, lies if the
   first 16 inputs are to be those that a format's lanes take first, and so on, in the
   order in which matrix instructions take 16 from memory: lane t has pairs t and t + 4. */
template <stream_order order> __device__ __forceinline__ int place_of(int chunk, int pair) {
  if (order == stream_in_order)
    return 4 * chunk + pair;
  int lane = order == stream_by_sixteens ? chunk / 2 : chunk % 4;
  int sixteen = 2 * (order == stream_by_sixteens ? chunk % 2 : chunk / 4) + pair / 2;
  return 8 * sixteen + lane + pair % 2 * 4;
}

template <stream_order order>
__device__ __forceinline__ void store_chunk(uint4 *row, int chunk, uint4 v) {
  if (order == stream_in_order) {
    row[chunk] = v;
    return;
  }
  uint32_t pairs[4], *block = reinterpret_cast<uint32_t *>(row + chunk / 8 * 8);
  store_four(v, pairs);
#pragma unroll
  for (int i = 0; i < 4; i++)
    block[place_of<order>(chunk % 8, i)] = pairs[i];
}

/* One row, to global memory. */
template <stream_input input, stream_order order>
__device__ __forceinline__ void prepare_row(const stream_rows_of_x &row, const stream_norm &norm,
                                            uint4 *out) {
  constexpr int n = stream_norm::n_ahead, n_most = stream_chunks_alone;
  auto store = [=](int, int chunk, uint4 v) { store_chunk<order>(out, chunk, v); };
  if (row.n_in <= stream_short) {
    prepare_in_registers<input, 1, n>(row, norm, store);
  } else if (row.n_in <= 8 * n_most * stream_threads) {
    prepare_in_registers<input, 1, n_most>(row, norm, store);
  } else {
    prepare_in_shared<input>(row, norm);
    for (int chunk = threadIdx.x; chunk < row.n_in / 8; chunk += stream_threads)
      store_chunk<order>(out, chunk, *chunk_of(row, 0, chunk));
  }
}

#endif
