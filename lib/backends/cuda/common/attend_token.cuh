/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of one row: rope, append and attention in one kernel.

   A cluster of blocks (one block where there are no clusters) serves one
   segment and one head of k; its blocks take tiles in turn. In each round every
   block computes one tile, its four warps sharing first the positions, then the
   values' columns; then it hands to each block of the cluster the columns which
   that one joins. */
#ifndef LLQ_CUDA_ATTEND_TOKEN_CUH
#define LLQ_CUDA_ATTEND_TOKEN_CUH

#include "backends/cuda/common/attend.cuh"

namespace {

constexpr int token_threads = 128, group_max = 16;

/* The new key and value, spread over the block's threads: as they will be read
   from the cache. */
template <int D, bool coded> struct fresh_pair {
  static constexpr int n_key_threads = D / 4, n_value_threads = D / 8;
  uint32_t low, high; /* of the key */
  uint4 value;

  static __device__ __forceinline__ bool has_key() {
    return threadIdx.x < n_key_threads;
  }

  static __device__ __forceinline__ bool has_value() {
    return threadIdx.x >= 64 && threadIdx.x < 64 + n_value_threads;
  }

  /* Loads, turns and appends. */
  __device__ __forceinline__ void load(const attend_arguments &a, const llq_segment &segment,
                                       int kv_head) {
    int width = (a.n_heads + 2 * a.cache.n_kv_heads) * D;
    const __nv_bfloat16 *key =
        a.qkv + static_cast<int64_t>(segment.first_row) * width + (a.n_heads + kv_head) * D;
    int64_t at =
        (cache_slot(a, segment.first_page, segment.first_position) * a.cache.n_kv_heads + kv_head) *
        D;
    if (has_key()) {
      int i = threadIdx.x;
      const float *table = a.cos_sin + static_cast<int64_t>(segment.first_position) * D + 2 * i;
      low = reinterpret_cast<const uint32_t *>(key)[i];
      high = reinterpret_cast<const uint32_t *>(key)[i + D / 4];
      rotate(low, high, __ldg(reinterpret_cast<const float2 *>(table)),
             __ldg(reinterpret_cast<const float2 *>(table + D / 2)));
      append_key(a.cache, at, i);
    }
    if (has_value()) {
      int i = threadIdx.x - 64;
      value = reinterpret_cast<const uint4 *>(key + a.cache.n_kv_heads * D)[i];
      append_value(a.cache, at, i);
    }
  }

  /* Pairs i and i + D / 4 of the key. */
  __device__ __forceinline__ void append_key(const cuda_cache &cache, int64_t at, int i) {
    if constexpr (coded) {
      uint32_t codes = encode(low, high, cache.dtype, cache.key_scale);
      uint16_t *to = reinterpret_cast<uint16_t *>(static_cast<unsigned char *>(cache.keys) + at);
      to[i] = static_cast<uint16_t>(codes);
      to[i + D / 4] = static_cast<uint16_t>(codes >> 16);
    } else {
      uint32_t *to = reinterpret_cast<uint32_t *>(static_cast<__nv_bfloat16 *>(cache.keys) + at);
      to[i] = low;
      to[i + D / 4] = high;
    }
  }

  /* The i-th eight of the value. */
  __device__ __forceinline__ void append_value(const cuda_cache &cache, int64_t at, int i) {
    if constexpr (coded) {
      uint2 codes;
      codes.x = encode(value.x, value.y, cache.dtype, cache.value_scale);
      codes.y = encode(value.z, value.w, cache.dtype, cache.value_scale);
      reinterpret_cast<uint2 *>(static_cast<unsigned char *>(cache.values) + at)[i] = codes;
    } else {
      reinterpret_cast<uint4 *>(static_cast<__nv_bfloat16 *>(cache.values) + at)[i] = value;
    }
  }

  /* Puts them into a tile in shared memory. */
  __device__ __forceinline__ void place(unsigned char *keys, unsigned char *values, int row) const {
    if (has_key()) {
      int i = threadIdx.x, j = i + D / 4;
      *reinterpret_cast<uint32_t *>(keys + head_tile<D>::offset(row, i / 4) + i % 4 * 4) = low;
      *reinterpret_cast<uint32_t *>(keys + head_tile<D>::offset(row, j / 4) + j % 4 * 4) = high;
    }
    if (has_value())
      *reinterpret_cast<uint4 *>(values + head_tile<D>::offset(row, threadIdx.x - 64)) = value;
  }
};

/* Keys and values of tiles, as they come and as they are used. */
template <int D, int n_stages, bool coded> struct token_tiles {
  unsigned char tiles[n_stages][2][head_tile<D>::size];

  __device__ __forceinline__ unsigned char (&coming(int i))[2][head_tile<D>::size] {
    return tiles[i];
  }

  __device__ __forceinline__ unsigned char (&used(int i))[2][head_tile<D>::size] {
    return tiles[i];
  }
};

template <int D, int n_stages> struct token_tiles<D, n_stages, true> {
  unsigned char codes[n_stages][2][head_tile<D>::size / 2];
  unsigned char tile[2][head_tile<D>::size];

  __device__ __forceinline__ unsigned char (&coming(int i))[2][head_tile<D>::size / 2] {
    return codes[i];
  }

  __device__ __forceinline__ unsigned char (&used(int))[2][head_tile<D>::size] {
    return tile;
  }
};

/* Of n_blocks blocks, for up to n_heads heads. */
template <int D, int n_heads, int n_blocks, int n_stages, bool coded> struct token_memory {
  static constexpr int n_columns = D / n_blocks; /* that a block joins */
  token_tiles<D, n_stages, coded> tiles;
  uint4 weights[4][32];                        /* P, as the warps' first operands */
  float peaks[4][group_max];                   /* of each warp's positions */
  float sums[2][n_blocks][n_heads][n_columns]; /* of a round's tiles */
  float2 peak_sums[2][n_blocks][n_heads];
};

template <int n_blocks> __device__ __forceinline__ void cluster_arrive() {
#if __CUDA_ARCH__ >= 900
  if (n_blocks > 1)
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}

template <int n_blocks> __device__ __forceinline__ void cluster_wait() {
#if __CUDA_ARCH__ >= 900
  if (n_blocks > 1) {
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
    return;
  }
#endif
  __syncthreads();
}

/* Stores to the same place in a block of the cluster. */
template <int n_blocks>
__device__ __forceinline__ void store_in(int block, float2 *p, float2 value) {
#if __CUDA_ARCH__ >= 900
  if (n_blocks > 1) {
    uint32_t remote;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared_address(p)), "r"(block));
    asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(remote), "f"(value.x),
                 "f"(value.y)
                 : "memory");
    return;
  }
