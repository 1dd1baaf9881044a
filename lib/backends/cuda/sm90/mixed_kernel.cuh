/* SPDX-License-Identifier: Apache-2.0 */
/* y^T = W x^T on tensor cores. Weights are operand A, made bf16 in registers,
   rows of x are operand B in shared memory. Three warps of a block fetch stages of
   64 inputs (TMA), warpgroups multiply: while the products of 16 inputs run, the
   weights of the next 16 are made. Blocks go from tile to tile.

   In shares, sums are those of common/stream.cuh, bit by bit: the same eight shares
   of the inputs are summed one by one and added up in order, and the products of
   wgmma and of mma.sync are the same numbers. */
#ifndef LLQ_CUDA_MIXED_KERNEL_CUH
#define LLQ_CUDA_MIXED_KERNEL_CUH

#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/sm90/int4.cuh"
#include "backends/cuda/sm90/mixed_store.cuh"
#include "backends/cuda/sm90/wgmma.cuh"

/* The shape of a block, and where things are in its shared memory. */
template <int rows, int parts, int warpgroups, int per_unit, bool shares> struct mixed_shape {
  static constexpr int n_rows = rows, n_parts = parts, n_warpgroups = warpgroups;
  static constexpr bool in_shares = shares;
  static constexpr int n_per_unit = per_unit;
  static_assert(parts == 2 || (parts == 1 && warpgroups == 2), "swiglu pairs parts");
  static constexpr int n_all_parts = parts * warpgroups, n_outs = 64 * n_all_parts;
  static constexpr int n_consumers = 128 * warpgroups, n_threads = n_consumers + 128;
  /* Registers of a thread of each warpgroup, multiples of 8: all get the same at
     first, then the producer gives most of its own away. */
  static constexpr int all_registers =
      65536 / 128 / per_unit / (warpgroups + 1) / 8 * 8 * (warpgroups + 1);
  static constexpr int most_registers = (all_registers - 24) / warpgroups / 8 * 8;
  static constexpr int consumer_registers = most_registers < 240 ? most_registers : 240;
  static constexpr int producer_registers = all_registers - warpgroups * consumer_registers;
  static constexpr int x_bytes = rows * step_inputs * 2;
  static constexpr int weight_bytes = int4_stage_bytes(n_all_parts);
  static constexpr int stage_bytes = x_bytes + weight_bytes;
  static constexpr int chunks = warpgroups * chunks_bytes(64 * parts);
  static constexpr int exchange = parts == 1 ? exchange_bytes : 0;
  static constexpr int most_stages = 16;
  static constexpr int fixed_bytes = chunks + exchange + 2 * 8 * most_stages;
  static constexpr int room = (per_unit == 1 ? 227 : 113) * 1024;
  static constexpr int fit = (room - fixed_bytes) / stage_bytes;
  static constexpr int n_stages = fit < most_stages ? fit : most_stages;
  static constexpr int shared_bytes = fixed_bytes + n_stages * stage_bytes;
  static constexpr int sums_bytes = rows * sums_pitch(n_outs) * 4;
  static constexpr int most_sums = n_stages * stage_bytes / sums_bytes;
};

/* Addresses in shared memory: stages of x at multiples of 1024 bytes first. */
template <typename shape> struct mixed_shared {
  uint32_t base;
  __device__ __forceinline__ uint32_t x(int stage) const {
    return base + stage * shape::x_bytes;
  }
  __device__ __forceinline__ uint32_t weights(int stage) const {
    return base + shape::n_stages * shape::x_bytes + stage * shape::weight_bytes;
  }
  __device__ __forceinline__ uint32_t chunks(int warpgroup) const {
    return base + shape::n_stages * shape::stage_bytes +
           warpgroup * chunks_bytes(64 * shape::n_parts);
  }
  __device__ __forceinline__ uint32_t exchange() const {
    return chunks(shape::n_warpgroups);
  }
  __device__ __forceinline__ uint32_t full(int stage) const {
    return exchange() + shape::exchange + stage * 8;
  }
  __device__ __forceinline__ uint32_t empty(int stage) const {
    return full(shape::most_stages + stage);
  }
};

/* A fetching warp's task. Weights and scales are constants, so they may come before
   the kernels that this one depends on have ended. */
