/* SPDX-License-Identifier: Apache-2.0 */
/* From accumulators of wgmma to memory. A thread's d[4 j + 2 h + e] is output
   g + 8 h of its warp's 16 for row 8 j + 2 t + e, g = lane / 4, t = lane % 4. */
#ifndef LLQ_CUDA_MIXED_STORE_CUH
#define LLQ_CUDA_MIXED_STORE_CUH

#include <cuda_bf16.h>

#include "backends/cuda/sm90/mixed_work.cuh"

constexpr int chunk_rows = 16;

/* Bytes of a warpgroup's two chunks of rows on their way out; 16 more a row keep
   the banks apart. */
constexpr __host__ __device__ int chunk_pitch(int n_outs) {
  return n_outs * 2 + 16;
}
constexpr __host__ __device__ int chunks_bytes(int n_outs) {
  return 2 * chunk_rows * chunk_pitch(n_outs);
}

__device__ __forceinline__ float rounded(float x) {
  return __bfloat162float(__float2bfloat16_rn(x));
}

/* silu(gate) * up of values rounded as if stored; exactly as other kernels do it,
   or faster. */
template <bool exactly> __device__ __forceinline__ float swiglu(float gate, float up) {
  gate = rounded(gate);
  float silu =
      exactly ? gate / (1.0f + expf(-gate)) : __fdividef(gate, 1.0f + __expf(-gate));
  return silu * rounded(up);
}

__device__ __forceinline__ uint32_t pack(float low, float high) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<uint32_t *>(&pair);
}

__device__ __forceinline__ uint32_t add_pair(uint32_t a, uint32_t b) {
  float2 x = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&a));
  float2 y = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&b));
  return pack(x.x + y.x, x.y + y.y);
}

__device__ __forceinline__ void warpgroup_sync(int warpgroup) {
  asm volatile("bar.sync %0, 128;" ::"r"(1 + warpgroup) : "memory");
}

/* Writes four 8 x 8 matrices transposed; lane 8 i + r has the address of row r of
   matrix i. */
__device__ __forceinline__ void store_transposed(uint32_t address, const uint32_t (&m)[4]) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
      "r"(m[0]), "r"(m[1]), "r"(m[2]), "r"(m[3])
      : "memory");
}

__device__ __forceinline__ uint4 load_vector(uint32_t address) {
  uint4 v;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

/* Copies a chunk of a warpgroup's rows to `out`, 8 outputs a time. */
template <int n_outs>
__device__ __forceinline__ void store_chunk(const mixed_work &work, uint32_t chunk, int first_row,
                                            int first_out) {
  constexpr int vectors = n_outs / 8;
#pragma unroll
  for (int v = threadIdx.x % 128; v < chunk_rows * vectors; v += 128) {
    int row = first_row + v / vectors, out = first_out + v % vectors * 8;
    if (row >= work.n_rows || out >= work.n_out)
      continue;
    uint4 y = load_vector(chunk + v / vectors * chunk_pitch(n_outs) + v % vectors * 16);
    int64_t at = static_cast<int64_t>(row) * work.n_out + out;
    if (work.residual != nullptr) {
      uint4 r = *reinterpret_cast<const uint4 *>(work.residual + at);
      y = {add_pair(r.x, y.x), add_pair(r.y, y.y), add_pair(r.z, y.z), add_pair(r.w, y.w)};
    }
    *reinterpret_cast<uint4 *>(static_cast<__nv_bfloat16 *>(work.out) + at) = y;
  }
}

/* A warpgroup's 64 * n_parts outputs from first_out on, by way of `chunks`, of
   which two alternate: `turn` counts them. */
template <int n_rows, int n_parts, int n_all>
__device__ __forceinline__ void
store_rounded(const mixed_work &work, const float (&d)[n_all][n_rows / 2], uint32_t chunks,
              int &turn, int warpgroup, int first_row, int first_out) {
  constexpr int n_outs = 64 * n_parts, pitch = chunk_pitch(n_outs);
  int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  int corner = (lane / 16 * 8 + lane % 8) * pitch + (warp * 16 + lane / 8 % 2 * 8) * 2;
#pragma unroll
  for (int c = 0; c < n_rows / chunk_rows; c++) {
    if (first_row + c * chunk_rows >= work.n_rows)
      break;
    uint32_t chunk = chunks + (turn++ & 1) * chunk_rows * pitch;
#pragma unroll
    for (int part = 0; part < n_parts; part++) {
      const float *q = &d[part][c * 8];
      uint32_t m[4] = {pack(q[0], q[1]), pack(q[2], q[3]), pack(q[4], q[5]), pack(q[6], q[7])};
      store_transposed(chunk + corner + part * 128, m);
    }
    warpgroup_sync(warpgroup);
    store_chunk<n_outs>(work, chunk, first_row + c * chunk_rows, first_out);
  }
}

__device__ __forceinline__ void store_vector(uint32_t address, uint4 v) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(v.x), "r"(v.y),
               "r"(v.z), "r"(v.w)
               : "memory");
}

