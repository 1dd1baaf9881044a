/* SPDX-License-Identifier: Apache-2.0 */
/* One block's product: n_outs outputs by n_rows rows, 64 inputs a stage. Weights
   are operand A: from shared memory to bf16 registers, x is operand B. Eight
   warps divide the block's outputs and rows; each holds its sums in registers. */
#ifndef LLQ_CUDA_SM80_MIXED_KERNEL_CUH
#define LLQ_CUDA_SM80_MIXED_KERNEL_CUH

#include "backends/cuda/common/groups.cuh"
#include "backends/cuda/common/vector.cuh"
#include "backends/cuda/sm80/mixed_weight.cuh"

namespace {

constexpr int mixed_threads = 256;
constexpr int mixed_stages = 4;
constexpr int mixed_inputs = 64;

struct mixed_arguments {
  cuda_linear w;
  const void *x;
  const float *row_scale; /* for weights whose sums are scaled */
  const void *residual;
  void *out;
  int n_rows, n_splits, swiglu;
  uint32_t group_factor; /* for group_at() */
  float4 *partial; /* sums of a block's splits, if there are several */
  unsigned *n_done; /* for each block, 0 at first and at the end */
};

template <class W, int n_outs, int n_rows>
struct mixed_block {
  static constexpr int warps_across_outs = 4;
  static constexpr int warps_across_rows = 2;
  static constexpr int tiles = n_outs / 16;
  static constexpr int warp_tiles = tiles / warps_across_outs;          /* of 16 outputs */
  static constexpr int warp_columns = n_rows / warps_across_rows / 8;   /* of 8 rows */
  static constexpr int codes_bytes = n_outs * W::row_bytes;
  static constexpr int x_bytes = n_rows * mixed_inputs * 2;
  static constexpr int stage_bytes = codes_bytes + x_bytes;
  static constexpr int out_stride = n_outs + 8; /* of results in shared memory */
  static constexpr int shared_bytes = mixed_stages * stage_bytes;
  static_assert(n_rows * out_stride * 2 <= shared_bytes, "results fit where the stages were");

  const mixed_arguments &p;
  uint32_t shared;
  int lane, warp_out, warp_row; /* of the block: first tile, first row of the warp */
  int first_row;
  int64_t n_cols; /* of out */
  float sums[warp_tiles][warp_columns][4];

  __device__ __forceinline__ mixed_block(const mixed_arguments &arguments, uint32_t memory)
      : p(arguments), shared(memory) {
    const int warp = threadIdx.x / 32;
    lane = threadIdx.x % 32;
    warp_out = warp % warps_across_outs * warp_tiles;
    warp_row = warp / warps_across_outs * (warp_columns * 8);
    first_row = blockIdx.x * n_rows;
    n_cols = p.swiglu ? p.w.n_out / 2 : p.w.n_out;
#pragma unroll
    for (int i = 0; i < warp_tiles; i++)
#pragma unroll
      for (int j = 0; j < warp_columns; j++)
#pragma unroll
        for (int k = 0; k < 4; k++)
          sums[i][j][k] = 0;
  }

  /* The weight's row of tiles that the block's tile i is: with SwiGLU half of
     them are gates, the other half their ups. Beyond the end: the last one,
     whose results nobody stores. */
  __device__ __forceinline__ int tile_row(int i) const {
    const int last = static_cast<int>(n_cols / 16) - 1;
    if (!p.swiglu)
      return min(static_cast<int>(blockIdx.y) * tiles + i, last);
    const int half = tiles / 2, row = min(static_cast<int>(blockIdx.y) * half + i % half, last);
    return i < half ? row : static_cast<int>(n_cols / 16) + row;
  }

  /* Rows of 128 bytes in shared memory are eight chunks, permuted so that what a
     warp loads at a time lies in all banks. */
  static __device__ __forceinline__ uint32_t x_offset(int row, int chunk) {
    return row * 128 + (chunk ^ (W::fours ? (row & 3) << 1 : row & 7)) * 16;
  }

