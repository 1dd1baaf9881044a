/* SPDX-License-Identifier: Apache-2.0 */
/* What calibration and GPTQ do beside matrix products. Matrices are F32 and
   row-major in device memory, unless it is said otherwise. */
#ifndef LLQ_CUDA_COMMON_CALIBRATION_H
#define LLQ_CUDA_COMMON_CALIBRATION_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of each column of x [n_rows, n_cols] (F32, BF16): sums[i] += sum of |x|, and
   sums[n_cols + i] becomes the largest so far. In a fixed order of additions. */
cudaError_t common_magnitudes(cudaStream_t stream, const void *x, int dtype, int64_t n_rows,
                              int64_t n_cols, float *sums);

/* to [n, n] = from turned by half a turn: [i, j] becomes [n-1-i, n-1-j]. */
cudaError_t common_turn(cudaStream_t stream, const float *from, int64_t n, float *to);

/* The same, of what goes to or above the diagonal of `to`. */
cudaError_t common_turn_upper(cudaStream_t stream, const float *from, int64_t n, float *to);

cudaError_t common_identity(cudaStream_t stream, int64_t n, float *to);

/* out[i, j] = factor * h[columns[i], columns[j]] for i < j, of h's upper
   triangle; out[i, i] = diagonal[i]. */
struct cuda_arrangement {
  const float *h;
  int64_t n;
  const int32_t *columns; /* [n] */
  const float *diagonal;  /* [n] */
  float factor;
  float *out;
};
cudaError_t common_arrange(cudaStream_t stream, const struct cuda_arrangement *arrangement);

/* llq_backend_calibration.encode: one warp a row. */
#define CUDA_ENCODE_WIDTH_MAX 1024
struct cuda_encoding {
  int format, dtype;
  float q_min, q_max; /* of integer codes */
  int64_t first, n;   /* columns of the block; n: at most the above */
  int64_t n_rows, n_in, n_groups;
  const int32_t *groups; /* [n] */
  const float *scale, *zero;
  const float *factor;
  float *w, *errors;
};
cudaError_t common_encode(cudaStream_t stream, const struct cuda_encoding *encoding);

#ifdef __cplusplus
}
#endif

#endif
