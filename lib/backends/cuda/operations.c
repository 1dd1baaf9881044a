/* SPDX-License-Identifier: Apache-2.0 */
/* llq_backend_ops: plain kernels, but for linears of bf16 activations. */
#include "backends/cuda/cuda.h"

/* Host indices into device memory that the next kernel reads. */
static int place_indices(struct cuda_device *device, const int32_t *indices, int64_t n,
                         int32_t **out) {
  void *memory;
  size_t size = (size_t)n * sizeof *indices;
  CUDA_TRY(device, cudaMallocAsync(&memory, size, device->stream));
  CUDA_TRY(device, cudaMemcpyAsync(memory, indices, size, cudaMemcpyHostToDevice, device->stream));
  *out = memory;
  return LLQ_OK;
}

static int embed(void *self, const llq_view *table, const int32_t *ids, llq_view *out) {
  struct cuda_device *device = self;
  int32_t *placed;
  int status = place_indices(device, ids, out->n_rows, &placed);
  if (status < 0)
    return status;
  CUDA_TRY(device, any_embed(device->stream, table->data, table->dtype, placed, out->n_rows,
                             out->n_cols, out->data, out->dtype));
  CUDA_TRY(device, cudaFreeAsync(placed, device->stream));
  return LLQ_OK;
}

static int rms_norm(void *self, const llq_view *x, const llq_view *weight, float eps,
                    llq_view *out) {
  struct cuda_device *device = self;
  CUDA_TRY(device, any_rms_norm(device->stream, x->data, weight->data, eps, x->n_rows, x->n_cols,
                                out->data, x->dtype));
  return LLQ_OK;
}

static int linear(void *self, const void *weight, const llq_view *x, llq_view *out) {
  struct cuda_device *device = self;
  const struct cuda_product product = {.linear = weight,
                                       .x = x->data,
                                       .n_rows = x->n_rows,
                                       .out = out->data,
                                       .out_dtype = out->dtype};
  if (x->dtype == LLQ_BF16)
    return cuda_product_run(device, &product, 0);
  CUDA_TRY(device,
           any_linear(device->stream, weight, x->data, x->n_rows, x->dtype, out->data, out->dtype));
  return LLQ_OK;
}

struct cuda_cache cuda_cache_of(const llq_kv *kv) {
  return (struct cuda_cache){kv->keys,       kv->values,    kv->dtype,     kv->page_size,
                             kv->n_kv_heads, kv->head_size, kv->key_scale, kv->value_scale};
}

static int rope_append(void *self, const llq_batch *batch, const llq_view *cos_sin, llq_view *q,
                       llq_view *k, const llq_view *v, llq_kv *kv) {
  struct cuda_device *device = self;
  struct cuda_batch placed;
  struct cuda_cache cache = cuda_cache_of(kv);
  int status = cuda_batch_upload(device, batch, &placed);
  if (status < 0)
    return status;
  const struct cuda_qkv qkv = {.q = q->data,
                               .k = k->data,
                               .v = v->data,
                               .q_stride = q->n_cols,
                               .kv_stride = k->n_cols,
                               .n_heads = (int)(q->n_cols / kv->head_size)};
  CUDA_TRY(device, any_rope_append(device->stream, &placed, cos_sin->data, &qkv, q->dtype, &cache));
  return LLQ_OK;
}

static int attention(void *self, const llq_batch *batch, const llq_view *q, const llq_kv *kv,
                     float scale, llq_view *out) {
  struct cuda_device *device = self;
  struct cuda_batch placed;
  struct cuda_cache cache = cuda_cache_of(kv);
  int status = cuda_batch_upload(device, batch, &placed);
  if (status < 0)
    return status;
  int n_heads = (int)(q->n_cols / kv->head_size);
  CUDA_TRY(device, any_attention(device->stream, &placed, q->data, q->n_cols, n_heads, q->dtype,
                                 &cache, scale, out->data));
  return LLQ_OK;
}

static int swiglu(void *self, const llq_view *gate, const llq_view *up, llq_view *out) {
  struct cuda_device *device = self;
  CUDA_TRY(device, any_swiglu(device->stream, gate->data, up->data, gate->n_rows * gate->n_cols,
                              out->data, out->dtype));
  return LLQ_OK;
}

static int add(void *self, llq_view *x, const llq_view *y) {
  struct cuda_device *device = self;
  CUDA_TRY(device, any_add(device->stream, x->data, y->data, x->n_rows * x->n_cols, x->dtype));
  return LLQ_OK;
}

static int gather(void *self, const llq_view *x, const int32_t *rows, llq_view *out) {
  struct cuda_device *device = self;
  int32_t *placed;
  int status = place_indices(device, rows, out->n_rows, &placed);
  if (status < 0)
    return status;
  CUDA_TRY(device, any_gather(device->stream, x->data, placed, out->n_rows, out->n_cols, out->data,
                              out->dtype));
  CUDA_TRY(device, cudaFreeAsync(placed, device->stream));
  return LLQ_OK;
}

static int page_copy(void *self, llq_kv *kv, int from, int to) {
  struct cuda_device *device = self;
  size_t element = kv->dtype == LLQ_F32 ? 4 : kv->dtype == LLQ_BF16 ? 2 : 1;
  size_t page = element * (size_t)kv->page_size * (size_t)kv->n_kv_heads * (size_t)kv->head_size;
  void *both[] = {kv->keys, kv->values};
  for (int i = 0; i < 2; i++)
    CUDA_TRY(device, cudaMemcpyAsync((char *)both[i] + page * (size_t)to,
                                     (char *)both[i] + page * (size_t)from, page,
                                     cudaMemcpyDeviceToDevice, device->stream));
  return LLQ_OK;
}

const llq_backend_ops cuda_ops = {
    .struct_size = sizeof(llq_backend_ops),
    .linear_upload = cuda_linear_upload,
    .linear_free = cuda_linear_free,
    .embed = embed,
    .rms_norm = rms_norm,
    .linear = linear,
    .rope_append = rope_append,
    .attention = attention,
    .swiglu = swiglu,
    .add = add,
    .gather = gather,
    .page_copy = page_copy,
};