  __device__ __forceinline__ void fetch(int stage, int block) const {
    const uint32_t codes = shared + stage * stage_bytes, x = codes + codes_bytes;
    constexpr int tile_chunks = W::row_bytes; /* 16 rows of row_bytes / 16 */
#pragma unroll
    for (int i = 0; i < tiles * tile_chunks / mixed_threads; i++) {
      int at = i * mixed_threads + threadIdx.x, tile = at / tile_chunks, chunk = at % tile_chunks;
      copy_16_once(codes + W::shared_offset(tile, chunk),
                    static_cast<const char *>(p.w.data) +
                        W::global_offset(p.w, tile_row(tile), chunk) +
                        static_cast<int64_t>(block) * W::global_step);
    }
#pragma unroll
    for (int i = 0; i < n_rows * 8 / mixed_threads; i++) {
      int at = i * mixed_threads + threadIdx.x, row = at / 8, chunk = at % 8;
      copy_16(x + x_offset(row, chunk),
                    static_cast<const char *>(p.x) +
                        (min(first_row + row, p.n_rows - 1) * p.w.n_in + block * mixed_inputs) * 2 +
                        chunk * 16);
    }
  }

  __device__ __forceinline__ void load_x(uint32_t x, int step, uint2 (&b)[warp_columns]) const {
    if constexpr (W::fours) {
#pragma unroll
      for (int j = 0; j < warp_columns; j++)
        b[j] = load_shared_8(x + x_offset(warp_row + 8 * j + lane / 4, 2 * step + lane % 4 / 2) +
                             lane % 2 * 8);
    } else {
#pragma unroll
      for (int j = 0; j < warp_columns; j += 2) {
        uint4 v = load_matrices(x + x_offset(warp_row + 8 * j + lane / 16 * 8 + lane % 8,
                                             2 * step + lane / 8 % 2));
        b[j] = make_uint2(v.x, v.y);
        b[j + 1] = make_uint2(v.z, v.w);
      }
    }
  }

  __device__ __forceinline__ void load_scales(int block, lane_scales (&s)[warp_tiles]) const {
    const int group = group_at(block, p.group_factor);
#pragma unroll
    for (int i = 0; i < warp_tiles; i++)
      if (!W::scales_sums)
        s[i] = W::load_scales(p.w, tile_row(warp_out + i), group, lane);
  }

  __device__ __forceinline__ void multiply_stage(int stage, const lane_scales (&s)[warp_tiles]) {
    const uint32_t codes = shared + stage * stage_bytes, x = codes + codes_bytes;
    W weight[warp_tiles];
#pragma unroll
    for (int i = 0; i < warp_tiles; i++)
      weight[i].load(codes, warp_out + i, lane, s[i]);
#pragma unroll
    for (int step = 0; step < mixed_inputs / 16; step++) {
      uint2 b[warp_columns];
      load_x(x, step, b);
#pragma unroll
      for (int i = 0; i < warp_tiles; i++) {
        uint32_t a[4];
        weight[i].fragment(step, a);
#pragma unroll
        for (int j = 0; j < warp_columns; j++)
          multiply_bf16(sums[i][j], a, b[j].x, b[j].y);
      }
    }
  }

  /* Stages are fetched three ahead; scales, which lie in the caches, one. */
  __device__ __forceinline__ void multiply() {
    const int n_blocks = static_cast<int>(p.w.n_in / mixed_inputs);
    const int share = (n_blocks + p.n_splits - 1) / p.n_splits;
    const int first = blockIdx.z * share, n = min(share, n_blocks - first);
    lane_scales scales[warp_tiles] = {}, next[warp_tiles] = {};
    if (n <= 0)
      return;
    for (int i = 0; i < mixed_stages - 1; i++) {
      if (i < n)
        fetch(i, first + i);
      copy_commit();
    }
    load_scales(first, next);
    for (int i = 0; i < n; i++) {
#pragma unroll
      for (int k = 0; k < warp_tiles; k++)
        scales[k] = next[k];
      copy_wait<mixed_stages - 2>();
      __syncthreads(); /* all copies of stage i are there, stage i - 1 is read */
      if (i + mixed_stages - 1 < n)
        fetch((i + mixed_stages - 1) % mixed_stages, first + i + mixed_stages - 1);
      copy_commit();
      load_scales(first + min(i + 1, n - 1), next);
      multiply_stage(i % mixed_stages, scales);
    }
    copy_wait<0>();
    __syncthreads();
  }

