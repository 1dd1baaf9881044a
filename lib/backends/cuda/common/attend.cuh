/* SPDX-License-Identifier: Apache-2.0 */
/* What the attention kernels share: one arithmetic, so that they agree bit by
   bit.

   Positions are taken in tiles of 64 at multiples of 64. For 16 rows (of any
   tokens and heads that share a head of k) and one tile:
     S = Q K^T          mma m16n8k16, elements of the head in ascending order
     peak = max S       over the tile alone, in units of log2
     P = 2^(S - peak)   rounded to bf16
     O = P V, sum = P 1 mma m16n8k16 from zero, positions in ascending order
   and tiles are joined in ascending order (join). Which warp, block or cluster
   computes which part changes nothing. A row's result in an mma depends on that
   row of the first operand alone.

   Of a cache in 8 bits (`coded`) a tile's codes become bf16, which has them all, in
   shared memory. Their scales are factors of S and of the result. */
#ifndef LLQ_CUDA_ATTEND_CUH
#define LLQ_CUDA_ATTEND_CUH

#include <cuda_bf16.h>

#include "backends/cuda/any/number.cuh"
#include "backends/cuda/common/attention.h"
#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/common/shared.cuh"
#include "backends/cuda/common/vector.cuh"

/* Kernels are compiled for both tables; each has its own. */
namespace {

constexpr int tile_positions = 64;

struct attend_arguments {
  cuda_batch batch;
  cuda_cache cache;
  const __nv_bfloat16 *qkv;
  const float *cos_sin;
  __nv_bfloat16 *out;
  float scale;        /* of scores, with the factor log2(e) */
  float value_scale;  /* of results; 1 if not coded */
  int n_heads, group; /* heads of q; of q for one of k */
  int page_shift;
};

__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

__device__ __forceinline__ void load_transposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/* Copies 16 bytes to shared memory, or zeros them. */
__device__ __forceinline__ void copy_async(uint32_t to, const void *from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}

__device__ __forceinline__ void copies_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int n> __device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory");
}

__device__ __forceinline__ float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ float2 halves_of(uint32_t pair) {
  return make_float2(low_half(pair), high_half(pair));
}

/* Keys or values of one head at the positions of a tile, in shared memory: rows
   of D elements, 16-byte chunks permuted so that eight rows of a matrix lie in
   different banks. */
template <int D> struct head_tile {
  static constexpr int n_chunks = D / 8;
  static constexpr int size = tile_positions * D * 2;

  static __device__ __forceinline__ uint32_t offset(int row, int chunk) {
    int key = D % 64 == 0 ? row & 7 : (row >> 1) & 3;
    return static_cast<uint32_t>(row * D * 2 + ((chunk ^ key) << 4));
  }
};

/* Where sixteen codes of a tile's row lie as they come; rows in pairs, in different
   banks. */
template <int D> __device__ __forceinline__ uint32_t codes_offset(int row, int sixteen) {
  int key = D == 128 ? (row & 1) << 2 : 0;
  return static_cast<uint32_t>(row * D + ((sixteen ^ key) << 4));
}

__device__ __forceinline__ int64_t cache_slot(const attend_arguments &a, int first_page,
                                              int position) {
  int64_t page = __ldg(&a.batch.pages[first_page + (position >> a.page_shift)]);
  return (page << a.page_shift) + (position & (a.cache.page_size - 1));
}

/* Starts the copy of a tile's keys and values; those from n_valid on are zero.
   A row `skipped` is left to the caller. */