/* What two warpgroups hand each other, twice: 8 rounded sums a thread. */
constexpr int exchange_bytes = 2 * 2 * 128 * 16;

template <bool exactly>
__device__ __forceinline__ float swiglu_of(bool is_up, float mine, float other) {
  return is_up ? swiglu<exactly>(other, mine) : swiglu<exactly>(mine, other);
}

/* Swiglu where warpgroup 0 has 64 gates and warpgroup 1 the same threads' ups: of
   two chunks each finishes one, with what the other hands over. */
template <int n_rows, bool exactly>
__device__ __forceinline__ void
store_exchanged(const mixed_work &work, const float (&d)[n_rows / 2], uint32_t exchange,
                uint32_t chunks, int &turn, int warpgroup, int first_row, int first_out) {
  constexpr int pitch = chunk_pitch(64);
  int thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32;
  int corner = (lane / 16 * 8 + lane % 8) * pitch + (warp * 16 + lane / 8 % 2 * 8) * 2;
#pragma unroll
  for (int c = 0; c < n_rows / chunk_rows; c += 2) {
    if (first_row + c * chunk_rows >= work.n_rows)
      break;
    uint32_t there = exchange + (turn & 1) * (exchange_bytes / 2) + thread * 16;
    uint32_t chunk = chunks + (turn++ & 1) * chunk_rows * pitch;
    float mine[8], given[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
      mine[i] = warpgroup == 0 ? d[c * 8 + i] : d[c * 8 + 8 + i];
      given[i] = warpgroup == 0 ? d[c * 8 + 8 + i] : d[c * 8 + i];
    }
    store_vector(there + warpgroup * 2048, {pack(given[0], given[1]), pack(given[2], given[3]),
                                            pack(given[4], given[5]), pack(given[6], given[7])});
    asm volatile("bar.sync 15, 256;" ::: "memory");
    uint4 v = load_vector(there + (1 - warpgroup) * 2048);
    uint32_t m[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float2 other = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&m[i]));
      m[i] = pack(swiglu_of<exactly>(warpgroup == 1, mine[2 * i], other.x),
                  swiglu_of<exactly>(warpgroup == 1, mine[2 * i + 1], other.y));
    }
    store_transposed(chunk + corner, m);
    warpgroup_sync(warpgroup);
    store_chunk<64>(work, chunk, first_row + (c + warpgroup) * chunk_rows, first_out);
  }
}

/* In f32, straight from registers: 8 outputs of a row are 32 bytes. */
template <int n_rows, int n_parts>
__device__ __forceinline__ void store_f32(const mixed_work &work,
                                          const float (&d)[n_parts][n_rows / 2], int first_row,
                                          int first_out) {
  int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
#pragma unroll
  for (int part = 0; part < n_parts; part++) {
#pragma unroll
    for (int i = 0; i < n_rows / 2; i++) {
      int row = first_row + i / 4 * 8 + lane % 4 * 2 + i % 2;
      int out = first_out + part * 64 + warp * 16 + lane / 4 + i / 2 % 2 * 8;
      if (row < work.n_rows && out < work.n_out)
        static_cast<float *>(work.out)[static_cast<int64_t>(row) * work.n_out + out] = d[part][i];
    }
  }
}

