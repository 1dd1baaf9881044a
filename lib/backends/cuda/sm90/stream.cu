/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/sm90/stream.h"

#include "backends/cuda/common/stream_launch.cuh"
#include "backends/cuda/sm90/mixed_work.cuh"

static_assert(mixed_shares == stream_warps, "one order of sums");

namespace {
struct sm90 {
  static constexpr int shared_memory = 226 * 1024; /* of a block */
};
} // namespace

int sm90_stream_takes(const cuda_product *product) {
  return stream_takes(product);
}

size_t sm90_stream_scratch(const cuda_product *product, int) {
  return stream_scratch(product);
}

cudaError_t sm90_stream(const cuda_launch *launch, const cuda_product *product) {
  return stream_run<sm90>(launch, product);
}

cudaError_t sm90_stream_prepare(const cuda_launch *launch, const cuda_product *product, void *out,
                                float *row_scale) {
  stream_prepare_all<sm90> action = {launch, *product, out, row_scale, cudaErrorInvalidValue};
  stream_dispatch(*product->linear, action);
  return action.error;
}

cudaError_t sm90_stream_norm(const cuda_launch *launch, const cuda_product *product, void *out) {
  return stream_normalize<sm90>(launch, *product, out);
}
