/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/sm80/fixed.h"

#include "backends/cuda/common/fixed_launch.cuh"

namespace {
struct sm80 {};
} // namespace

int sm80_fixed_takes(const cuda_product *product) {
  return fixed_takes(product);
}

cudaError_t sm80_fixed(const cuda_launch *launch, const cuda_product *product) {
  return fixed_run<sm80>(launch, product);
}
