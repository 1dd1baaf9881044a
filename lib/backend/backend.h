/* SPDX-License-Identifier: Apache-2.0 */
/* Backends as the rest of libllq uses them: opened by name, every operation's
   arguments checked once, here, for all backends. */
#ifndef LLQI_BACKEND_BACKEND_H
#define LLQI_BACKEND_BACKEND_H

#include <llq/backend.h>

struct llq_backend {
  const llq_backend_table *table;
  void *self;
  int index;     /* of the device within the backend */
  char arch[16]; /* the kernels in use */
};

/* The tables compiled into libllq. */
extern const llq_backend_table llqi_cpu_backend;

/* Is this the CPU, whose device memory is host memory? */
int llqi_backend_is_host(const llq_backend *backend);

/* Device memory. */
int llqi_memory_alloc(llq_backend *backend, size_t size, void **memory);
void llqi_memory_free(llq_backend *backend, void *memory);
int llqi_memory_upload(llq_backend *backend, void *to, const void *from,
                       size_t size);
int llqi_memory_download(llq_backend *backend, void *to, const void *from,
                         size_t size);

/* A linear's weight in a backend's layout, with the shape that checks need. */
struct llqi_linear_handle {
  void *linear;
  int64_t n_out, n_in;
};
int llqi_linear_upload(llq_backend *backend, const llq_weight *weight,
                       int compute, struct llqi_linear_handle *out);
void llqi_linear_free(llq_backend *backend, struct llqi_linear_handle *handle);

/* Several weights with the same inputs as one linear, their outputs side by
   side. They must be llqi_weights_join(). */
int llqi_linear_join(llq_backend *backend, const llq_weight *const *weights,
                     int n, struct llqi_linear_handle *out);

/* Do these differ in nothing but n_out and what they hold? */
int llqi_weights_join(const llq_weight *const *weights, int n);

/* The operations of llq_backend_ops, as documented there. */
int llqi_op_embed(llq_backend *backend, const llq_view *table,
                  const int32_t *ids, llq_view *out);
int llqi_op_rms_norm(llq_backend *backend, const llq_view *x,
                     const llq_view *weight, float eps, llq_view *out);
int llqi_op_linear(llq_backend *backend,
                   const struct llqi_linear_handle *linear, const llq_view *x,
                   llq_view *out);
int llqi_op_rope_append(llq_backend *backend, const llq_batch *batch,
                        const llq_view *cos_sin, llq_view *q, llq_view *k,
                        const llq_view *v, llq_kv *cache);
int llqi_op_attention(llq_backend *backend, const llq_batch *batch,
                      const llq_view *q, const llq_kv *cache, float scale,
                      llq_view *out);
int llqi_op_swiglu(llq_backend *backend, const llq_view *gate,
                   const llq_view *up, llq_view *out);
int llqi_op_add(llq_backend *backend, llq_view *x, const llq_view *y);
int llqi_op_gather(llq_backend *backend, const llq_view *x, const int32_t *rows,
                   llq_view *out);
int llqi_op_page_copy(llq_backend *backend, llq_kv *cache, int from, int to);

/* Those of llq_backend_fused. Does a backend have them? */
int llqi_has_fused(const llq_backend *backend);

struct llqi_linear_call {
  const struct llqi_linear_handle *linear;
  const llq_view *x;
  const llq_view *norm; /* NULL: none */
  float eps;
  int swiglu, adds;
  llq_view *out;
};
int llqi_plan_open(llq_backend *backend, const llq_fused_plan *options,
                   void **plan);
void llqi_plan_close(llq_backend *backend, void *plan);
int llqi_fused_begin(llq_backend *backend, void *plan,
                     const llq_fused_step *step, int *is_recorded);
int llqi_fused_embed(llq_backend *backend, const llq_view *table,
                     const int32_t *ids, llq_view *out);
int llqi_fused_linear(llq_backend *backend,
                      const struct llqi_linear_call *call);
int llqi_fused_attend(llq_backend *backend, const llq_batch *batch,
                      const llq_view *cos_sin, const llq_view *qkv,
                      llq_kv *cache, float scale, llq_view *out);
int llqi_fused_gather(llq_backend *backend, int32_t first, const llq_view *x,
                      llq_view *out);
int llqi_fused_draw(llq_backend *backend, const llq_view *logits);
/* status: of the operations since the beginning, returned if it is a failure. */
int llqi_fused_end(llq_backend *backend, int status, llq_draw *draws);

/* Those of llq_backend_calibration. Does a backend have them? They must be
   started before they are used. */
int llqi_has_calibration(const llq_backend *backend);
int llqi_calibration_start(llq_backend *backend);
int llqi_op_gram(llq_backend *backend, const llq_view *x, llq_view *h);
int llqi_op_magnitudes(llq_backend *backend, const llq_view *x, llq_view *out);
int llqi_op_factor(llq_backend *backend, llq_view *h, int *definite);
int llqi_op_encode(llq_backend *backend, const llq_encoding *encoding,
                   const llq_view *factor, llq_view *w, llq_view *errors);
int llqi_op_update(llq_backend *backend, int64_t first, const llq_view *errors,
                   const llq_view *factor, llq_view *w);

/* arrange is one that a backend may lack. */
int llqi_has_arrange(const llq_backend *backend);
int llqi_op_arrange(llq_backend *backend, const llq_view *h,
                    const int32_t *columns, float by, const float *diagonal,
                    llq_view *out);

#endif
