/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU backend. Device memory is host memory, every operation is done when
   it returns. The plain kernels fill the table of operations first and define
   what each one means; those for SIMD overwrite slots at run time. */
#ifndef LLQI_CPU_CPU_H
#define LLQI_CPU_CPU_H

#include <llq/backend.h>

#include "base/threads.h"

struct llqi_cpu {
  llq_backend_ops ops;
  struct llqi_threads *threads;
  void *scratch; /* grows; see llqi_cpu_scratch() */
  size_t scratch_size;
};

struct llqi_cpu_packed;

/* A linear as uploaded. The weight's pointers stay the caller's. */
struct llqi_cpu_linear {
  llq_weight weight;
  int (*run)(struct llqi_cpu *cpu, const struct llqi_cpu_linear *linear,
             const llq_view *x, llq_view *out);
  struct llqi_cpu_packed *packed; /* for SIMD kernels; see packed.h */
};

/* Working memory of at least `size` bytes, valid until the next call; NULL
   when memory runs out. */
void *llqi_cpu_scratch(struct llqi_cpu *cpu, size_t size);

/* Overwrite slots with kernels for an instruction set. */
void llqi_cpu_ops_reference(llq_backend_ops *ops);
void llqi_cpu_ops_avx2(llq_backend_ops *ops);
void llqi_cpu_ops_avx512(llq_backend_ops *ops);

/* The instruction sets that kernels exist for, the plainest first, and how
   many of them this CPU has. */
#define LLQI_CPU_N_ARCHS 3
extern const char *const llqi_cpu_archs[LLQI_CPU_N_ARCHS];
int llqi_cpu_n_usable_archs(void);

int llqi_cpu_count(void);
int llqi_cpu_describe(int index, llq_device_info *info);

/* Fewer threads than allowed for work that is not worth waking them up. */
int llqi_cpu_threads(const struct llqi_cpu *cpu, double n_multiplications);

/* Row `row` of a view, to float and back. */
void llqi_cpu_load_row(const llq_view *view, int64_t row, float *values);
void llqi_cpu_store_row(llq_view *view, int64_t row, const float *values);

/* Quantizes a row for enum llq_activation, and returns its scale; 0 for a row
   of zeros, and NaN for one with an infinity or NaN. */
float llqi_cpu_quantize_int8(const float *x, int64_t n, int8_t *q);
float llqi_cpu_quantize_e4m3(const float *x, int64_t n, float *q);

/* The plain operations, one file per concern. */
int llqi_cpu_linear_upload(void *self, const llq_weight *weight, int compute,
                           void **linear);
void llqi_cpu_linear_free(void *self, void *linear);
int llqi_cpu_linear_run(void *self, const void *linear, const llq_view *x,
                        llq_view *out);
int llqi_cpu_embed(void *self, const llq_view *table, const int32_t *ids,
                   llq_view *out);
int llqi_cpu_gather(void *self, const llq_view *x, const int32_t *rows,
                    llq_view *out);
int llqi_cpu_rms_norm(void *self, const llq_view *x, const llq_view *weight,
                      float eps, llq_view *out);
int llqi_cpu_rope_append(void *self, const llq_batch *batch,
                         const llq_view *cos_sin, llq_view *q, llq_view *k,
                         const llq_view *v, llq_kv *cache);
int llqi_cpu_page_copy(void *self, llq_kv *cache, int from, int to);
int llqi_cpu_attention(void *self, const llq_batch *batch, const llq_view *q,
                       const llq_kv *cache, float scale, llq_view *out);
int llqi_cpu_swiglu(void *self, const llq_view *gate, const llq_view *up,
                    llq_view *out);
int llqi_cpu_add(void *self, llq_view *x, const llq_view *y);

/* The operations of calibration. */
int llqi_cpu_gram(void *self, const llq_view *x, llq_view *h);
int llqi_cpu_magnitudes(void *self, const llq_view *x, llq_view *out);
int llqi_cpu_factor(void *self, llq_view *h, int *definite);
int llqi_cpu_encode(void *self, const llq_encoding *encoding,
                    const llq_view *factor, llq_view *w, llq_view *errors);
int llqi_cpu_update(void *self, int64_t first, const llq_view *errors,
                    const llq_view *factor, llq_view *w);

#endif