enum mixed_role { fetches_x, fetches_weights, fetches_scales, n_roles };

template <typename shape> struct mixed_producer {
  const mixed_work &work;
  const mixed_place &place;
  mixed_shared<shape> shared;
  ring_place ring;

  /* A sharer's part of the tile's rows, to all that have the same split. */
  __device__ __forceinline__ void fetch_x(mixed_tile tile, int step, uint32_t full) const {
    uint32_t to = shared.x(ring.stage);
    barrier_expect(full, shape::x_bytes);
    if (work.n_sharers == 1) {
      tma_load(to, &work.x, step * step_inputs, tile.row, full);
      return;
    }
    int n = shape::n_rows / work.n_sharers;
    uint32_t ranks = ((1u << work.n_sharers) - 1) << place.first_rank;
    tma_load_to(to + place.sharer * n * step_inputs * 2, &work.x, step * step_inputs,
                tile.row + place.sharer * n, full, ranks);
  }

  /* Parts come in two halves: with swiglu of gate and up. */
  __device__ __forceinline__ void fetch_halves(const CUtensorMap *map, mixed_tile tile, int column,
                                               uint32_t to, int bytes, uint32_t full) const {
    int second = tile.out + (work.swiglu ? work.n_out : shape::n_outs / 2);
    tma_load(to, map, column, tile.out / 16, full);
    tma_load(to + bytes / 2, map, column, second / 16, full);
  }

  __device__ __forceinline__ void fetch_weights(mixed_tile tile, int step, uint32_t full) const {
    constexpr int bytes = shape::n_all_parts * part_bytes;
    barrier_expect(full, bytes);
    fetch_halves(&work.weight, tile, step * 128, shared.weights(ring.stage), bytes, full);
  }

  __device__ __forceinline__ void fetch_scales(mixed_tile tile, int step, uint32_t full) const {
    constexpr int bytes = shape::n_all_parts * part_scale_bytes;
    int column = step / work.steps_per_group * 8;
    uint32_t to = shared.weights(ring.stage) + shape::n_all_parts * part_bytes;
    barrier_expect(full, work.has_zero ? 2 * bytes : bytes);
    fetch_halves(&work.scale, tile, column, to, bytes, full);
    if (work.has_zero)
      fetch_halves(&work.zero, tile, column, to + bytes, bytes, full);
  }

  __device__ __forceinline__ void fetch(int role, mixed_tile tile) {
    for (mixed_walk walk(work, place); walk.goes_on(); walk.advance()) {
      uint32_t full = shared.full(ring.stage);
      barrier_wait(shared.empty(ring.stage), ring.phase ^ 1);
      if (role == fetches_x)
        fetch_x(tile, walk.step, full);
      else if (role == fetches_weights)
        fetch_weights(tile, walk.step, full);
      else
        fetch_scales(tile, walk.step, full);
      ring.advance(shape::n_stages);
    }
  }
};

