/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/common/attend_launch.cuh"
#include "backends/cuda/sm90/prefill.cuh"

namespace {

/* Blocks of a cluster: as many as there are multiprocessors for, and tiles. */
int cluster_size(const cuda_launch *launch, const attend_arguments &a) {
  int n_clusters = a.batch.n_segments * a.cache.n_kv_heads;
  int n_tiles = (a.batch.n_positions_max + tile_positions - 1) / tile_positions, n = 8;
  while (n > 1 && (n * n_clusters > 2 * launch->n_units || n >= 2 * n_tiles))
    n /= 2;
  return n;
}

template <int D, bool coded>
cudaError_t attend_tokens(const cuda_launch *launch, const attend_arguments &a) {
  switch (cluster_size(launch, a)) {
  case 8:
    return launch_token<D, 8, 2, coded>(launch, a);
  case 4:
    return launch_token<D, 4, 2, coded>(launch, a);
  case 2:
    return launch_token<D, 2, 2, coded>(launch, a);
  default:
    return launch_token<D, 1, 2, coded>(launch, a);
  }
}

/* Head sizes that are not whole panels keep to mma, and so do codes. */
template <int D, bool coded>
cudaError_t attend_chunks(const cuda_launch *launch, const attend_arguments &a, int kernel) {
  if constexpr (D % 64 == 0 && !coded) {
    if (kernel == SM90_PREFILL_WGMMA)
      return launch_prefill<D>(launch, a);
  }
  return launch_chunk<D, warp_products, 8, 2, coded>(launch, a);
}

template <int D, bool coded>
cudaError_t attend_as(const cuda_launch *launch, const attend_arguments &a, int kernel) {
  const cuda_batch &batch = a.batch;
  if (batch.n_segment_rows_max > 1) {
    cudaError_t error = launch_append<D, coded>(launch, a);
    if (error == cudaSuccess)
      error = attend_chunks<D, coded>(launch, a, kernel);
    bool all_alike = batch.n_rows == batch.n_segments * batch.n_segment_rows_max;
    if (error != cudaSuccess || all_alike)
      return error;
  }
  return attend_tokens<D, coded>(launch, a);
}

template <int D>
cudaError_t attend(const cuda_launch *launch, const attend_arguments &a, int kernel) {
  return is_coded(a.cache) ? attend_as<D, true>(launch, a, kernel)
                           : attend_as<D, false>(launch, a, kernel);
}

} // namespace

int sm90_attend_takes(const cuda_attention *attention) {
  return takes_attention(attention);
}

size_t sm90_attend_scratch(const cuda_attention *, int) {
  return 0;
}

cudaError_t sm90_attend_with(const cuda_launch *launch, const cuda_attention *attention,
                             int kernel) {
  attend_arguments a = arguments_of(attention);
  switch (attention->cache->head_size) {
  case 32:
    return attend<32>(launch, a, kernel);
  case 64:
    return attend<64>(launch, a, kernel);
  case 96:
    return attend<96>(launch, a, kernel);
  default:
    return attend<128>(launch, a, kernel);
  }
}

cudaError_t sm90_attend(const cuda_launch *launch, const cuda_attention *attention) {
  return sm90_attend_with(launch, attention, SM90_PREFILL_DEFAULT);
}