#endif
  *p = value;
}

/* Weights of a tile for the lane's warp's positions, shared with all warps:
   returns the rows' peaks. */
template <int D, typename memory_type>
__device__ __forceinline__ void share_weights(memory_type &memory, const queries<D> &q,
                                              uint32_t keys, int n_valid, float scale,
                                              float (&peak)[2]) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float s[1][2][4];
  score<D>(s, q, keys, 16 * warp);
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (16 * warp + 8 * i + lane % 4 * 2 + j % 2 >= n_valid)
        s[0][i][j] = -INFINITY;
#pragma unroll
  for (int h = 0; h < 2; h++) {
    peak[h] = quad_max(fmaxf(fmaxf(s[0][0][2 * h], s[0][0][2 * h + 1]),
                             fmaxf(s[0][1][2 * h], s[0][1][2 * h + 1])));
    if (lane % 4 == 0)
      memory.peaks[warp][lane / 4 + 8 * h] = peak[h];
  }
  __syncthreads();
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float all = -INFINITY;
#pragma unroll
    for (int w = 0; w < 4; w++)
      all = fmaxf(all, memory.peaks[w][lane / 4 + 8 * h]);
    peak[h] = all * scale;
  }
  float p[2][4];
#pragma unroll
  for (int i = 0; i < 2; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
      p[i][j] = weight(s[0][i][j], scale, finite_peak(peak[j / 2]));
  memory.weights[warp][lane] = make_uint4(pair_of(p[0][0], p[0][1]), pair_of(p[0][2], p[0][3]),
                                          pair_of(p[1][0], p[1][1]), pair_of(p[1][2], p[1][3]));
  __syncthreads();
}

