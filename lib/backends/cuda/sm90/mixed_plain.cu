/* SPDX-License-Identifier: Apache-2.0 */
/* The mixed product's kernels of formats without groups. What steps take is estimated
   from int4's and from the bytes of a stage, not fitted. */
#include "backends/cuda/sm90/mixed_launch.cuh"

static const mixed_kernel int8_kernels[] = {
    kernel_that_takes<mixed_int8, 64, 1, 1, 0>(0.28, 0.7),
    kernel_that_takes<mixed_int8, 128, 1, 1, 0>(0.36, 1.4),
    kernel_that_takes<mixed_int8, 256, 1, 1, 0>(0.65, 3.6),
    kernel_that_takes<mixed_int8, 64, 1, 1, 1>(0.3, 0.7),
    kernel_that_takes<mixed_int8, 128, 1, 1, 1>(0.42, 1.4),
    kernel_that_takes<mixed_int8, 192, 1, 1, 1>(0.58, 2),
};
const mixed_kernels mixed_int8_kernels = {int8_kernels,
                                          sizeof int8_kernels / sizeof int8_kernels[0]};

static const mixed_kernel fp8_kernels[] = {
    kernel_that_takes<mixed_fp8, 64, 1, 1, 1>(0.3, 0.7),
    kernel_that_takes<mixed_fp8, 128, 1, 1, 1>(0.42, 1.4),
    kernel_that_takes<mixed_fp8, 192, 1, 1, 1>(0.58, 2),
};
const mixed_kernels mixed_fp8_kernels = {fp8_kernels, sizeof fp8_kernels / sizeof fp8_kernels[0]};

static const mixed_kernel dense_kernels[] = {
    kernel_that_takes<mixed_dense, 64, 1, 1, 1>(0.5, 0.7),
    kernel_that_takes<mixed_dense, 128, 1, 1, 1>(0.6, 1.4),
    kernel_that_takes<mixed_dense, 192, 1, 1, 1>(0.8, 2),
};
const mixed_kernels mixed_dense_kernels = {dense_kernels,
                                           sizeof dense_kernels / sizeof dense_kernels[0]};
