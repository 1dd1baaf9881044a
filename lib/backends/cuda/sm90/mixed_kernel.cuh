/* SPDX-License-Identifier: Apache-2.0 */
/* y^T = W x^T on tensor cores. Weights are operand A, in registers, where codes are
   made bf16 or f16; rows of x are operand B in shared memory. A warp for each of x,
   weights and, where there are groups, scales fetches stages of 64 inputs (TMA),
   warpgroups multiply: while the products of 32 inputs run, the weights of the next
   32 are made, also from one stage to the next.

   Blocks do whole tiles, or pieces of tiles, which differ in their inputs. They
   leave a piece's sums in scratch memory and count its units; the block that
   completes the count adds up what all have left, in the order of the inputs, and
   finishes the tile. No block waits for another, so they need not run at a time.

   In shares, sums are those of common/stream.cuh, bit by bit: the same eight shares
   of the inputs are summed one by one and added up in order, and the products of
   wgmma and of mma.sync are the same numbers. */
#ifndef LLQ_CUDA_MIXED_KERNEL_CUH
#define LLQ_CUDA_MIXED_KERNEL_CUH

#include "backends/cuda/common/groups.cuh"
#include "backends/cuda/common/launch.cuh"
#include "backends/cuda/sm90/mixed_store.cuh"
#include "backends/cuda/sm90/wgmma.cuh"

/* The shape of a block, and where things are in its shared memory. */
template <class Format, int rows, int parts, int warpgroups, int per_unit, bool shares>
struct mixed_shape {
  typedef Format format;
  static constexpr int n_rows = rows, n_parts = parts, n_warpgroups = warpgroups;
  static constexpr bool in_shares = shares;
  static constexpr int n_per_unit = per_unit;
  static_assert(parts == 2 || (parts == 1 && warpgroups == 2), "swiglu pairs parts");
  static constexpr int n_all_parts = parts * warpgroups, n_outs = 64 * n_all_parts;
  static constexpr int n_fetchers = Format::has_groups ? 3 : 2; /* of enum mixed_role */
  static constexpr int n_consumers = 128 * warpgroups, n_threads = n_consumers + 128;
  /* Registers of a thread of each warpgroup, multiples of 8: all get the same at
     first, then the producer gives most of its own away. */
  static constexpr int all_registers =
      65536 / 128 / per_unit / (warpgroups + 1) / 8 * 8 * (warpgroups + 1);
  static constexpr int most_registers = (all_registers - 24) / warpgroups / 8 * 8;
  static constexpr int consumer_registers = most_registers < 240 ? most_registers : 240;
  static constexpr int producer_registers = all_registers - warpgroups * consumer_registers;
  static constexpr int x_bytes = rows * step_inputs * 2;
  static constexpr int weight_bytes =
      n_all_parts * (Format::part_bytes + 2 * Format::part_scale_bytes);
  static constexpr int stage_bytes = x_bytes + weight_bytes;
  static constexpr int chunks = warpgroups * chunks_bytes(64 * parts);
  static constexpr int exchange = parts == 1 ? exchange_bytes : 0;
  static constexpr int most_stages = 16;
  static constexpr int fixed_bytes = chunks + exchange + 2 * 8 * most_stages + 16;
  /* More than half, or two blocks could share a multiprocessor and leave another
     without work; of small ones less than all: a norm's blocks run beside. */
  static constexpr int room = (per_unit == 1 ? 227 : 204) * 1024;
  static constexpr int fit = (room - fixed_bytes) / stage_bytes;
  static constexpr int n_stages = fit < most_stages ? fit : most_stages;
  static constexpr int shared_bytes = fixed_bytes + n_stages * stage_bytes;
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
  __device__ __forceinline__ uint32_t n_done() const {
    return full(2 * shape::most_stages);
  }
};

template <typename shape>
__device__ __forceinline__ mixed_tile tile_of(const mixed_work &work, const mixed_piece &piece) {
  int tile_outs = work.swiglu ? shape::n_outs / 2 : shape::n_outs;
  return tile_at(work, piece.item, tile_outs, shape::n_rows);
}