/* The warp's columns of a tile's sums, to the blocks that join them. */
template <int D, int n_blocks, typename memory_type>
__device__ __forceinline__ void hand_out(memory_type &memory, uint32_t values, int parity, int rank,
                                         int group, const float (&peak)[2]) {
  constexpr int n_columns = memory_type::n_columns, n_column_tiles = D / 32;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t p[4][4];
#pragma unroll
  for (int k = 0; k < 4; k++) {
    uint4 shared = memory.weights[k][lane];
    p[k][0] = shared.x, p[k][1] = shared.y, p[k][2] = shared.z, p[k][3] = shared.w;
  }
  float o[n_column_tiles][4], total[4];
  weigh<D>(o, p, values, warp * n_column_tiles);
  sum_weights(total, p);
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int head = lane / 4 + 8 * h;
    if (head >= group)
      continue;
#pragma unroll
    for (int i = 0; i < n_column_tiles; i++) {
      int column = (warp * n_column_tiles + i) * 8 + lane % 4 * 2;
      float *to = &memory.sums[parity][rank][head][column % n_columns];
      store_in<n_blocks>(column / n_columns, reinterpret_cast<float2 *>(to),
                         make_float2(o[i][2 * h], o[i][2 * h + 1]));
    }
    for (int block = warp; block < n_blocks; block += 4)
      if (lane % 4 == 0)
        store_in<n_blocks>(block, &memory.peak_sums[parity][rank][head],
                           make_float2(peak[h], total[2 * h]));
  }
}

/* One output element's sums over the tiles so far. */
struct running_sum {
  float peak = -INFINITY, sum = 0, value = 0;

  __device__ __forceinline__ void add(float2 tile_peak_sum, float tile_value) {
    join_factors factors = join(peak, tile_peak_sum.x);
    sum = joined(sum, tile_peak_sum.y, factors);
    value = joined(value, tile_value, factors);
  }

  __device__ __forceinline__ __nv_bfloat16 result(float scale) const {
    return __float2bfloat16_rn(__fmul_rn(__fdiv_rn(value, sum), scale));
  }
};

/* A segment's one token, and one head of k. */
template <int D, bool coded> struct token {
  llq_segment segment;
  int kv_head;
  int last, own; /* its last tile, and its place there */
  angles<D> by;
  queries<D> q;
  fresh_pair<D, coded> fresh;

  __device__ __forceinline__ token(const llq_segment &segment, int kv_head)
      : segment(segment), kv_head(kv_head), last(segment.first_position / tile_positions),
        own(segment.first_position % tile_positions) {
  }

  /* Starts the copy of what was in the cache before. */
  __device__ __forceinline__ void fetch(const attend_arguments &a, int tile, unsigned char *keys,
                                        unsigned char *values) const {
    bool is_last = tile == last;
    fetch_tile<D, token_threads, coded>(a, segment.first_page, kv_head, tile,
                                        is_last ? own : tile_positions, is_last ? own : -1,
                                        shared_address(keys), shared_address(values));
  }

  /* What has come of a tile, and what is new, as bf16. A barrier must follow. */
  template <class Coming, class Used>
  __device__ __forceinline__ void finish(const attend_arguments &a, int tile, const Coming &from,
                                         Used &to) const {
    if constexpr (coded) {
      tile_codes<D, token_threads> codes;
      __syncthreads(); /* codes have come; the tile before is done with */
      codes.load(from[0], from[1]);
      codes.store(to[0], to[1], a.cache.dtype, tile == last ? own : -1);
    }
    if (tile == last)
      fresh.place(to[0], to[1], own);
  }

  /* Loads and turns q; where `owns`, appends k and v too. */
  __device__ __forceinline__ void load(const attend_arguments &a, bool owns) {
    int width = (a.n_heads + 2 * a.cache.n_kv_heads) * D, row = threadIdx.x % 32 / 4;
    const __nv_bfloat16 *heads =
        a.qkv + static_cast<int64_t>(segment.first_row) * width + kv_head * a.group * D;
#pragma unroll
    for (int h = 0; h < 2; h++)
      if (row + 8 * h < a.group)
        q.load(h, heads + (row + 8 * h) * D, by);
      else
        q.clear(h);
    if (owns)
      fresh.load(a, segment, kv_head);
  }

  __device__ __forceinline__ int n_valid(int tile) const {
    return tile == last ? own + 1 : tile_positions;
  }

  /* Output of the first of the heads. */
  __device__ __forceinline__ __nv_bfloat16 *out(const attend_arguments &a) const {
    return a.out + (static_cast<int64_t>(segment.first_row) * a.n_heads + kv_head * a.group) * D;
  }
};

