/* SPDX-License-Identifier: Apache-2.0 */
/* Products of many rows on tensor cores (wgmma), where weights go through registers:
   int4 (TILED) and int8 with bf16 activations, E4M3 with E4M3, bf16. */
#ifndef LLQ_CUDA_SM90_MIXED_H
#define LLQ_CUDA_SM90_MIXED_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a product is cut. A block computes 128 * n_parts outputs of n_rows rows at a
   time: a tile. A tile's inputs are split, or blocks divide the inputs of all tiles
   evenly; sums of pieces of a tile meet in scratch memory, where the block that comes
   last adds them up in order. In shares, sums have one order, that of
   common/stream.cuh. */
struct mixed_tiles {
  int n_rows;  /* 16, 32, 64, 128, 192 or 256 */
  int n_parts; /* of 64 outputs, of each of two warpgroups */
  int in_shares;
  int n_splits; /* of a tile; 0: even division */
};

/* 1 if there is a kernel: of all formats in shares, of int4 and int8 others. A scale for
   each output, but int4 may have groups and zero points; no norm; x, out and residual at
   multiples of 16 bytes. */
int sm90_mixed_takes(const struct cuda_product *product, int in_shares);
/* 1 if x (and row_scale) must come from sm90_stream_prepare(), 0 if as it is. */
int sm90_mixed_wants_prepared(const struct cuda_linear *linear);
/* in_shares = 0: faster, but how sums are split depends on the number of rows, so
   a row's last bit does too. */
cudaError_t sm90_mixed(const struct cuda_launch *launch, const struct cuda_product *product,
                       int in_shares);

/* Bytes of launch->scratch that sm90_mixed() can use; with less, or without
   launch->counters, it is slower, and right. */
size_t sm90_mixed_scratch(const struct cuda_product *product, int n_units, int in_shares);

/* The tiles that sm90_mixed() would take, and the product with others; an error
   if there is no such kernel. */
struct mixed_tiles sm90_mixed_choose(const struct cuda_product *product, int n_units,
                                     int in_shares);
cudaError_t sm90_mixed_with(const struct cuda_launch *launch, const struct cuda_product *product,
                            const struct mixed_tiles *tiles);

#ifdef __cplusplus
}
#endif

#endif
