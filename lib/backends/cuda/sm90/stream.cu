/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/sm90/stream.h"

#include "backends/cuda/common/stream_launch.cuh"

namespace {
struct sm90;
}

int sm90_stream_takes(const cuda_product *product) {
  return stream_takes<stream_tuning>(product);
}

size_t sm90_stream_scratch(const cuda_product *, int) { return 0; }

cudaError_t sm90_stream(const cuda_launch *launch, const cuda_product *product) {
  return stream_run<sm90, stream_tuning>(launch, product);
}
