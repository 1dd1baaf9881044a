/* SPDX-License-Identifier: Apache-2.0 */
/* Whether and how products go to fixed.cuh's kernels. */
#ifndef LLQ_CUDA_FIXED_LAUNCH_CUH
#define LLQ_CUDA_FIXED_LAUNCH_CUH

#include "backends/cuda/common/fixed.cuh"
#include "backends/cuda/common/stream_launch.cuh"

template <class Format, int ring_size> struct fixed_ring {
  static constexpr int n_slots = ring_size / stream_ring<Format, 1, 0>::size;
  typedef fixed_memory<Format, n_slots> memory;

  static bool fits(const cuda_product &product, size_t limit) {
    return memory::size(static_cast<int>(product.n_rows), product.linear->n_in, 1) <= limit;
  }
};

/* Each block makes integers of x for itself, which takes long of more than a batch
   (fixed_batch). */
inline bool fixed_is_short(const cuda_product &product) {
  int64_t n_in = product.linear->n_in;
  return n_in <= fixed_norm_max
             ? product.n_rows <= fixed_rows_max
             : n_in <= 4 * fixed_norm_max && product.n_rows == 1 && product.norm == nullptr;
}

/* The largest ring of stream_ring_sizes that fits with x and sums into a half of a
   multiprocessor's memory; -1: none. */
template <class Format, int ring = 2> int fixed_largest_ring(const cuda_product &product) {
  if (fixed_ring<Format, stream_ring_sizes[ring]>::fits(
          product, stream_memory_shared(product.residual != nullptr)))
    return ring;
  if constexpr (ring > 0)
    return fixed_largest_ring<Format, ring - 1>(product);
  return -1;
}

template <class Table, class Format, int ring = 2>
cudaError_t fixed_launch(const cuda_launch *launch, const stream_call &call, int largest) {
  typedef fixed_ring<Format, stream_ring_sizes[ring]> type;
  if (ring == largest)
    return stream_start_kernel<typename type::memory>(
        launch, fixed_linear<Table, Format, type::n_slots>, call, false);
  if constexpr (ring > 0)
    return fixed_launch<Table, Format, ring - 1>(launch, call, largest);
  return cudaErrorInvalidValue;
}

struct fixed_fits {
  const cuda_product &product;
  int fits;

  template <class Format> void run() {
    fits = fixed_largest_ring<Format>(product) >= 0;
  }
};

template <class Table> struct fixed_start {
  const cuda_launch *launch;
  const cuda_product &product;
  cudaError_t error;

  template <class Format> void run() {
    error = fixed_launch<Table, Format>(
        launch, stream_call_of(product, 0, static_cast<int>(product.n_rows)),
        fixed_largest_ring<Format>(product));
  }
};

template <class Action> void fixed_dispatch(const cuda_linear &linear, Action &action) {
  linear.zero != nullptr ? action.template run<fixed_int4<true>>()
                         : action.template run<fixed_int4<false>>();
}

inline int fixed_takes(const cuda_product *product) {
  fixed_fits action = {*product, 0};
  if (product->linear->format == LLQ_WEIGHT_INT4 && fixed_is_short(*product) &&
      stream_takes(product))
    fixed_dispatch(*product->linear, action);
  return action.fits;
}

template <class Table>
cudaError_t fixed_run(const cuda_launch *launch, const cuda_product *product) {
  fixed_start<Table> action = {launch, *product, cudaErrorInvalidValue};
  fixed_dispatch(*product->linear, action);
  return action.error;
}

#endif
