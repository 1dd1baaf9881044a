/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of segments of several rows by wgmma.

   A block has three warpgroups. A thread of the last fetches tiles of keys and
   values (TMA) into a ring of stages; each of the others has 64 rows of q, which
   share a head of k: row i of the block is (token i / group, head i % group).
   Blocks go from chunk to chunk of so many tokens, those with the most to do
   first, and there and back so that all have as much to do. */
#ifndef LLQ_CUDA_PREFILL_CUH
#define LLQ_CUDA_PREFILL_CUH

#include "backends/cuda/sm90/mixed_work.cuh"
#include "backends/cuda/sm90/prefill_rows.cuh"

namespace {

constexpr int prefill_block_rows = 128, prefill_threads = 384;

struct prefill_arguments {
  attend_arguments a;
  CUtensorMap keys, values; /* [slots, n_kv_heads * D], boxes of [box_rows, 64] */
  int box_rows, n_chunks, n_items;
};

/* A chunk of tokens and a head of k; without tokens it is the last. */
struct __align__(16) prefill_item {
  int n_rows, kv_head, first_position, first_page;
  int64_t first_row;

  __device__ __forceinline__ int last_position() const {
    return first_position + n_rows - 1;
  }
  __device__ __forceinline__ int n_tiles() const {
    return last_position() / tile_positions + 1;
  }
};

/* Shared memory: stages of keys and values, for each stage two barriers, and the
   item that its tile is the first of. */
template <int D> struct prefill_shared {
  static constexpr int stage_size = 2 * panel_tile<D>::size;
  static constexpr int n_stages = D == 128 ? 5 : 8;
  static constexpr int note_size = 16 + sizeof(prefill_item);
  static constexpr int notes_at = n_stages * stage_size;
  static constexpr int size = notes_at + n_stages * note_size;
  uint32_t base;
  unsigned char *memory;

  __device__ __forceinline__ uint32_t keys(int stage) const {
    return base + stage * stage_size;
  }
  __device__ __forceinline__ uint32_t values(int stage) const {
    return keys(stage) + panel_tile<D>::size;
  }
  __device__ __forceinline__ uint32_t full(int stage) const {
    return base + notes_at + stage * 8;
  }
  __device__ __forceinline__ uint32_t empty(int stage) const {
    return full(n_stages) + stage * 8;
  }
  __device__ __forceinline__ prefill_item &item(int stage) const {
    return reinterpret_cast<prefill_item *>(memory + notes_at + n_stages * 16)[stage];
  }
};

/* There and back. */
__device__ __forceinline__ int item_of_round(int round) {
  int n = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
  return round * n + (round % 2 == 0 ? block : n - 1 - block);
}

/* The same in every lane. */
__device__ __forceinline__ prefill_item find_item(const prefill_arguments &p, int index) {
  int n_kv = p.a.cache.n_kv_heads;
  chunk own = find_chunk(p.a.batch, p.n_chunks - 1 - index / n_kv, prefill_block_rows / p.a.group);
  return {own.n_rows, index % n_kv, own.segment.first_position + own.first, own.segment.first_page,
          own.segment.first_row + own.first};
}

/* Fetches what an item's rows of q will take to the multiprocessor's cache. */
template <int D>
__device__ __forceinline__ void prefetch_rows(const prefill_arguments &p,
                                              const prefill_item &item) {
  int64_t width = (p.a.n_heads + 2 * p.a.cache.n_kv_heads) * D;
  int n_lines = p.a.group * D / 64; /* of 128 bytes, of a token's heads */
  for (int token = 0; token < item.n_rows; token++) {
    const __nv_bfloat16 *q =
        p.a.qkv + (item.first_row + token) * width + item.kv_head * p.a.group * D;
    const float *angles = p.a.cos_sin + static_cast<int64_t>(item.first_position + token) * D;
    for (int i = threadIdx.x % 32; i < n_lines + D / 32; i += 32) {
      const void *line =
          i < n_lines ? static_cast<const void *>(q + i * 64) : angles + (i - n_lines) * 32;
      asm volatile("prefetch.global.L1 [%0];" ::"l"(line));
    }
  }
}

/* Positions beyond the last are fetched with their page, or left as they were. */
template <int D>
__device__ __forceinline__ void fetch(const prefill_arguments &p, const prefill_item &item,
                                      int index, prefill_shared<D> shared, int stage) {
  int first = index * tile_positions;
  int n_valid = min(tile_positions, item.last_position() + 1 - first);
  int n_boxes = (n_valid + p.box_rows - 1) / p.box_rows;
  uint32_t full = shared.full(stage);
  barrier_expect(full, static_cast<uint32_t>(n_boxes * p.box_rows * D * 4));
  for (int i = 0; i < n_boxes; i++) {
    int slot = static_cast<int>(cache_slot(p.a, item.first_page, first + i * p.box_rows));
#pragma unroll
    for (int panel = 0; panel < D / 64; panel++) {
      uint32_t to = shared.keys(stage) + panel * panel_tile<D>::panel_size + i * p.box_rows * 128;
      int column = item.kv_head * D + panel * 64;
      tma_load(to, &p.keys, column, slot, full);
      tma_load(to + panel_tile<D>::size, &p.values, column, slot, full);
    }
  }
}

/* Of the descriptions of the cache only: kernels ahead may still write to it. */
__device__ __forceinline__ void prefetch_maps(const prefill_arguments &p) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&p.keys) : "memory");
  asm volatile("prefetch.tensormap [%0];" ::"l"(&p.values) : "memory");
}