/* The task of a producer's warp; the last only has the maps at hand. Weights and scales
   are constants, so they may come before the kernels that this one depends on have
   ended. */
enum mixed_role { fetches_x, fetches_weights, fetches_scales, fetches_maps };

template <typename shape> struct mixed_producer {
  typedef typename shape::format Format;
  const mixed_work &work;
  mixed_shared<shape> shared;
  ring_place ring;

  __device__ __forceinline__ void fetch_x(mixed_tile tile, int step, uint32_t full) const {
    barrier_expect(full, shape::x_bytes);
    tma_load(shared.x(ring.stage), &work.x, step * step_inputs, tile.row, full);
  }

  /* Parts come in two halves: with swiglu of gate and up. */
  __device__ __forceinline__ void fetch_halves(const CUtensorMap *map, mixed_tile tile, int column,
                                               uint32_t to, int bytes, uint32_t full) const {
    int second = tile.out + (work.swiglu ? work.n_out : shape::n_outs / 2);
    tma_load_once(to, map, column, tile.out / Format::outputs_a_row, full);
    tma_load_once(to + bytes / 2, map, column, second / Format::outputs_a_row, full);
  }

  __device__ __forceinline__ void fetch_weights(mixed_tile tile, int step, uint32_t full) const {
    constexpr int n_boxes = Format::n_boxes, bytes = shape::n_all_parts * Format::part_bytes;
    barrier_expect(full, bytes);
#pragma unroll
    for (int box = 0; box < n_boxes; box++)
      fetch_halves(&work.weight, tile, (step * n_boxes + box) * Format::box_cols,
                   shared.weights(ring.stage) + box * (bytes / n_boxes), bytes / n_boxes, full);
  }

  __device__ __forceinline__ void fetch_scales(mixed_tile tile, int step, uint32_t full) const {
    constexpr int bytes = shape::n_all_parts * Format::part_scale_bytes;
    int column = group_at(step, work.group_factor) * 8;
    uint32_t to = shared.weights(ring.stage) + shape::n_all_parts * Format::part_bytes;
    barrier_expect(full, Format::has_zero ? 2 * bytes : bytes);
    fetch_halves(&work.scale, tile, column, to, bytes, full);
    if (Format::has_zero)
      fetch_halves(&work.zero, tile, column, to + bytes, bytes, full);
  }

  __device__ __forceinline__ void fetch(int role, const mixed_piece &piece) {
    mixed_tile tile = tile_of<shape>(work, piece);
    for (mixed_walk<shape::in_shares> walk(work, piece); walk.goes_on(); walk.advance()) {
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
  typedef typename shape::format Format;
  static constexpr int n_parts = shape::n_parts;
  const mixed_work &work;
  mixed_shared<shape> shared;
  ring_place ring;
  float d[n_parts][shape::n_rows / 2];
  float total[n_parts][shape::in_shares ? shape::n_rows / 2 : 1]; /* of shares */
  int first_part, part_step; /* where this warpgroup's parts are in a stage */
  typename Format::fragments weights[n_parts];
  uint32_t a[4][n_parts][4]; /* of 16 inputs each */

  /* Tells the producers that this warp needs a stage no more. */
  __device__ __forceinline__ void release(int stage) const {
    if (threadIdx.x % 32 == 0)
      barrier_arrive(shared.empty(stage));
  }

  /* A warpgroup's parts alternate gate and up with swiglu. */
  __device__ __forceinline__ void begin() {
    int warpgroup = threadIdx.x / 128;
    bool pairs = work.swiglu && shape::n_parts % 2 == 0;
    first_part = warpgroup * (pairs ? shape::n_parts / 2 : shape::n_parts);
    part_step = pairs ? shape::n_all_parts / 2 : 1;
  }

  /* Waits for the ring's stage and takes its weights to registers. */
  __device__ __forceinline__ void load() {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    barrier_wait(shared.full(ring.stage), ring.phase);
#pragma unroll
    for (int part = 0; part < n_parts; part++)
      weights[part].load(shared.weights(ring.stage), shape::n_all_parts,
                         first_part + part * part_step, warp % 4, lane);
  }

  /* Weights of inputs 16 s to 16 s + 31 of the stage. */
  __device__ __forceinline__ void make(int s) {
#pragma unroll
    for (int k = s; k < s + 2; k++)
#pragma unroll
      for (int part = 0; part < n_parts; part++) {
        weights[part].make(k, a[k][part]);
        wgmma_keep(a[k][part]);
      }
  }

  __device__ __forceinline__ void issue(uint64_t operand, int s, int accumulates) {
    wgmma_fence();
#pragma unroll
    for (int k = s; k < s + 2; k++)
#pragma unroll
      for (int part = 0; part < n_parts; part++)
        wgmma<shape::n_rows, 0, Format::is_half>::issue(d[part], a[k][part], operand + 2 * k,
                                                        k > s || accumulates);
    wgmma_commit();
  }

  /* Until now the products of these inputs were in flight. */
  __device__ __forceinline__ void arrived(int s) const {
#pragma unroll
    for (int k = s; k < s + 2; k++)
#pragma unroll
      for (int part = 0; part < n_parts; part++)
        wgmma_used(a[k][part]);
  }

  __device__ __forceinline__ void add_share() {
#pragma unroll
    for (int part = 0; part < n_parts; part++)
#pragma unroll
      for (int i = 0; i < shape::n_rows / 2; i++)
        total[part][i] += d[part][i];
  }

  __device__ __forceinline__ void clear(float (&sums)[n_parts][shape::n_rows / 2]) const {
#pragma unroll
    for (int part = 0; part < n_parts; part++)
#pragma unroll
      for (int i = 0; i < shape::n_rows / 2; i++)
        sums[part][i] = 0;
  }

  /* A share's sums are complete. Of part of a tile only those that begin it can be
     added up already. */
  __device__ __forceinline__ void end_share(const mixed_piece &piece, int share, int n_rows) {
    wgmma_wait<0>();
    if (piece.first == 0)
      add_share();
    else
      leave_sums<shape>(slot_of<shape>(work, blockIdx.x, 1 + share - piece.first), d, n_rows);
  }

  /* A group of products for each 32 inputs; while one is in flight the next one's
     weights are made, at last those of the next stage. */
  __device__ __forceinline__ void multiply(const mixed_piece &piece, int n_rows) {
    if constexpr (shape::in_shares)
      clear(total);
    mixed_walk<shape::in_shares> walk(work, piece);
    load();
    make(0);
    int begins_share = 1, last_stage = -1;
    while (walk.goes_on()) {
      int stage = ring.stage, share = walk.share;
      bool ends_share = walk.ends_share();
      uint64_t operand = wgmma_operand(shared.x(stage));
      ring.advance(shape::n_stages);
      walk.advance();
      issue(operand, 0, !begins_share);
      wgmma_wait<1>();
      arrived(2);
      if (last_stage >= 0)
        release(last_stage);
      make(2);
      issue(operand, 2, 1);
      if (walk.goes_on())
        load();
      wgmma_wait<1>();
      arrived(0);
      make(0);
      begins_share = ends_share;
      last_stage = stage;
      if constexpr (shape::in_shares)
        if (ends_share)
          end_share(piece, share, n_rows);
    }
    wgmma_wait<0>();
    arrived(2);
    release(last_stage);
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

  __device__ __forceinline__ auto &sums() {
    if constexpr (shape::in_shares)
      return total;
    else
      return d;
  }

  /* The lane's first output of a part, among those of the weights. */
  __device__ __forceinline__ int output_of(mixed_tile tile, int part) const {
    int at = (first_part + part * part_step) * 64, half = shape::n_outs / 2;
    int first = work.swiglu && at >= half ? work.n_out - half + tile.out : tile.out;
    return first + at + threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
  }

  /* Sums count Format::unit until then. */
  __device__ __forceinline__ void count_in_ones() {
#pragma unroll
    for (int part = 0; part < n_parts; part++)
#pragma unroll
      for (int i = 0; i < shape::n_rows / 2; i++)
        sums()[part][i] *= Format::unit;
  }

  /* By the scales of rows, then of outputs. */
  __device__ __forceinline__ void scale_sums(mixed_tile tile) {
    int first_row = tile.row + threadIdx.x % 4 * 2;
#pragma unroll
    for (int part = 0; part < n_parts; part++) {
      int output = output_of(tile, part);
      float scale[2] = {__bfloat162float(work.scales.at(output)),
                        __bfloat162float(work.scales.at(output + 8))};
#pragma unroll
      for (int i = 0; i < shape::n_rows / 2; i++) {
        int row = first_row + i / 4 * 8 + i % 2;
        float of_row = row < work.n_rows ? __ldcg(work.row_scale + row) : 0;
        sums()[part][i] = sums()[part][i] * of_row * scale[i / 2 % 2];
      }
    }
  }

  __device__ __forceinline__ void run(const mixed_piece &piece, int &turn) {
    mixed_tile tile = tile_of<shape>(work, piece);
    int n_rows = work.n_rows - tile.row;
#pragma unroll
    for (int part = 0; part < n_parts; part++)
      weights[part].begin(work.scales, output_of(tile, part));
    multiply(piece, n_rows);
    if (piece.end - piece.first < work.n_units) {
      if (!shape::in_shares || piece.first == 0)
        leave_sums<shape>(slot_of<shape>(work, blockIdx.x, piece.first > 0), sums(), n_rows);
      if (!is_last<shape>(work, piece, shared.n_done()))
        return;
      gather_sums<shape>(work, piece, sums(), n_rows);
    }
    if constexpr (Format::scaled)
      scale_sums(tile);
    else if constexpr (Format::unit != 1)
      count_in_ones();
    store(sums(), tile, turn);
  }
};

template <typename shape>
__device__ __forceinline__ void produce(const mixed_work &work, mixed_shared<shape> shared) {
  mixed_producer<shape> producer = {work, shared, {}};
  int role = (static_cast<int>(threadIdx.x) - shape::n_consumers) / 32;
  if (role == fetches_maps && threadIdx.x % 32 == 0) {
    tma_prefetch(&work.x);
    tma_prefetch(&work.weight);
    if (shape::format::has_groups)
      tma_prefetch(&work.scale);
  }
  if (role >= shape::n_fetchers || threadIdx.x % 32 != 0)
    return;
  if (role == fetches_x)
    dependency_wait();
  for (mixed_turns turns(work); turns.goes_on(work);) {
    mixed_piece piece = turns.piece(work);
    producer.fetch(role, piece);
    turns.advance(work, piece);
  }
}

template <typename shape>
__device__ __forceinline__ void consume(const mixed_work &work, mixed_shared<shape> shared) {
  int turn = 0;
  mixed_consumer<shape> consumer = {work, shared, {}, {}, {}, 0, 0, {}, {}};
  consumer.begin();
  dependency_wait();
  for (mixed_turns turns(work); turns.goes_on(work);) {
    mixed_piece piece = turns.piece(work);
    consumer.run(piece, turn);
    turns.advance(work, piece);
  }
}

template <typename shape>
__global__ void __launch_bounds__(shape::n_threads, shape::n_per_unit)
    multiply_mixed(const __grid_constant__ mixed_work work) {
  extern __shared__ __align__(1024) char memory[];
  mixed_shared<shape> shared = {shared_address(memory)};
  asm volatile("" : "+r"(shared.base)); /* or each stage asks for it again, and waits */
  if (threadIdx.x == 0) {
    for (int i = 0; i < shape::n_stages; i++) {
      barrier_init(shared.full(i), shape::n_fetchers);
      barrier_init(shared.empty(i), shape::n_consumers / 32);
    }
    barrier_init_fence();
  }
  __syncthreads();
  dependency_release();
  if (threadIdx.x >= shape::n_consumers) {
    registers_give<shape::producer_registers>();
    produce<shape>(work, shared);
  } else {
    registers_take<shape::consumer_registers>();
    consume<shape>(work, shared);
  }
}

#endif