/* Adds a round's tiles to the elements that a thread joins. */
template <int n_elements, int n_blocks, typename memory_type>
__device__ __forceinline__ void join_round(running_sum (&running)[n_elements],
                                           const memory_type &memory, int parity, int n_tiles,
                                           int group) {
  constexpr int n_columns = memory_type::n_columns;
#pragma unroll
  for (int i = 0; i < n_elements; i++) {
    int element = threadIdx.x + i * token_threads;
    int head = element / n_columns, column = element % n_columns;
    if (head >= group)
      continue;
#pragma unroll
    for (int t = 0; t < n_blocks; t++) {
      running_sum next = running[i];
      next.add(memory.peak_sums[parity][t][head], memory.sums[parity][t][head][column]);
      if (t < n_tiles)
        running[i] = next;
    }
  }
}

template <int D, int n_heads, int n_blocks, int n_stages, bool coded>
__global__ __launch_bounds__(token_threads) void attend_token(attend_arguments a) {
  using memory_type = token_memory<D, n_heads, n_blocks, n_stages, coded>;
  constexpr int n_columns = memory_type::n_columns;
  constexpr int n_elements = (n_heads * n_columns + token_threads - 1) / token_threads;
  extern __shared__ __align__(128) unsigned char raw[];
  memory_type &memory = *reinterpret_cast<memory_type *>(raw);
  dependency_release();
  token<D, coded> own(a.batch.segments[blockIdx.z], static_cast<int>(blockIdx.y));
  if (own.segment.n_rows != 1)
    return;
  cluster_arrive<n_blocks>(); /* this block's memory may be written */
  int rank = blockIdx.x;
  auto fetch = [&](int round) {
    int tile = round * n_blocks + rank;
    if (tile <= own.last) {
      auto &to = memory.tiles.coming(round % n_stages);
      own.fetch(a, tile, to[0], to[1]);
    }
    copies_commit();
  };
#pragma unroll
  for (int i = 0; i < n_stages; i++)
    fetch(i);
  own.by.load(a.cos_sin, own.segment.first_position);
  dependency_wait();
  own.load(a, own.last % n_blocks == rank);

  running_sum running[n_elements] = {};
  int n_rounds = own.last / n_blocks + 1;
  for (int round = 0; round < n_rounds; round++) {
    int tile = round * n_blocks + rank;
    bool has_tile = tile <= own.last;
    auto &keys_values = memory.tiles.used(round % n_stages);
    if (round == 0)
      copies_wait<n_stages - 1>();
    else
      copies_wait<n_stages - 2>();
    if (has_tile)
      own.finish(a, tile, memory.tiles.coming(round % n_stages), keys_values);
    __syncthreads(); /* copies have come; the tile before is done with */
    if (round > 0)
      fetch(round - 1 + n_stages);
    float peak[2];
    if (has_tile)
      share_weights<D>(memory, own.q, shared_address(keys_values[0]), own.n_valid(tile), a.scale,
                       peak);
    if (round > 0 || n_blocks > 1)
      cluster_wait<n_blocks>();
    if (round > 0)
      join_round<n_elements, n_blocks>(running, memory, (round - 1) % 2, n_blocks, a.group);
    if (has_tile)
      hand_out<D, n_blocks>(memory, shared_address(keys_values[1]), round % 2, rank, a.group, peak);
    cluster_arrive<n_blocks>();
  }
  cluster_wait<n_blocks>();
  join_round<n_elements, n_blocks>(running, memory, (n_rounds - 1) % 2,
                                   own.last + 1 - (n_rounds - 1) * n_blocks, a.group);
  __nv_bfloat16 *out = own.out(a) + rank * n_columns;
#pragma unroll
  for (int i = 0; i < n_elements; i++) {
    int element = threadIdx.x + i * token_threads;
    int head = element / n_columns, column = element % n_columns;
    if (head < a.group)
      out[head * D + column] = running[i].result(a.value_scale);
  }
}

} // namespace

#endif
