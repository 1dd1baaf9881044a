/* SPDX-License-Identifier: Apache-2.0 */
/* Products of many rows of bf16 activations with quantized weights that become
   bf16 in registers (mma.sync): int4 TILED, int8 and E4M3 PLAIN. w8a8-fp too:
   its codes are bf16 values. */
#ifndef LLQ_CUDA_SM80_MIXED_H
#define LLQ_CUDA_SM80_MIXED_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a product is cut: into blocks of n_outs outputs by n_rows rows, whose
   inputs n_splits blocks share. There are 256 x 128, 128 x 128, 128 x 64 and
   128 x 32. */
struct sm80_mixed_cut {
  int n_outs, n_rows, n_splits;
};

/* n_in a multiple of 64, n_out of 16 (swiglu: of 32), bf16 scales whose groups
   are a multiple of 64; bf16 out; all at multiples of 16 bytes. */
int sm80_mixed_takes(const struct cuda_product *product);
size_t sm80_mixed_scratch(const struct cuda_product *product, int n_units);
cudaError_t sm80_mixed(const struct cuda_launch *launch, const struct cuda_product *product);

/* What sm80_mixed() chooses, and the product cut otherwise. */
struct sm80_mixed_cut sm80_mixed_choose(const struct cuda_product *product, int n_units);
size_t sm80_mixed_scratch_of(const struct cuda_product *product, const struct sm80_mixed_cut *cut);
cudaError_t sm80_mixed_with(const struct cuda_launch *launch, const struct cuda_product *product,
                            const struct sm80_mixed_cut *cut);

#ifdef __cplusplus
}
#endif

#endif