/* Splits: a block's sums of its share of the inputs, in shared memory as
   [row][output]. A pitch of 4 modulo 16 floats keeps the banks apart. */
constexpr __host__ __device__ int sums_pitch(int n_outs) {
  return n_outs + 4;
}

template <int n_rows, int n_parts>
__device__ __forceinline__ void store_sums(float *sums, int pitch,
                                           const float (&d)[n_parts][n_rows / 2], int warpgroup) {
  int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
#pragma unroll
  for (int part = 0; part < n_parts; part++) {
    float *corner =
        sums + lane % 4 * 2 * pitch + (warpgroup * n_parts + part) * 64 + warp * 16 + lane / 4;
#pragma unroll
    for (int i = 0; i < n_rows / 2; i++)
      corner[(i / 4 * 8 + i % 2) * pitch + i / 2 % 2 * 8] = d[part][i];
  }
}

/* The sum of all shares' four sums at an address, in order. */
template <typename shape>
__device__ __forceinline__ float4 sum_of_shares(const mixed_work &work, int sharer,
                                                uint32_t address) {
  float4 sum = {0, 0, 0, 0};
  int n = work.n_shares / work.n_splits; /* of a split */
  for (int share = 0; share < work.n_shares; share++) {
    int split = share / n;
    float4 v = cluster_load(address + (share - split * n) * shape::sums_bytes,
                            static_cast<uint32_t>(split * work.n_sharers + sharer));
    sum = {sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w};
  }
  return sum;
}

__device__ __forceinline__ void finish_four(const mixed_work &work, int64_t at, float4 y) {
  if (work.out_is_f32) {
    *reinterpret_cast<float4 *>(static_cast<float *>(work.out) + at) = y;
    return;
  }
  uint2 packed = {pack(y.x, y.y), pack(y.z, y.w)};
  if (work.residual != nullptr) {
    uint2 r = *reinterpret_cast<const uint2 *>(work.residual + at);
    packed = {add_pair(r.x, packed.x), add_pair(r.y, packed.y)};
  }
  *reinterpret_cast<uint2 *>(static_cast<__nv_bfloat16 *>(work.out) + at) = packed;
}

/* Each of a tile's splits finishes its share of the rows. */
template <typename shape>
__device__ __forceinline__ void finish_splits(const mixed_work &work, const mixed_place &place,
                                              mixed_tile tile, uint32_t sums) {
  constexpr int n_rows = shape::n_rows, n_outs = shape::n_outs;
  int n = min(n_rows, work.n_rows - tile.row);
  int begin = n * place.split / work.n_splits, end = n * (place.split + 1) / work.n_splits;
  int n_vectors = (work.swiglu ? n_outs / 2 : n_outs) / 4;
  for (int v = threadIdx.x; v < (end - begin) * n_vectors; v += shape::n_consumers) {
    int row = begin + v / n_vectors, out = v % n_vectors * 4;
    if (tile.out + out >= work.n_out)
      continue;
    int column = work.swiglu ? out / 64 * 128 + out % 64 : out;
    uint32_t address = sums + (row * sums_pitch(n_outs) + column) * 4;
    float4 y = sum_of_shares<shape>(work, place.sharer, address);
    if (work.swiglu) {
      float4 up = sum_of_shares<shape>(work, place.sharer, address + 64 * 4);
      constexpr bool exactly = shape::in_shares;
      y = {swiglu<exactly>(y.x, up.x), swiglu<exactly>(y.y, up.y), swiglu<exactly>(y.z, up.z),
           swiglu<exactly>(y.w, up.w)};
    }
    finish_four(work, static_cast<int64_t>(tile.row + row) * work.n_out + tile.out + out, y);
  }
}

#endif