template <int D, int n_threads, bool coded>
__device__ __forceinline__ void fetch_tile(const attend_arguments &a, int first_page, int kv_head,
                                           int tile, int n_valid, int skipped, uint32_t keys,
                                           uint32_t values) {
  constexpr int element = coded ? 1 : 2, n_chunks = D * element / 16; /* of 16 bytes, a row */
  constexpr int n_all = tile_positions * n_chunks, n_copies = (n_all + n_threads - 1) / n_threads;
  static_assert(coded || n_all % n_threads == 0, "whole passes");
  bool one_page = a.cache.page_size >= tile_positions;
  int64_t start = one_page ? cache_slot(a, first_page, tile * tile_positions) : 0;
  int64_t at[n_copies];
#pragma unroll
  for (int i = 0; i < n_copies; i++) {
    int index = i * n_threads + threadIdx.x;
    int row = index / n_chunks, chunk = index % n_chunks;
    int valid_row = row < n_valid && row < tile_positions ? row : 0;
    int64_t slot =
        one_page ? start + valid_row : cache_slot(a, first_page, tile * tile_positions + valid_row);
    at[i] = (slot * a.cache.n_kv_heads + kv_head) * D * element + chunk * 16;
  }
#pragma unroll
  for (int i = 0; i < n_copies; i++) {
    int index = i * n_threads + threadIdx.x;
    int row = index / n_chunks, chunk = index % n_chunks;
    uint32_t offset = coded ? codes_offset<D>(row, chunk) : head_tile<D>::offset(row, chunk);
    if (row == skipped || (n_all % n_threads != 0 && index >= n_all))
      continue;
    copy_async(keys + offset, static_cast<const char *>(a.cache.keys) + at[i], row < n_valid);
    copy_async(values + offset, static_cast<const char *>(a.cache.values) + at[i], row < n_valid);
  }
}

/* Two int8 codes, of bytes 2 i and 2 i + 1, as bf16. Under 0x43 a byte is 128 and its
   low seven bits, or 256 and twice them where the sign is set: 128 and the low bits,
   less 128 or 256, is the code. */
__device__ __forceinline__ uint32_t decode_int8(uint32_t codes, int i) {
  uint32_t x = __byte_perm(codes, 0x43434343, i == 0 ? 0x4140 : 0x4342);
  return as_word(__hsub2(as_bf16(x & 0xff7fff7f), as_bf16(x & 0xff80ff80)));
}

/* Two E4M3 codes. Their bits lie in a bf16's, the exponent 120 too low, subnormal ones
   too: times 2^120. */
__device__ __forceinline__ uint32_t decode_e4m3(uint32_t codes, int i) {
  uint32_t x = __byte_perm(codes, 0, i == 0 ? 0x1404 : 0x3424);
  x = (x & 0x80008000) | (x >> 4 & 0x07f007f0);
  return as_word(__hmul2(as_bf16(x), as_bf16(0x7b807b80)));
}

/* Four codes as bf16. */
template <int dtype> __device__ __forceinline__ uint2 decode(uint32_t codes) {
  return dtype == LLQ_I8 ? make_uint2(decode_int8(codes, 0), decode_int8(codes, 1))
                         : make_uint2(decode_e4m3(codes, 0), decode_e4m3(codes, 1));
}

/* Four numbers become the nearest codes, and then what these are as bf16. */
__device__ __forceinline__ uint32_t encode(uint32_t &low, uint32_t &high, int dtype, float scale) {
  float2 a = halves_of(low), b = halves_of(high);
  uint32_t codes = code_of(dtype, scale, a.x) | code_of(dtype, scale, a.y) << 8 |
                   code_of(dtype, scale, b.x) << 16 |
                   static_cast<uint32_t>(code_of(dtype, scale, b.y)) << 24;
  uint2 decoded = dtype == LLQ_I8 ? decode<LLQ_I8>(codes) : decode<LLQ_F8_E4M3>(codes);
  low = decoded.x, high = decoded.y;
  return codes;
}

