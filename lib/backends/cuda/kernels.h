/* SPDX-License-Identifier: Apache-2.0 */
/* The launchers of the kernels: C functions that take a stream, launch, and
   return what cudaGetLastError() says. Shapes were checked before. All matrices
   are row-major in device memory; `dtype` is of enum llq_dtype. */
#ifndef LLQ_CUDA_KERNELS_H
#define LLQ_CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <llq/backend.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a weight's numbers lie: as in the checkpoint, or int4 in the order of
   the matrix instructions' operands (see common/repack.h). */
enum cuda_layout { CUDA_LAYOUT_PLAIN, CUDA_LAYOUT_TILED };

/* A linear's weight in device memory; fields as in llq_weight. */
struct cuda_linear {
  int format, dtype, activation;
  int layout; /* of enum cuda_layout */
  int64_t n_out, n_in, group_size, n_groups;
  void *data, *scale;
  int8_t *zero;         /* NULL: symmetric */
  int32_t *group_index; /* NULL: input / group_size */
  int32_t *order;       /* tiled: the input that comes i-th; NULL: i */
  float *scale_f32;     /* the scales as floats; NULL: made for each product
                           that needs them (library.c, w8a8-fp) */
};

/* One row of a batch: where its sequence's pages begin, and its position. */
struct cuda_row {
  int32_t first_page, position;
};

/* A batch in device memory. Numbers of the host are those that a launch's shape
   depends on; a recorded launch serves any batch that has the same. */
struct cuda_batch {
  const struct cuda_row *rows; /* [n_rows] */
  const llq_segment *segments; /* [n_segments] */
  const int32_t *pages;
  int n_rows;
  int n_segments;
  int page_size;
  int n_segment_rows_max; /* rows of the longest segment; 1: all decode */
  int n_positions_max;    /* no position of the batch is as large as this */
};

/* Cache geometry: [n_pages, page_size, n_kv_heads, head_size] each. */
struct cuda_cache {
  void *keys, *values;
  int dtype, page_size, n_kv_heads, head_size;
  float key_scale, value_scale; /* of codes: F8_E4M3, I8 */
};

/* Where and how a kernel of the fast tables is launched. */
struct cuda_launch {
  cudaStream_t stream;
  int n_units;   /* multiprocessors */
  int overlaps;  /* 1 = launch as a programmatic dependent of the kernel before
                    it (sm_90): see common/launch.cuh */
  void *scratch; /* device memory for the length of the call */
  size_t scratch_size;
  unsigned *counters; /* CUDA_N_COUNTERS of zeros, which each kernel restores; NULL:
                         none */
};

#define CUDA_N_COUNTERS 4096

/* A linear with what surrounds it in a decoder layer; bf16 activations.
   Rounded to bf16 wherever the unfused operations round. */
struct cuda_product {
  const struct cuda_linear *linear;
  const void *x; /* bf16 [n_rows, n_in] */
  int64_t n_rows;
  const void *norm; /* bf16 [n_in]: x is RMS-normalized first; NULL: not */
  float eps;
  int swiglu;           /* 1: out[r, o] = silu(y[r, o]) * y[r, n_out / 2 + o] */
  const void *residual; /* bf16, as out: added to y rounded; may be out; NULL;
                           not with swiglu */
  void *out;            /* [n_rows, n_out], with swiglu [n_rows, n_out / 2] */
  int out_dtype;        /* BF16, or F32 without swiglu and residual */
  /* [n_rows]: of x that sm90_stream_prepare() has made codes; NULL. */
  const float *row_scale;
};

/* Queries, keys and values of a batch's rows; strides in elements. */
struct cuda_qkv {
  void *q; /* [n_rows, n_heads * d] */
  void *k; /* [n_rows, n_kv_heads * d] */
  const void *v;
  int64_t q_stride, kv_stride;
  int n_heads;
};

/* Plain kernels, complete, for any GPU from sm_80 on: what the fast ones do not
   take, and what they are held against. */
cudaError_t any_embed(cudaStream_t stream, const void *table, int table_dtype, const int32_t *ids,
                      int64_t n_rows, int64_t n_cols, void *out, int dtype);
cudaError_t any_rms_norm(cudaStream_t stream, const void *x, const void *weight, float eps,
                         int64_t n_rows, int64_t n_cols, void *out, int dtype);
cudaError_t any_linear(cudaStream_t stream, const struct cuda_linear *linear, const void *x,
                       int64_t n_rows, int x_dtype, void *out, int out_dtype);
cudaError_t any_rope_append(cudaStream_t stream, const struct cuda_batch *batch,
                            const float *cos_sin, const struct cuda_qkv *qkv, int dtype,
                            const struct cuda_cache *cache);
cudaError_t any_attention(cudaStream_t stream, const struct cuda_batch *batch, const void *q,
                          int64_t q_stride, int n_heads, int dtype, const struct cuda_cache *cache,
                          float scale, void *out);
cudaError_t any_swiglu(cudaStream_t stream, const void *gate, const void *up, int64_t n, void *out,
                       int dtype);
/* gate | up in rows of 2 n_cols */
cudaError_t any_swiglu_halves(cudaStream_t stream, const void *gate_up, int64_t n_rows,
                              int64_t n_cols, void *out, int dtype);
cudaError_t any_add(cudaStream_t stream, void *x, const void *y, int64_t n, int dtype);
cudaError_t any_gather(cudaStream_t stream, const void *x, const int32_t *rows, int64_t n_rows,
                       int64_t n_cols, void *out, int dtype);

#ifdef __cplusplus
}
#endif

#endif
