/* SPDX-License-Identifier: Apache-2.0 */
/* The mixed product's kernels of int4. */
#include "backends/cuda/sm90/mixed_launch.cuh"

template <int rows, int parts, int per_unit, int in_shares>
static constexpr mixed_kernel of_int4(double step, double store) {
  mixed_kernel kernel =
      kernel_that_takes<mixed_int4<false>, rows, parts, per_unit, in_shares>(step, store);
  kernel.launch[1] =
      kernel_that_takes<mixed_int4<true>, rows, parts, per_unit, in_shares>(0, 0).launch[0];
  return kernel;
}

static const mixed_kernel kernels[] = {
    of_int4<16, 2, 2, 0>(0.28, 0.5),   of_int4<32, 1, 2, 0>(0.2, 0.4),
    of_int4<32, 2, 2, 0>(0.31, 0.6),   of_int4<64, 1, 2, 0>(0.235, 0.7),
    of_int4<64, 2, 1, 0>(0.38, 1.6),   of_int4<128, 1, 1, 0>(0.335, 1.4),
    of_int4<128, 2, 1, 0>(0.62, 3),    of_int4<256, 1, 1, 0>(0.63, 3.6),
    of_int4<64, 1, 1, 1>(0.275, 0.7),  of_int4<64, 2, 1, 1>(0.45, 1.6),
    of_int4<128, 1, 1, 1>(0.405, 1.4), of_int4<192, 1, 1, 1>(0.55, 2),
};

const mixed_kernels mixed_int4_kernels = {kernels, sizeof kernels / sizeof kernels[0]};
