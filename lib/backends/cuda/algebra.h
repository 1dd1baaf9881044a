/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix products and decompositions of calibration, by NVIDIA's cuBLAS and
   cuSOLVER. All in float: nothing is rounded to TF32. */
#ifndef LLQ_CUDA_ALGEBRA_H
#define LLQ_CUDA_ALGEBRA_H

#include "backends/cuda/cuda.h"

/* Opens both libraries, once a device; fails with what is missing. All below
   need it. */
int cuda_algebra_open(struct cuda_device *device);
void cuda_algebra_close(struct cuda_algebra *algebra);

/* h += x^T x, in the upper triangle and in blocks on the diagonal. */
int cuda_algebra_gram(struct cuda_device *device, const llq_view *x, llq_view *h);

/* Floats of working memory for cuda_algebra_root(). */
int cuda_algebra_root_size(struct cuda_device *device, float *a, int n, int *size);

/* Of a symmetric n x n matrix a, of which one triangle is looked at (lower as
   rows lie in memory): that triangle becomes its Cholesky factor. The result
   is there once the stream has come so far.
   @param info  device memory: 0, or a is not positive definite */
int cuda_algebra_root(struct cuda_device *device, float *a, int n, float *work, int size,
                      int *info);

/* b, the identity, becomes the inverse of that triangle. */
int cuda_algebra_invert(struct cuda_device *device, const float *a, int n, float *b);

/* llq_backend_calibration.update */
int cuda_algebra_update(struct cuda_device *device, int64_t first, const llq_view *errors,
                        const llq_view *factor, llq_view *w);

#endif