/* A thread's codes of a tile's keys and values, by sixteens. */
template <int D, int n_threads> struct tile_codes {
  static constexpr int n_chunks = D / 16, n_all = tile_positions * n_chunks;
  static constexpr int n_passes = (n_all + n_threads - 1) / n_threads;
  uint4 codes[2][n_passes];

  __device__ __forceinline__ void load(const unsigned char *keys, const unsigned char *values) {
    const unsigned char *const from[2] = {keys, values};
#pragma unroll
    for (int i = 0; i < n_passes; i++)
#pragma unroll
      for (int t = 0; t < 2; t++)
        if (place at(i * n_threads + threadIdx.x); at.row < tile_positions)
          codes[t][i] =
              *reinterpret_cast<const uint4 *>(from[t] + codes_offset<D>(at.row, at.sixteen));
  }

  /* As bf16, to where a tile has them; but not those of a row `skipped`. */
  __device__ __forceinline__ void store(unsigned char *keys, unsigned char *values, int dtype,
                                        int skipped) const {
    unsigned char *const tiles[2] = {keys, values};
    if (dtype == LLQ_I8)
      store_as<LLQ_I8>(tiles, skipped);
    else
      store_as<LLQ_F8_E4M3>(tiles, skipped);
  }

private:
  /* The place in a tile of a thread's sixteen: the two that each becomes are stored by
     eight threads at a time, which have two rows so that banks differ. */
  struct place {
    int row, sixteen;

    __device__ __forceinline__ explicit place(int index)
        : row(index / (2 * n_chunks) * 2 + index % 2), sixteen(index / 2 % n_chunks) {
    }
  };

  template <int dtype>
  __device__ __forceinline__ void store_as(unsigned char *const (&tiles)[2], int skipped) const {
#pragma unroll
    for (int i = 0; i < n_passes; i++)
#pragma unroll
      for (int t = 0; t < 2; t++)
        if (place at(i * n_threads + threadIdx.x); at.row < tile_positions && at.row != skipped)
          store_sixteen<dtype>(tiles[t], codes[t][i], at.row, 2 * at.sixteen);
  }

  template <int dtype>
  static __device__ __forceinline__ void store_sixteen(unsigned char *tile, uint4 codes, int row,
                                                       int chunk) {
    uint2 a = decode<dtype>(codes.x), b = decode<dtype>(codes.y);
    uint2 c = decode<dtype>(codes.z), d = decode<dtype>(codes.w);
    *reinterpret_cast<uint4 *>(tile + head_tile<D>::offset(row, chunk)) =
        make_uint4(a.x, a.y, b.x, b.y);
    *reinterpret_cast<uint4 *>(tile + head_tile<D>::offset(row, chunk + 1)) =
        make_uint4(c.x, c.y, d.x, d.y);
  }
};

/* The codes of a tile's keys and values, which have come, become bf16 in place. A
   barrier must follow. */
template <int D, int n_threads>
__device__ __forceinline__ void decode_tile(unsigned char *keys, unsigned char *values, int dtype) {
  tile_codes<D, n_threads> codes;
  __syncthreads();
  codes.load(keys, values);
  __syncthreads();
  codes.store(keys, values, dtype, -1);
}

/* Elements i and i + D / 2 of a head, two pairs at a time. Products and sums
   are rounded one by one, as the reference's. */
__device__ __forceinline__ void rotate(uint32_t &low, uint32_t &high, float2 c, float2 s) {
  float2 a = halves_of(low), b = halves_of(high);
  low = pair_of(__fsub_rn(__fmul_rn(a.x, c.x), __fmul_rn(b.x, s.x)),
                __fsub_rn(__fmul_rn(a.y, c.y), __fmul_rn(b.y, s.y)));
  high = pair_of(__fadd_rn(__fmul_rn(b.x, c.x), __fmul_rn(a.x, s.x)),
                 __fadd_rn(__fmul_rn(b.y, c.y), __fmul_rn(a.y, s.y)));
}

/* The angles that a lane's elements of a row of q turn by. */
template <int D> struct angles {
  float2 c[D / 16], s[D / 16];

  __device__ __forceinline__ void load(const float *cos_sin, int position) {
    const float *row = cos_sin + static_cast<int64_t>(position) * D + threadIdx.x % 4 * 2;
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
      c[i] = __ldg(reinterpret_cast<const float2 *>(row + 8 * i));
      s[i] = __ldg(reinterpret_cast<const float2 *>(row + 8 * i + D / 2));
    }
  }
};

