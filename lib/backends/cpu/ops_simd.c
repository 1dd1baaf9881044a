/* SPDX-License-Identifier: Apache-2.0 */
/* The slots that this instruction set has better kernels for. */
#include "backends/cpu/kernels_simd.h"

void ARCH(ops)(llq_backend_ops *ops) {
  ops->linear_upload = ARCH(linear_upload);
  ops->rms_norm = ARCH(rms_norm);
  ops->attention = ARCH(attention);
  ops->swiglu = ARCH(swiglu);
  ops->add = ARCH(add);
}
