/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/cuda/sm90/fixed.h"

#include "backends/cuda/common/fixed_launch.cuh"

namespace {
struct sm90 {};
} // namespace

int sm90_fixed_takes(const cuda_product *product) {
  return fixed_takes(product);
}

cudaError_t sm90_fixed(const cuda_launch *launch, const cuda_product *product) {
  return fixed_run<sm90>(launch, product);
}
