/* SPDX-License-Identifier: Apache-2.0 */
/* A linear of few rows as its kernels get it, and what becomes of its sums. */
#ifndef LLQ_CUDA_STREAM_FINISH_CUH
#define LLQ_CUDA_STREAM_FINISH_CUH

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

/* Where warps leave their sums: [warp][tile of the pair][row][partial_stride]. */
constexpr int partial_stride = 20; /* 16 outputs, in distinct banks */

/* n eights of rows from eight `first` on. */
template <int n, class Sum, int n_sums>
__device__ __forceinline__ void leave_sums(const Sum (&sums)[n_sums][4], int first, int n_rows,
                                           Sum *to) {
  int output = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int i = 0; i < n; i++)
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int row = 8 * i + column + (j & 1);
      if (row < n_rows)
        to[row * partial_stride + output + 8 * (j >> 1)] = sums[first + i][j];
    }
}

/* An output of a pair of tiles: the numbers of those at the same place of both
   tiles, and which of the two it is. With swiglu it is made of both. */
struct stream_output {
  int row, tile, first, second;
};

/* sum_of(tile): the sum over all inputs. */
template <class Format, class SumOf>
__device__ __forceinline__ void finish_output(const stream_call &call, const stream_output &o,
                                              const float *row_scale, SumOf sum_of) {
  auto product = [&](int tile) {
    float sum = static_cast<float>(sum_of(tile)) * Format::unit;
    if (!Format::scaled)
      return sum;
    auto scale = reinterpret_cast<const __nv_bfloat16 *>(call.weight.scale);
    return sum * row_scale[o.row] * load(scale, tile == 0 ? o.first : o.second);
  };
  float y = product(o.tile);
  int64_t at = static_cast<int64_t>(o.row) * (call.swiglu ? call.n_out / 2 : call.n_out) +
               (o.tile == 0 ? o.first : o.second);
  if (call.out_f32) {
    static_cast<float *>(call.out)[at] = y;
    return;
  }
  if (call.swiglu) {
    float gate = round_to(LLQ_BF16, y);
    float up = round_to(LLQ_BF16, product(1));
    y = gate / (1.0f + expf(-gate)) * up;
  }
  if (call.residual != nullptr) /* through L2, as x */
    y = __bfloat162float(__ldcg(call.residual + at)) + round_to(LLQ_BF16, y);
  store(static_cast<__nv_bfloat16 *>(call.out), at, y);
}

#endif