template <typename shape> struct mixed_consumer {
  const mixed_work &work;
  const mixed_place &place;
  mixed_shared<shape> shared;
  ring_place ring;
  float d[shape::n_parts][shape::n_rows / 2];
  float total[shape::n_parts][shape::in_shares ? shape::n_rows / 2 : 1]; /* of shares */
  int first_part, part_step; /* where this warpgroup's parts are in a stage */
  int4_fragments weights[shape::n_parts], next[shape::n_parts];
  uint32_t a[shape::n_parts][4];

  /* Tells the producers of all sharers that this warp needs a stage no more. */
  __device__ __forceinline__ void release(int stage) const {
    int lane = threadIdx.x % 32;
    if (work.n_sharers == 1) {
      if (lane == 0)
        barrier_arrive(shared.empty(stage));
    } else if (lane < work.n_sharers) {
      barrier_arrive_at(shared.empty(stage), static_cast<uint32_t>(place.first_rank + lane));
    }
  }

  /* A warpgroup's parts alternate gate and up with swiglu. */
  __device__ __forceinline__ void begin() {
    int warpgroup = threadIdx.x / 128;
    bool pairs = work.swiglu && shape::n_parts % 2 == 0;
    first_part = warpgroup * (pairs ? shape::n_parts / 2 : shape::n_parts);
    part_step = pairs ? shape::n_all_parts / 2 : 1;
  }

  /* Waits for the ring's stage and takes its int4 weights to registers. */
  __device__ __forceinline__ void load(int4_fragments (&to)[shape::n_parts]) const {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    barrier_wait(shared.full(ring.stage), ring.phase);
#pragma unroll
    for (int part = 0; part < shape::n_parts; part++)
      to[part].load(shared.weights(ring.stage), shape::n_all_parts, first_part + part * part_step,
                    warp % 4, lane, work.has_zero);
  }

  __device__ __forceinline__ void make(const int4_fragments (&from)[shape::n_parts], int s) {
#pragma unroll
    for (int part = 0; part < shape::n_parts; part++) {
      from[part].make(s, a[part]);
      wgmma_keep(a[part]);
    }
  }

  /* A group of products for each 16 inputs; while one is in flight the next one's
     weights are made, at last those of the next stage. Without a branch: ptxas
     gives operands of products in flight away at the end of a basic block. */
  __device__ __forceinline__ void multiply_stage(uint64_t operand, bool first) {
#pragma unroll
    for (int s = 0; s < 4; s++) {
      wgmma_fence();
#pragma unroll
      for (int part = 0; part < shape::n_parts; part++)
        wgmma<shape::n_rows>::issue(d[part], a[part], operand + 2 * s, !first || s > 0);
      wgmma_commit();
      if (s < 3) {
        wgmma_wait<1>();
        make(weights, s + 1);
      } else {
        make(next, 0);
        wgmma_wait<0>();
      }
    }
  }

  __device__ __forceinline__ void add_share() {
#pragma unroll
    for (int part = 0; part < shape::n_parts; part++)
#pragma unroll
      for (int i = 0; i < shape::n_rows / 2; i++)
        total[part][i] += d[part][i];
  }

  /* Of two shares of a split the first goes to `total`, the second stays in d. */
  __device__ __forceinline__ void multiply() {
    if constexpr (shape::in_shares) {
#pragma unroll
      for (int part = 0; part < shape::n_parts; part++)
#pragma unroll
        for (int i = 0; i < shape::n_rows / 2; i++)
          total[part][i] = 0;
    }
    load(weights);
    make(weights, 0);
    bool begins_share = true;
    for (mixed_walk walk(work, place); walk.goes_on();) {
      int stage = ring.stage, share = walk.share;
      bool ends_share = walk.ends_share();
      ring.advance(shape::n_stages);
      walk.advance();
      if (walk.goes_on())
        load(next);
      multiply_stage(wgmma_operand(shared.x(stage)), begins_share);
      release(stage);
#pragma unroll
      for (int part = 0; part < shape::n_parts; part++)
        weights[part] = next[part];
      begins_share = ends_share;
      if constexpr (shape::in_shares)
        if (ends_share && (work.n_splits == 1 || share == place.first_share))
          add_share();
    }
  }

  template <int n>
  __device__ __forceinline__ void store(float (&d)[shape::n_parts][n], mixed_tile tile,
                                        int &turn) const {
    constexpr int n_parts = shape::n_parts, n_rows = shape::n_rows;
    int warpgroup = threadIdx.x / 128;
    uint32_t chunks = shared.chunks(warpgroup);
    if (work.out_is_f32) {
      store_f32<n_rows>(work, d, tile.row, tile.out + warpgroup * n_parts * 64);
    } else if (!work.swiglu) {
      store_rounded<n_rows, n_parts>(work, d, chunks, turn, warpgroup, tile.row,
                                     tile.out + warpgroup * n_parts * 64);
    } else if constexpr (n_parts == 2) {
#pragma unroll
      for (int i = 0; i < n_rows / 2; i++)
        d[0][i] = swiglu<shape::in_shares>(d[0][i], d[1][i]);
      store_rounded<n_rows, 1>(work, d, chunks, turn, warpgroup, tile.row,
                               tile.out + warpgroup * 64);
    } else {
      store_exchanged<n_rows, shape::in_shares>(work, d[0], shared.exchange(), chunks, turn,
                                                warpgroup, tile.row, tile.out);
    }
  }

  __device__ __forceinline__ void store_all(mixed_tile tile, int &turn) {
    if constexpr (shape::in_shares)
      store(total, tile, turn);
    else
      store(d, tile, turn);
  }

  /* For the other splits, when no stage is in use any more. */
  __device__ __forceinline__ void leave(char *memory) const {
    constexpr int pitch = sums_pitch(shape::n_outs);
    float *sums = reinterpret_cast<float *>(memory);
    int warpgroup = static_cast<int>(threadIdx.x) / 128;
    if constexpr (shape::in_shares) {
      store_sums<shape::n_rows>(sums, pitch, total, warpgroup);
      if (place.end_share - place.first_share == 1)
        return;
      sums += shape::sums_bytes / 4;
    }
    store_sums<shape::n_rows>(sums, pitch, d, warpgroup);
  }
};

