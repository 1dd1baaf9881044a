/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/common/attend_launch.cuh"

namespace {

template <int D, bool coded>
cudaError_t attend_as(const cuda_launch *launch, const attend_arguments &a) {
  const cuda_batch &batch = a.batch;
  if (batch.n_segment_rows_max > 1) {
    cudaError_t error = launch_append<D, coded>(launch, a);
    if (error == cudaSuccess)
      error = launch_chunk<D, warp_products, 8, 2, coded>(launch, a);
    bool all_alike = batch.n_rows == batch.n_segments * batch.n_segment_rows_max;
    if (error != cudaSuccess || all_alike)
      return error;
  }
  return launch_token<D, 1, 2, coded>(launch, a);
}

template <int D> cudaError_t attend(const cuda_launch *launch, const attend_arguments &a) {
  return is_coded(a.cache) ? attend_as<D, true>(launch, a) : attend_as<D, false>(launch, a);
}

} // namespace

int sm80_attend_takes(const cuda_attention *attention) {
  return takes_attention(attention);
}

size_t sm80_attend_scratch(const cuda_attention *, int) {
  return 0;
}

cudaError_t sm80_attend(const cuda_launch *launch, const cuda_attention *attention) {
  attend_arguments a = arguments_of(attention);
  switch (attention->cache->head_size) {
  case 32:
    return attend<32>(launch, a);
  case 64:
    return attend<64>(launch, a);
  case 96:
    return attend<96>(launch, a);
  default:
    return attend<128>(launch, a);
  }
}
