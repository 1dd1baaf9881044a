/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 of few rows by integer products, for sm_90: see common/fixed.cuh. A row's
   result depends neither on other rows nor on their number; it is not that of the
   kernels of more rows. What sm90_stream() takes, of int4, with few rows. */
#ifndef LLQ_CUDA_SM90_FIXED_H
#define LLQ_CUDA_SM90_FIXED_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

int sm90_fixed_takes(const struct cuda_product *product);
cudaError_t sm90_fixed(const struct cuda_launch *launch, const struct cuda_product *product);

#ifdef __cplusplus
}
#endif

#endif
