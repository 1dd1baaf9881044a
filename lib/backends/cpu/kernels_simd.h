/* SPDX-License-Identifier: Apache-2.0 */
/* What the SIMD kernels share. */
#ifndef LLQI_CPU_KERNELS_SIMD_H
#define LLQI_CPU_KERNELS_SIMD_H

#include "backends/cpu/packed.h"
#include "backends/cpu/simd.h"

/* A tile's sums fit the registers; its outputs are enough chains of dependent
   additions, even for one row, to hide their latency. */
#ifdef __AVX512F__
#define TILE_OUTPUTS 4
#define TILE_ROWS 6
#else
#define TILE_OUTPUTS 2
#define TILE_ROWS 3
#endif

struct llqi_product {
  const struct llqi_cpu_packed *weight;
  int dtype; /* that dequantized weights are rounded to */
  int64_t n_out, n_rows;
  const float *x;       /* [n_rows, weight->n_in] */
  const int8_t *x_int8; /* the same, for int8 panels */
  const float *x_scale; /* [n_rows]; NULL: not quantized */
  const int32_t *x_sum; /* [n_rows] of x_int8 */
  llq_view *out;
};

/* Outputs first .. end - 1 of all rows. */
void ARCH(multiply_rows)(const struct llqi_product *p, int64_t first,
                         int64_t end);
void ARCH(multiply_panels)(const struct llqi_product *p, int64_t first,
                           int64_t end);

/* Quantizes n floats (a multiple of 16) as llqi_cpu_quantize_... do. */
float ARCH(quantize_int8)(const float *x, int64_t n, int8_t *q, int32_t *sum);
float ARCH(quantize_e4m3)(float *x, int64_t n);

int ARCH(linear_upload)(void *self, const llq_weight *weight, int compute,
                        void **linear);
int ARCH(rms_norm)(void *self, const llq_view *x, const llq_view *weight,
                   float eps, llq_view *out);
int ARCH(swiglu)(void *self, const llq_view *gate, const llq_view *up,
                 llq_view *out);
int ARCH(add)(void *self, llq_view *x, const llq_view *y);
int ARCH(attention)(void *self, const llq_batch *batch, const llq_view *q,
                    const llq_kv *cache, float scale, llq_view *out);

#endif