/* One warp. */
template <int D>
__device__ __forceinline__ void fetch_all(const prefill_arguments &p, prefill_shared<D> shared) {
  bool leads = threadIdx.x % 32 == 0;
  ring_place ring;
  if (leads)
    prefetch_maps(p);
  dependency_wait();
  int i = item_of_round(0);
  prefill_item item = find_item(p, min(i, p.n_items - 1));
  for (int round = 1; i < p.n_items; round++) {
    int n_tiles = item.n_rows > 0 ? item.n_tiles() : 0;
    for (int tile = 0; tile < n_tiles; tile++) {
      if (leads) {
        barrier_wait(shared.empty(ring.stage), ring.phase ^ 1);
        if (tile == 0)
          shared.item(ring.stage) = item;
        fetch<D>(p, item, tile, shared, ring.stage);
      }
      __syncwarp();
      if (tile == 0)
        prefetch_rows<D>(p, item);
      ring.advance(shared.n_stages);
    }
    i = item_of_round(round);
    item = find_item(p, min(i, p.n_items - 1));
  }
  if (leads) {
    barrier_wait(shared.empty(ring.stage), ring.phase ^ 1);
    shared.item(ring.stage) = {};
    barrier_arrive(shared.full(ring.stage));
  }
}

/* A warpgroup's way through the tiles of its items. */
template <int D> struct prefill_consumer {
  const prefill_arguments &p;
  prefill_shared<D> shared;
  int warpgroup;
  ring_place ring;
  prefill_rows<D> rows;
  int pending;          /* the stage of the tile whose values are yet to be added */
  tile_weights weights; /* of that tile */

  /* Waits for the tile behind the one where the ring is. */
  __device__ __forceinline__ void await_next(bool exists) const {
    ring_place next = ring;
    next.advance(shared.n_stages);
    if (exists)
      barrier_wait(shared.full(next.stage), next.phase);
  }

  __device__ __forceinline__ void release(int stage) const {
    __syncwarp();
    if (threadIdx.x % 32 == 0)
      barrier_arrive(shared.empty(stage));
  }

  __device__ __forceinline__ int row_of(int h) const {
    return static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4 + 8 * h;
  }

  __device__ __forceinline__ void load(const prefill_item &item) {
    int width = (p.a.n_heads + 2 * p.a.cache.n_kv_heads) * D;
    rows.clear();
#pragma unroll
    for (int h = 0; h < 2; h++) {
      int token = row_of(h) / p.a.group, head = item.kv_head * p.a.group + row_of(h) % p.a.group;
      bool exists = token < item.n_rows;
      rows.position[h] = exists ? item.first_position + token : -1;
      if (exists) {
        angles<D> by;
        by.load(p.a.cos_sin, item.first_position + token);
        int64_t row = item.first_row + token;
        rows.q.load(h, p.a.qkv + row * width + head * D, by);
      } else {
        rows.q.clear(h);
      }
    }
#pragma unroll
    for (int k = 0; k < D / 16; k++)
      wgmma_keep(rows.q.a[k]);
  }

  __device__ __forceinline__ void store(const prefill_item &item) const {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      int token = row_of(h) / p.a.group, head = item.kv_head * p.a.group + row_of(h) % p.a.group;
      int64_t row = item.first_row + token;
      if (token < item.n_rows)
        rows.store(h, p.a.out + (row * p.a.n_heads + head) * D);
    }
  }

  /* Tiles are awaited while the one before is at work. */
  template <bool is_masked, bool has_before>
  __device__ __forceinline__ void step(tile_weights &now, tile_weights &before, int tile,
                                       int n_tiles) {
    int stage = ring.stage;
    rows.template step<is_masked, has_before>(now, before, shared.keys(stage),
                                              shared.values(pending), tile * tile_positions,
                                              p.a.scale, [&] { await_next(tile + 1 < n_tiles); });
    ring.advance(shared.n_stages);
    if (has_before)
      release(pending);
    pending = stage;
  }

  /* A tile that is not the first; its weights take the place of the one before. */
  template <bool is_masked> __device__ __forceinline__ void step_on(int tile, int n_tiles) {
    tile_weights next;
    step<is_masked, true>(next, weights, tile, n_tiles);
    weights = next;
  }

  /* The tiles that all rows see; two by two, so that the weights of two tiles in
     turn keep to their registers. */
  __device__ __forceinline__ void attend_full(int n_full, int n_tiles) {
    tile_weights other;
    int tile = 1;
    step<false, false>(weights, other, 0, n_tiles);
    for (; tile + 1 < n_full; tile += 2) {
      step<false, true>(other, weights, tile, n_tiles);
      step<false, true>(weights, other, tile + 1, n_tiles);
    }
    if (tile < n_full)
      step_on<false>(tile, n_tiles);
  }

  template <bool is_masked> __device__ __forceinline__ void finish(int tile) {
    rows.template finish<is_masked>(weights, shared.values(pending), tile * tile_positions);
    release(pending);
  }

  __device__ __forceinline__ void attend(const prefill_item &item) {
    int first_row = warpgroup * 64;
    int lowest = item.first_position + first_row / p.a.group;
    int highest = min(item.last_position(), item.first_position + (first_row + 63) / p.a.group);
    bool is_idle = lowest > item.last_position();
    int n_full = is_idle ? 0 : (lowest + 1) / tile_positions; /* seen by all rows */
    int n_seen = is_idle ? 0 : highest / tile_positions + 1;
    int n_tiles = item.n_tiles(), tile = n_full;
    if (n_full > 0)
      attend_full(n_full, n_tiles);
    if (n_full == n_seen && n_full > 0) {
      finish<false>(0);
    } else if (n_full > 0) {
      step_on<true>(tile, n_tiles);
      finish<true>(tile++);
    }
    for (; tile < n_seen; tile++) {
      step<true, false>(weights, weights, tile, n_tiles);
      finish<true>(tile);
    }
    for (; tile < n_tiles; tile++) {
      release(ring.stage);
      await_next(tile + 1 < n_tiles);
      ring.advance(shared.n_stages);
    }
  }

  __device__ __forceinline__ void attend_all() {
    dependency_wait();
    for (;;) {
      barrier_wait(shared.full(ring.stage), ring.phase);
      prefill_item item = shared.item(ring.stage);
      if (item.n_rows == 0)
        return;
      load(item);
      attend(item);
      store(item);
    }
  }
};

