/* SPDX-License-Identifier: Apache-2.0 */
/* Products of many rows by NVIDIA's cuBLASLt: dense bf16, w8a8-fp, w8a8-int;
   other weights are dequantized first. */
#ifndef LLQ_CUDA_LIBRARY_H
#define LLQ_CUDA_LIBRARY_H

#include "backends/cuda/cuda.h"

#define CUDA_PASS(expression)                                                                      \
  do {                                                                                             \
    int pass_status = (expression);                                                                \
    if (pass_status < 0)                                                                           \
      return pass_status;                                                                          \
  } while (0)

struct cuda_library;

enum cuda_library_flag {
  /* Time the algorithms that cuBLASLt proposes the first time that a shape is
     seen outside of a capture, instead of taking the first. Worth it for int8;
     sums may then differ in order from one run to the next. */
  CUDA_LIBRARY_TUNES = 1,
  /* w8a8-fp with the sums that Hopper's matrix units keep, 14 bits of fraction:
     an eighth faster, further from the reference by a rounding of the output. */
  CUDA_LIBRARY_FAST_SUMS = 2
};

/* Opens nothing of cuBLASLt yet: that takes a third of a second and happens at
   the first call of cuda_library_takes().
   @param device  lives longer than the library
   @param flags   of enum cuda_library_flag */
int cuda_library_open(struct cuda_library **library, const struct cuda_device *device, int flags);
void cuda_library_close(struct cuda_library *library);

/* Whether cuda_library_product() can: 0 for everything if the machine has no
   cuBLASLt. Slow at its first call. */
int cuda_library_takes(struct cuda_library *library, const struct cuda_product *product);

/* Bytes of launch->scratch for a product. With fewer, down to what
   cuda_library_scratch_least() says, the work is done in more pieces. */
size_t cuda_library_scratch(const struct cuda_product *product);
size_t cuda_library_scratch_least(const struct cuda_product *product);

/* The whole of a product: norm, quantization, product, SwiGLU or residual. May
   be captured, once the same product was done outside of a capture. Rows do not
   influence each other, but their number influences the order of sums. Where
   cuBLASLt itself adds the residual, the product is not rounded before.
   of_gates: only of a linear that takes codes, without norm; see
   cuda_library_run(). */
int cuda_library_product(struct cuda_library *library, const struct cuda_launch *launch,
                         const struct cuda_product *product, int of_gates);

const struct cuda_device *cuda_library_device(const struct cuda_library *library);

/* The bare product y = x W^T, with what the type says of scales. */
enum cuda_library_type {
  CUDA_LIBRARY_BF16,        /* bf16 x bf16 -> bf16 */
  CUDA_LIBRARY_BF16_TO_F32, /* -> float */
  CUDA_LIBRARY_FP8,         /* e4m3 x e4m3 * row scale * output scale -> bf16 */
  CUDA_LIBRARY_FP8_SUMS,    /* e4m3 x e4m3 -> float */
  CUDA_LIBRARY_INT8_SUMS    /* int8 x int8 -> int32 */
};

struct cuda_matmul {
  enum cuda_library_type type;
  int64_t n_rows, n_out, n_in;
  int64_t out_stride;             /* elements from a row of out to the next */
  const void *w, *x;              /* [n_out, n_in], [n_rows, n_in] */
  const float *scale, *row_scale; /* CUDA_LIBRARY_FP8 */
  const void *residual;           /* as out, to which it is added; may be out; NULL */
  void *out;
};

/* Which of n ways is the fastest in a stream that is not captured, each run a
   few times; 0 if no time can be taken. */
typedef int cuda_run_fn(void *context, int i);
int cuda_fastest(cudaStream_t stream, int n, cuda_run_fn *run, void *context);

/* 1 if cuBLASLt has an algorithm for it. */
int cuda_library_has(struct cuda_library *library, const struct cuda_matmul *matmul);
int cuda_library_matmul(struct cuda_library *library, cudaStream_t stream,
                        const struct cuda_matmul *matmul);

#endif
