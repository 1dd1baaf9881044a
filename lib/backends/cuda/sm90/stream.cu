/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/sm90/stream.h"

#include "backends/cuda/common/stream_launch.cuh"

namespace {
struct sm90 {
  static constexpr int ring_with_x = 204 * 1024;
};
}

int sm90_stream_takes(const cuda_product *product) {
  return stream_takes(product);
}

size_t sm90_stream_scratch(const cuda_product *product, int) {
  return stream_scratch(product);
}

cudaError_t sm90_stream(const cuda_launch *launch, const cuda_product *product) {
  return stream_run<sm90>(launch, product);
}