/* All threads of a cluster, its producers too: sums meet in shared memory. */
template <typename shape>
__device__ __forceinline__ void store_splits(const mixed_work &work, const mixed_place &place,
                                             mixed_tile tile, uint32_t sums) {
  cluster_sync();
  if (threadIdx.x < shape::n_consumers)
    finish_splits<shape>(work, place, tile, sums);
  copies_follow();
  __syncwarp();
  cluster_sync();
}

template <typename shape>
__device__ __forceinline__ void produce(const mixed_work &work, const mixed_place &place,
                                        mixed_shared<shape> shared, int n_items) {
  constexpr int outs = shape::n_outs;
  int tile_outs = work.swiglu ? outs / 2 : outs;
  mixed_producer<shape> producer = {work, place, shared, {}};
  int role = (static_cast<int>(threadIdx.x) - shape::n_consumers) / 32;
  bool fetches = role < n_roles && threadIdx.x % 32 == 0;
  if (fetches && role == fetches_x)
    dependency_wait();
  for (int item = place.cluster; item < n_items; item += place.n_clusters) {
    if (fetches)
      producer.fetch(role, tile_at(work, item, place.sharer, tile_outs, shape::n_rows));
    __syncwarp();
    if (work.n_splits > 1)
      store_splits<shape>(work, place, {}, shared.base);
  }
}

template <typename shape>
__device__ __forceinline__ void consume(const mixed_work &work, const mixed_place &place,
                                        mixed_shared<shape> shared, int n_items, char *memory) {
  constexpr int outs = shape::n_outs;
  int tile_outs = work.swiglu ? outs / 2 : outs;
  int turn = 0;
  mixed_consumer<shape> consumer = {work, place, shared, {}, {}, {}, 0, 0, {}, {}, {}};
  consumer.begin();
  dependency_wait();
  for (int item = place.cluster; item < n_items; item += place.n_clusters) {
    mixed_tile tile = tile_at(work, item, place.sharer, tile_outs, shape::n_rows);
    consumer.multiply();
    if (work.n_splits == 1) {
      consumer.store_all(tile, turn);
    } else {
      asm volatile("bar.sync 15, %0;" ::"n"(shape::n_consumers) : "memory");
      consumer.leave(memory);
      store_splits<shape>(work, place, tile, shared.base);
    }
  }
}

template <typename shape>
__global__ void __launch_bounds__(shape::n_threads, shape::n_per_unit)
    multiply_mixed(const __grid_constant__ mixed_work work) {
  extern __shared__ __align__(1024) char memory[];
  mixed_shared<shape> shared = {shared_address(memory)};
  mixed_place place = place_of_block(work);
  if (threadIdx.x == 0) {
    for (int i = 0; i < shape::n_stages; i++) {
      barrier_init(shared.full(i), n_roles);
      barrier_init(shared.empty(i), shape::n_consumers / 32 * work.n_sharers);
    }
    barrier_init_fence();
  }
  cluster_sync();
  dependency_release();
  int n_items = work.n_out_tiles / work.n_sharers * work.n_row_tiles;
  if (threadIdx.x >= shape::n_consumers) {
    registers_give<shape::producer_registers>();
    produce<shape>(work, place, shared, n_items);
  } else {
    registers_take<shape::consumer_registers>();
    consume<shape>(work, place, shared, n_items, memory);
  }
  /* Others may still arrive at this block's barriers. */
  if (work.n_sharers > 1) {
    __syncwarp();
    cluster_sync();
  }
}

#endif
