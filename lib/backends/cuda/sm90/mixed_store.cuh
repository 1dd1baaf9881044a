/* SPDX-License-Identifier: Apache-2.0 */
/* From accumulators of wgmma to memory. A thread's d[4 j + 2 h + e] is output
   g + 8 h of its warp's 16 for row 8 j + 2 t + e, g = lane / 4, t = lane % 4. */
#ifndef LLQ_CUDA_MIXED_STORE_CUH
#define LLQ_CUDA_MIXED_STORE_CUH

#include <cuda_bf16.h>

#include "backends/cuda/common/vector.cuh"
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

/* silu(gate) * up of values rounded as if stored; exactly as other kernels do it,
   or faster. */
template <bool exactly> __device__ __forceinline__ float swiglu(float gate, float up) {
  gate = rounded(gate);
  float silu = exactly ? gate / (1.0f + expf(-gate)) : __fdividef(gate, 1.0f + __expf(-gate));
  return silu * rounded(up);
}

__device__ __forceinline__ uint32_t add_pair(uint32_t a, uint32_t b) {
  float2 x = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&a));
  float2 y = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&b));
  return pair_of(x.x + y.x, x.y + y.y);
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
    uint4 y = load_shared_16(chunk + v / vectors * chunk_pitch(n_outs) + v % vectors * 16);
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
      uint32_t m[4] = {pair_of(q[0], q[1]), pair_of(q[2], q[3]), pair_of(q[4], q[5]),
                       pair_of(q[6], q[7])};
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
    store_vector(there + warpgroup * 2048,
                 {pair_of(given[0], given[1]), pair_of(given[2], given[3]),
                  pair_of(given[4], given[5]), pair_of(given[6], given[7])});
    asm volatile("bar.sync 15, 256;" ::: "memory");
    uint4 v = load_shared_16(there + (1 - warpgroup) * 2048);
    uint32_t m[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float2 other = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&m[i]));
      m[i] = pair_of(swiglu_of<exactly>(warpgroup == 1, mine[2 * i], other.x),
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

/* Pieces of tiles: a thread's sums, as many float4 as there are eights of rows in
   each part of 64 outputs, where the same thread of another block finds them. A
   block has a slot for a piece that begins a tile, which is added up, and for
   another; that takes a slot a share. */
template <typename shape>
__device__ __forceinline__ float4 *slot_of(const mixed_work &work, int block, int slot) {
  constexpr int n = shape::n_rows * shape::n_outs / 4;
  int64_t at = static_cast<int64_t>(block) * work.n_slots + slot;
  return work.partial + at * n + threadIdx.x;
}

template <typename shape>
__device__ __forceinline__ void
leave_sums(float4 *slot, const float (&d)[shape::n_parts][shape::n_rows / 2], int n_rows) {
  constexpr int n = shape::n_rows / 8;
#pragma unroll
  for (int part = 0; part < shape::n_parts; part++)
#pragma unroll
    for (int i = 0; i < n; i++) {
      const float *v = &d[part][4 * i];
      if (8 * i < n_rows)
        __stcg(slot + (part * n + i) * shape::n_consumers, make_float4(v[0], v[1], v[2], v[3]));
    }
}

/* A tile's slots, in the order of its units. */
template <typename shape> struct mixed_slots {
  int unit, end;                     /* of the tile, from unit on */
  int block = 0, slot = 0, left = 0; /* units of the block that are left */

  __device__ __forceinline__ mixed_slots(const mixed_work &work, const mixed_piece &piece)
      : unit((piece.item - work.n_whole) * work.n_units), end(unit + work.n_units) {
  }
  __device__ __forceinline__ bool goes_on() const {
    return unit < end;
  }
  __device__ __forceinline__ const float4 *next(const mixed_work &work) {
    if (left == 0) {
      block = owner_of(work, unit);
      left = min(end, end_of(work, block)) - unit;
      slot = unit + work.n_units > end;
    }
    const float4 *found = slot_of<shape>(work, block, slot);
    int n = shape::in_shares && slot > 0 ? 1 : left;
    left -= n;
    unit += n;
    slot++;
    return found;
  }
};

/* The whole tile's sums: those of its slots, in order. A few vectors of each slot at
   a time, of two slots if there are not more. */
template <typename shape>
__device__ __forceinline__ void gather_sums(const mixed_work &work, const mixed_piece &piece,
                                            float (&d)[shape::n_parts][shape::n_rows / 2],
                                            int n_rows) {
  constexpr int n = shape::n_rows / 8, n_vectors = n * shape::n_parts;
  constexpr int n_chunk = n_vectors < 8 ? n_vectors : 8, n_slots = 16 / n_chunk;
#pragma unroll
  for (int first = 0; first < n_vectors; first += n_chunk) {
#pragma unroll
    for (int i = first; i < first + n_chunk; i++)
#pragma unroll
      for (int k = 0; k < 4; k++)
        d[i / n][i % n * 4 + k] = 0;
    mixed_slots<shape> slots(work, piece);
#pragma unroll 1
    while (slots.goes_on()) {
      float4 v[n_slots][n_chunk];
#pragma unroll
      for (int k = 0; k < n_slots; k++) {
        bool is_there = slots.goes_on();
        const float4 *slot = is_there ? slots.next(work) : nullptr;
#pragma unroll
        for (int i = 0; i < n_chunk; i++)
          v[k][i] = is_there && 8 * ((first + i) % n) < n_rows
                        ? __ldcg(slot + (first + i) * shape::n_consumers)
                        : make_float4(0, 0, 0, 0);
      }
#pragma unroll
      for (int k = 0; k < n_slots; k++)
#pragma unroll
        for (int i = 0; i < n_chunk; i++) {
          float *sum = &d[(first + i) / n][(first + i) % n * 4];
          sum[0] += v[k][i].x;
          sum[1] += v[k][i].y;
          sum[2] += v[k][i].z;
          sum[3] += v[k][i].w;
        }
    }
  }
}

/* Adds to a counter after this block's writes; what others wrote before they added
   is seen after. */
__device__ __forceinline__ unsigned count(unsigned *counter, unsigned n) {
  unsigned before;
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(counter), "r"(n)
               : "memory");
  return before + n;
}

/* After this block's part of a tile was left: is it the last of all? `shared` is a
   word of shared memory. */
template <typename shape>
__device__ __forceinline__ bool is_last(const mixed_work &work, const mixed_piece &piece,
                                        uint32_t shared) {
  asm volatile("bar.sync 15, %0;" ::"n"(shape::n_consumers) : "memory");
  if (threadIdx.x == 0) {
    unsigned *counter = work.n_done + piece.item;
    unsigned n_done = count(counter, static_cast<unsigned>(piece.end - piece.first));
    if (n_done == static_cast<unsigned>(work.n_units))
      *counter = 0;
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared), "r"(n_done) : "memory");
  }
  asm volatile("bar.sync 15, %0;" ::"n"(shape::n_consumers) : "memory");
  return load_word(shared) == static_cast<unsigned>(work.n_units);
}

#endif