template <int D>
__global__ void __launch_bounds__(prefill_threads, 1)
    attend_prefill(const __grid_constant__ prefill_arguments p) {
  extern __shared__ __align__(1024) unsigned char tiles[];
  prefill_shared<D> shared = {shared_address(tiles), tiles};
  int warpgroup = threadIdx.x / 128;
  if (threadIdx.x == 0) {
    for (int i = 0; i < shared.n_stages; i++) {
      barrier_init(shared.full(i), 1);
      barrier_init(shared.empty(i), 8);
    }
    barrier_init_fence();
  }
  __syncthreads();
  dependency_release();
  if (warpgroup == 2) {
    registers_give<24>();
    if (threadIdx.x / 32 == 8)
      fetch_all<D>(p, shared);
  } else {
    registers_take<240>();
    prefill_consumer<D> consumer = {p, shared, warpgroup, {}, {}, 0, {}};
    consumer.attend_all();
  }
}

/* A cache's keys or values. */
inline cudaError_t describe_cache(CUtensorMap *map, const void *data, int n_cols, int box_rows) {
  const tma_matrix cache = {data,   CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                            2,      INT32_MAX, /* as far as there are pages */
                            n_cols, box_rows,
                            64,     CU_TENSOR_MAP_SWIZZLE_128B};
  return tma_describe(map, cache);
}

template <int D> cudaError_t launch_prefill(const cuda_launch *launch, const attend_arguments &a) {
  constexpr int size = prefill_shared<D>::size;
  auto kernel = attend_prefill<D>;
  int n_kv = a.cache.n_kv_heads;
  prefill_arguments p = {};
  p.a = a;
  p.box_rows = a.cache.page_size < tile_positions ? a.cache.page_size : tile_positions;
  /* No fewer than the chunks of any such batch. */
  p.n_chunks = a.batch.n_rows / (prefill_block_rows / a.group) + a.batch.n_segments;
  p.n_items = p.n_chunks * n_kv;
  cudaError_t error = describe_cache(&p.keys, a.cache.keys, n_kv * D, p.box_rows);
  if (error == cudaSuccess)
    error = describe_cache(&p.values, a.cache.values, n_kv * D, p.box_rows);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, size);
  if (error != cudaSuccess)
    return error;
  int n_blocks = p.n_items < launch->n_units ? p.n_items : launch->n_units;
  return launch_kernel(launch, kernel, static_cast<unsigned>(n_blocks), prefill_threads, size, p);
}

} // namespace

#endif
