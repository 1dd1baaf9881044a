/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to rows between two products: a residual added or SwiGLU, RMS
   norm, quantization; and what happens to the sums of a quantized product. Each
   value is rounded to bf16 where the unfused operations round it. A row's result
   does not depend on the other rows, nor, without any_order, on their number. */
#ifndef LLQ_CUDA_COMMON_QUANTIZE_H
#define LLQ_CUDA_COMMON_QUANTIZE_H

#include "backends/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Steps in their order; all matrices are bf16 and row-major unless they say
   otherwise, and begin at multiples of 16 bytes. */
struct cuda_rows {
  const void *x;    /* [n_rows, n_cols]; with swiglu [n_rows, 2 n_cols]: gate
                           and up of a row beside each other */
  int swiglu;       /* 1: v = silu(gate) * up; otherwise v = x */
  const void *y;    /* [n_rows, n_cols]: v = v + y; NULL: not */
  void *sum;        /* where v goes now, for example x; NULL: nowhere */
  const void *norm; /* [n_cols]: v = RMS norm of v; NULL: not */
  float eps;
  int activation;    /* of enum llq_activation: v is quantized */
  void *out;         /* [n_rows, n_cols]: v, or its codes, a byte each; may be
                           x without swiglu. NULL: nowhere */
  float *row_scale;  /* [n_rows]: scales of the codes */
  int any_order;     /* 1: the order of a norm's sum may depend on n_rows */
  int codes_as_bf16; /* 1: codes go to out as bf16 values, which hold them
                           exactly, for products that take no others */
  int64_t n_rows, n_cols;
};

/* Whether the shape and the alignment suit: n_cols % 8 == 0, up to 65,536. */
int common_rows_takes(const struct cuda_rows *rows);
cudaError_t common_rows(const struct cuda_launch *launch, const struct cuda_rows *rows);

/* Sums of a product of codes, and what becomes of them. */
struct cuda_sums {
  const void *sums;       /* [n_rows, n_out] */
  int sums_dtype;         /* I32 or F32 */
  const float *row_scale; /* [n_rows] */
  const void *scale;      /* [n_out] */
  int scale_dtype;
  int64_t n_rows, n_out;
  int swiglu; /* as in struct cuda_product */
  const void *residual;
  void *out;
  int out_dtype;
};

/* n_out % 8 == 0, with swiglu n_out % 16 == 0; pointers as above. */
int common_scale_sums_takes(const struct cuda_sums *sums);
cudaError_t common_scale_sums(const struct cuda_launch *launch, const struct cuda_sums *sums);

/* to[i] = from[i] as floats. */
cudaError_t common_to_floats(const struct cuda_launch *launch, const void *from, int dtype,
                             int64_t n, float *to);

#ifdef __cplusplus
}
#endif

#endif
