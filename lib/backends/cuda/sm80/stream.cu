/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/sm80/stream.h"

#include "backends/cuda/common/stream_launch.cuh"

namespace {
struct sm80 {
  static constexpr int shared_memory = 162 * 1024; /* of a block */
};
} // namespace

int sm80_stream_takes(const cuda_product *product) {
  return stream_takes(product);
}

size_t sm80_stream_scratch(const cuda_product *product, int) {
  return stream_scratch(product);
}

cudaError_t sm80_stream(const cuda_launch *launch, const cuda_product *product) {
  return stream_run<sm80>(launch, product);
}

cudaError_t sm80_stream_norm(const cuda_launch *launch, const cuda_product *product, void *out) {
  return stream_normalize<sm80>(launch, *product, out);
}
