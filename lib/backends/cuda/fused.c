/* SPDX-License-Identifier: Apache-2.0 */
/* llq_backend_fused: steps of a plan (plan.c) over products (product.c), and
   the kernels around them. */
#include <stdio.h>

#include "backends/cuda/common/attention.h"
#include "backends/cuda/common/draw.h"
#include "backends/cuda/common/inputs.h"
#include "backends/cuda/cuda.h"

/* Begins an operation that takes nothing left by the one before. */
static int begin(struct cuda_device *device, const char *name) {
  int status = cuda_gates_finish(device);
  return status < 0 ? status : cuda_begin(device, name);
}

static int pick(struct cuda_device *device, const llq_view *table, const int32_t *ids,
                llq_view *out) {
  struct cuda_launch launch;
  int status = cuda_gates_finish(device);
  if (status >= 0)
    status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  if (common_pick_takes(table->data, table->dtype, out->n_cols, out->data, out->dtype))
    CUDA_TRY(device, common_pick(&launch, table->data, ids, out->n_rows, out->n_cols, out->data));
  else
    CUDA_TRY(device, any_embed(device->stream, table->data, table->dtype, ids, out->n_rows,
                               out->n_cols, out->data, out->dtype));
  return LLQ_OK;
}

static int embed(void *self, const llq_view *table, llq_view *out) {
  struct cuda_device *device = self;
  return pick(device, table, cuda_plan_step(device->plan)->ids, out);
}

static int run(struct cuda_device *device, const struct cuda_product *product, int is_fast) {
  int is_done = 0, is_many = is_fast && cuda_product_is_many(device, product, 1);
  int status = is_many ? cuda_gates_take(device, product, &is_done) : cuda_gates_finish(device);
  if (status >= 0 && !is_done && is_many)
    status = cuda_gates_leave(device, product, &is_done);
  return status < 0 || is_done ? status : cuda_product_run(device, product, is_fast);
}

static int linear(void *self, const llq_linear_call *call) {
  struct cuda_device *device = self;
  int is_fast = device->plan != NULL && cuda_plan_step(device->plan)->is_fast;
  const struct cuda_product product = {.linear = call->linear,
                                       .x = call->x->data,
                                       .n_rows = call->x->n_rows,
                                       .norm = call->norm != NULL ? call->norm->data : NULL,
                                       .eps = call->eps,
                                       .swiglu = call->swiglu,
                                       .residual = call->adds ? call->out->data : NULL,
                                       .out = call->out->data,
                                       .out_dtype = call->out->dtype};
  char name[96];
  snprintf(name, sizeof name, "linear %lld -> %lld%s%s%s, %lld rows", (long long)call->x->n_cols,
           (long long)product.linear->n_out, call->norm != NULL ? ", norm" : "",
           call->swiglu ? ", swiglu" : "", call->adds ? ", add" : "", (long long)product.n_rows);
  int status = cuda_begin(device, name);
  if (status >= 0)
    status = run(device, &product, is_fast);
  return cuda_end(device, status);
}

static int attend_plainly(struct cuda_device *device, const struct cuda_batch *batch,
                          const llq_view *cos_sin, const llq_view *qkv,
                          const struct cuda_cache *cache, float scale, llq_view *out) {
  const int64_t kv_width = (int64_t)cache->n_kv_heads * cache->head_size;
  const size_t element = 2;
  char *q = qkv->data, *k = q + (size_t)out->n_cols * element;
  const struct cuda_qkv parts = {.q = q,
                                 .k = k,
                                 .v = k + (size_t)kv_width * element,
                                 .q_stride = qkv->n_cols,
                                 .kv_stride = qkv->n_cols,
                                 .n_heads = (int)(out->n_cols / cache->head_size)};
  CUDA_TRY(device,
           any_rope_append(device->stream, batch, cos_sin->data, &parts, qkv->dtype, cache));
  CUDA_TRY(device, any_attention(device->stream, batch, parts.q, parts.q_stride, parts.n_heads,
                                 qkv->dtype, cache, scale, out->data));
  return LLQ_OK;
}

static int attend_takes(const struct cuda_device *device, const struct cuda_attention *attention) {
  return device->sm >= 90 ? sm90_attend_takes(attention) : sm80_attend_takes(attention);
}

static int attend_fast(struct cuda_device *device, const struct cuda_attention *attention) {
  struct cuda_launch launch;
  int is_sm90 = device->sm >= 90;
  size_t size = is_sm90 ? sm90_attend_scratch(attention, device->n_units)
                        : sm80_attend_scratch(attention, device->n_units);
  int status = cuda_launch_on(device, size, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, is_sm90 ? sm90_attend(&launch, attention) : sm80_attend(&launch, attention));
  return LLQ_OK;
}

static int attend(void *self, const llq_view *cos_sin, const llq_view *qkv, llq_kv *kv, float scale,
                  llq_view *out) {
  struct cuda_device *device = self;
  const struct cuda_step *step = cuda_plan_step(device->plan);
  const struct cuda_cache cache = cuda_cache_of(kv);
  const struct cuda_attention attention = {.batch = &step->batch,
                                           .qkv = qkv->data,
                                           .n_heads = (int)(out->n_cols / kv->head_size),
                                           .cache = &cache,
                                           .cos_sin = cos_sin->data,
                                           .scale = scale,
                                           .out = out->data};
  int status = begin(device, "rope, append, attention");
  if (status >= 0 && attend_takes(device, &attention))
    status = attend_fast(device, &attention);
  else if (status >= 0)
    status = attend_plainly(device, &step->batch, cos_sin, qkv, &cache, scale, out);
  return cuda_end(device, status);
}

static int gather(void *self, int32_t first, const llq_view *x, llq_view *out) {
  struct cuda_device *device = self;
  return pick(device, x, cuda_plan_step(device->plan)->logit_rows + first, out);
}

static int draw_rows(struct cuda_device *device, const llq_view *logits) {
  const struct cuda_step *step = cuda_plan_step(device->plan);
  struct cuda_launch launch;
  int n_vocab = (int)logits->n_cols;
  int status = cuda_launch_on(
      device, common_draw_scratch(step->n_draws, n_vocab, step->has_temperature), &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device,
           common_draw(&launch, logits->data, step->n_draws, n_vocab, step->draws, step->drawn));
  return LLQ_OK;
}

static int draw(void *self, const llq_view *logits) {
  int status = begin(self, "draw");
  if (status >= 0)
    status = draw_rows(self, logits);
  return cuda_end(self, status);
}

const llq_backend_fused cuda_fused = {
    .struct_size = sizeof(llq_backend_fused),
    .linear_join = cuda_linear_join,
    .plan_open = cuda_plan_open,
    .plan_close = cuda_plan_close,
    .step_begin = cuda_plan_begin,
    .embed = embed,
    .linear = linear,
    .attend = attend,
    .gather = gather,
    .draw = draw,
    .step_end = cuda_plan_end,
};