/* 16 rows of q as first operands; a lane has rows lane / 4 and lane / 4 + 8. */
template <int D> struct queries {
  uint32_t a[D / 16][4];

  /* Loads half of them (0 or 1) from the lane's row, and turns it. */
  __device__ __forceinline__ void load(int half, const __nv_bfloat16 *row, const angles<D> &by) {
    const uint32_t *pairs = reinterpret_cast<const uint32_t *>(row) + threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < D / 8; i++)
      a[i / 2][i % 2 * 2 + half] = pairs[4 * i];
#pragma unroll
    for (int i = 0; i < D / 16; i++)
      rotate(a[i / 2][i % 2 * 2 + half], a[i / 2 + D / 32][i % 2 * 2 + half], by.c[i], by.s[i]);
  }

  __device__ __forceinline__ void clear(int half) {
#pragma unroll
    for (int i = 0; i < D / 8; i++)
      a[i / 2][i % 2 * 2 + half] = 0;
  }
};

/* Scores of 16 rows with 16 n positions of a tile, from `first` on. */
template <int D, int n>
__device__ __forceinline__ void score(float (&s)[n][2][4], const queries<D> &q, uint32_t keys,
                                      int first) {
  int lane = threadIdx.x % 32;
  int row = first + lane % 8 + lane / 16 * 8, chunk = lane / 8 % 2;
#pragma unroll
  for (int i = 0; i < 8 * n; i++)
    s[i / 8][i / 4 % 2][i % 4] = 0;
#pragma unroll
  for (int k = 0; k < D / 16; k++) {
    uint32_t b[n][4];
#pragma unroll
    for (int i = 0; i < n; i++)
      load_matrices(b[i], keys + head_tile<D>::offset(row + 16 * i, 2 * k + chunk));
#pragma unroll
    for (int i = 0; i < n; i++) {
      mma(s[i][0], q.a[k], b[i][0], b[i][1]);
      mma(s[i][1], q.a[k], b[i][2], b[i][3]);
    }
  }
}

/* Weighted sums of 8 n of the values' columns, from 8 * column on. */
template <int D, int n>
__device__ __forceinline__ void weigh(float (&o)[n][4], const uint32_t (&p)[4][4], uint32_t values,
                                      int column) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 4 * n; i++)
    o[i / 4][i % 4] = 0;
#pragma unroll
  for (int k = 0; k < 2; k++) {
    uint32_t b[n][4];
#pragma unroll
    for (int i = 0; i < n; i++)
      load_transposed(b[i], values + head_tile<D>::offset(32 * k + lane, column + i));
#pragma unroll
    for (int i = 0; i < n; i++)
      mma(o[i], p[2 * k], b[i][0], b[i][1]);
#pragma unroll
    for (int i = 0; i < n; i++)
      mma(o[i], p[2 * k + 1], b[i][2], b[i][3]);
  }
}

/* Sums of weights: their product with ones. */
__device__ __forceinline__ void sum_weights(float (&sum)[4], const uint32_t (&p)[4][4]) {
  constexpr uint32_t ones = 0x3f803f80;
#pragma unroll
  for (int j = 0; j < 4; j++)
    sum[j] = 0;
#pragma unroll
  for (int k = 0; k < 4; k++)
    mma(sum, p[k], ones, ones);
}

__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
  return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

/* What is subtracted from scores: where all are -inf, weights become zero. */
__device__ __forceinline__ float finite_peak(float peak) {
  return peak == -INFINITY ? 0 : peak;
}

__device__ __forceinline__ float weight(float score, float scale, float peak) {
  return power_of_2(__fmaf_rn(score, scale, -peak));
}

/* Joins a tile to those before it: sums become kept * before + added * tile. */
struct join_factors {
  float kept, added;
};

__device__ __forceinline__ join_factors join(float &peak, float tile_peak) {
  float both = fmaxf(peak, tile_peak), finite = finite_peak(both);
  join_factors factors = {power_of_2(peak - finite), power_of_2(tile_peak - finite)};
  peak = both;
  return factors;
}

__device__ __forceinline__ float joined(float before, float tile, join_factors factors) {
  return __fmaf_rn(before, factors.kept, __fmul_rn(tile, factors.added));
}

} // namespace

#endif
