/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 of few rows by integer products, for sm_80: see common/fixed.cuh. A row's
   result depends neither on other rows nor on their number; it is not that of the
   kernels of more rows. What sm80_stream() takes, of int4, with few rows. */
#ifndef LLQ_CUDA_SM80_FIXED_H
#define LLQ_CUDA_SM80_FIXED_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

int sm80_fixed_takes(const struct cuda_product *product);
cudaError_t sm80_fixed(const struct cuda_launch *launch, const struct cuda_product *product);

#ifdef __cplusplus
}
#endif

#endif