  /* Sums of all splits, in their order, in the block that comes last; false in
     the others. */
  __device__ __forceinline__ bool add_splits() {
    if (p.n_splits == 1)
      return true;
    __shared__ bool is_last;
    const int64_t tile = blockIdx.y * static_cast<int64_t>(gridDim.x) + blockIdx.x;
    constexpr int n = warp_tiles * warp_columns;
    float4 *mine = p.partial + tile * p.n_splits * n * mixed_threads + threadIdx.x;
#pragma unroll
    for (int i = 0; i < n; i++) {
      const float *v = sums[i / warp_columns][i % warp_columns];
      __stcg(mine + (blockIdx.z * n + i) * mixed_threads, make_float4(v[0], v[1], v[2], v[3]));
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      is_last = atomicAdd(&p.n_done[tile], 1u) == static_cast<unsigned>(p.n_splits - 1);
      if (is_last)
        p.n_done[tile] = 0;
    }
    __syncthreads();
    if (!is_last)
      return false;
    __threadfence();
#pragma unroll
    for (int i = 0; i < n; i++) {
      float *v = sums[i / warp_columns][i % warp_columns];
      v[0] = v[1] = v[2] = v[3] = 0;
      for (int split = 0; split < p.n_splits; split++) {
        float4 other = __ldcg(mine + (split * n + i) * mixed_threads);
        v[0] += other.x;
        v[1] += other.y;
        v[2] += other.z;
        v[3] += other.w;
      }
    }
    return true;
  }

  /* Results as bf16 [n_rows][out_stride] in shared memory. */
  __device__ __forceinline__ void store_shared(__nv_bfloat16 *results) const {
#pragma unroll
    for (int i = 0; i < warp_tiles; i++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const int row_of_tile = lane / 4 + k / 2 * 8;
        float scale = 1;
        if (W::scales_sums)
          scale = __bfloat162float(static_cast<const __nv_bfloat16 *>(
              p.w.scale)[tile_row(warp_out + i) * 16 + row_of_tile]);
#pragma unroll
        for (int j = 0; j < warp_columns; j++) {
          const int row = warp_row + 8 * j + lane % 4 * 2 + k % 2;
          float v = sums[i][j][k] * W::unit;
          if (W::scales_sums)
            v = v * p.row_scale[min(first_row + row, p.n_rows - 1)] * scale;
          results[row * out_stride + (warp_out + i) * 16 + row_of_tile] = __float2bfloat16_rn(v);
        }
      }
  }

  __device__ __forceinline__ void store(const __nv_bfloat16 *results) const {
    const int width = p.swiglu ? n_outs / 2 : n_outs, n_vectors = width / vector_size;
    for (int at = threadIdx.x; at < n_rows * n_vectors; at += mixed_threads) {
      const int row = at / n_vectors, from = at % n_vectors * vector_size;
      const int64_t o = blockIdx.y * static_cast<int64_t>(width) + from;
      if (first_row + row >= p.n_rows || o >= n_cols)
        continue;
      const int64_t to = ((first_row + row) * n_cols + o) / vector_size;
      const __nv_bfloat16 *result = results + row * out_stride + from;
      float v[vector_size], other[vector_size];
      unpack(*reinterpret_cast<const uint4 *>(result), v);
      if (p.swiglu) {
        unpack(*reinterpret_cast<const uint4 *>(result + width), other);
#pragma unroll
        for (int k = 0; k < vector_size; k++)
          v[k] = rounded(gated(v[k], other[k]));
      }
      if (p.residual != nullptr) {
        unpack(static_cast<const uint4 *>(p.residual)[to], other);
#pragma unroll
        for (int k = 0; k < vector_size; k++)
          v[k] += other[k];
      }
      static_cast<uint4 *>(p.out)[to] = packed(v);
    }
  }
};

template <class W, int n_outs, int n_rows>
__global__ void __launch_bounds__(mixed_threads, n_outs * n_rows > 128 * 128 ? 1 : 2)
    multiply_mixed(const __grid_constant__ mixed_arguments p) {
  extern __shared__ uint4 mixed_shared[];
  mixed_block<W, n_outs, n_rows> block(
      p, static_cast<uint32_t>(__cvta_generic_to_shared(mixed_shared)));
  block.multiply();
  if (!block.add_splits())
    return;
  __nv_bfloat16 *results = reinterpret_cast<__nv_bfloat16 *>(mixed_shared);
  block.store_shared(results);
  __syncthreads();
  block.store(results);
}

} // namespace

#endif
