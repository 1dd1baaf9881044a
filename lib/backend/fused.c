/* SPDX-License-Identifier: Apache-2.0 */
/* The fused operations, with their arguments checked. */
#include "backend/backend.h"
#include "backend/checks.h"
#include "base/status.h"
#include "tensor/dtype.h"

int llqi_has_fused(const llq_backend *backend) {
  return backend->table->fused != NULL;
}

int llqi_plan_open(llq_backend *backend, const llq_fused_plan *options,
                   void **plan) {
  *plan = NULL;
  LLQ_REQUIRE(options->n_rows_max > 0 && options->n_positions_max > 0,
              "plan: %d rows, %d positions", options->n_rows_max,
              options->n_positions_max);
  return backend->table->fused->plan_open(backend->self, options, plan);
}

void llqi_plan_close(llq_backend *backend, void *plan) {
  if (plan != NULL)
    backend->table->fused->plan_close(backend->self, plan);
}

int llqi_fused_begin(llq_backend *backend, void *plan,
                     const llq_fused_step *step, int *is_recorded) {
  const llq_batch *batch = step->batch;
  LLQ_REQUIRE(batch != NULL && batch->n_rows > 0, "step: no rows");
  LLQ_REQUIRE(step->ids != NULL, "step: no ids");
  LLQ_TRY(llqi_check_numbers(step->logit_rows, step->n_logit_rows,
                             batch->n_rows, "step: logit rows"));
  LLQ_REQUIRE(step->n_draws >= 0 && step->n_draws <= step->n_logit_rows &&
                  (step->draws != NULL || step->n_draws == 0),
              "step: %d draws of %d rows", step->n_draws, step->n_logit_rows);
  *is_recorded = 0;
  return backend->table->fused->step_begin(backend->self, plan, step,
                                           is_recorded);
}

/* The ids are the step's: a backend has them already. */
int llqi_fused_embed(llq_backend *backend, const llq_view *table,
                     const int32_t *ids, llq_view *out) {
  LLQ_TRY(llqi_check_view(table, "embed: table"));
  LLQ_TRY(llqi_check_values(out, "embed: out"));
  LLQ_TRY(llqi_check_shape(out, out->n_rows, table->n_cols, "embed: out"));
  LLQ_TRY(llqi_check_numbers(ids, out->n_rows, table->n_rows, "embed: ids"));
  return backend->table->fused->embed(backend->self, table, out);
}

static int check_out(const struct llqi_linear_call *call) {
  int64_t n_cols = call->linear->n_out / (call->swiglu ? 2 : 1);
  LLQ_TRY(llqi_check_values(call->out, "linear: out"));
  LLQ_TRY(llqi_check_shape(call->out, call->x->n_rows, n_cols, "linear: out"));
  LLQ_REQUIRE(!call->swiglu || (call->linear->n_out % 2 == 0 && !call->adds),
              "linear: swiglu of %lld outputs, added to others: %d",
              (long long)call->linear->n_out, call->adds);
  LLQ_REQUIRE(call->out->dtype == LLQ_BF16 || (!call->swiglu && !call->adds),
              "linear: out of type %s", llqi_dtype_name(call->out->dtype));
  return LLQ_OK;
}

int llqi_fused_linear(llq_backend *backend,
                      const struct llqi_linear_call *call) {
  const struct llqi_linear_handle *linear = call->linear;
  LLQ_REQUIRE(linear != NULL && linear->linear != NULL, "linear: no weight");
  LLQ_TRY(llqi_check_values(call->x, "linear: x"));
  LLQ_TRY(
      llqi_check_shape(call->x, call->x->n_rows, linear->n_in, "linear: x"));
  LLQ_REQUIRE(call->x->dtype == LLQ_BF16, "linear: x of type %s",
              llqi_dtype_name(call->x->dtype));
  if (call->norm != NULL) {
    LLQ_TRY(llqi_check_values(call->norm, "linear: norm"));
    LLQ_TRY(llqi_check_shape(call->norm, 1, linear->n_in, "linear: norm"));
  }
  LLQ_TRY(check_out(call));
  const llq_linear_call ours = {.struct_size = sizeof ours,
                                .linear = linear->linear,
                                .x = call->x,
                                .norm = call->norm,
                                .eps = call->eps,
                                .swiglu = call->swiglu,
                                .adds = call->adds,
                                .out = call->out};
  return backend->table->fused->linear(backend->self, &ours);
}

int llqi_fused_attend(llq_backend *backend, const llq_batch *batch,
                      const llq_view *cos_sin, const llq_view *qkv,
                      llq_kv *cache, float scale, llq_view *out) {
  LLQ_TRY(llqi_check_batch(batch, cache));
  LLQ_TRY(llqi_check_positions(cos_sin, batch, cache));
  LLQ_TRY(llqi_check_values(qkv, "attend: qkv"));
  LLQ_TRY(llqi_check_values(out, "attend: out"));
  int64_t n_kv_cols = (int64_t)cache->n_kv_heads * cache->head_size;
  LLQ_TRY(llqi_check_shape(qkv, batch->n_rows, out->n_cols + 2 * n_kv_cols,
                           "attend: qkv"));
  LLQ_TRY(llqi_check_shape(out, batch->n_rows, out->n_cols, "attend: out"));
  LLQ_REQUIRE(out->n_cols % n_kv_cols == 0,
              "attend: %lld columns for %d heads of %d", (long long)out->n_cols,
              cache->n_kv_heads, cache->head_size);
  return backend->table->fused->attend(backend->self, cos_sin, qkv, cache,
                                       scale, out);
}

int llqi_fused_gather(llq_backend *backend, int32_t first, const llq_view *x,
                      llq_view *out) {
  LLQ_TRY(llqi_check_values(x, "gather: x"));
  LLQ_TRY(llqi_check_values(out, "gather: out"));
  LLQ_TRY(llqi_check_shape(out, out->n_rows, x->n_cols, "gather: out"));
  return backend->table->fused->gather(backend->self, first, x, out);
}

int llqi_fused_draw(llq_backend *backend, const llq_view *logits) {
  LLQ_TRY(llqi_check_values(logits, "draw: logits"));
  LLQ_REQUIRE(logits->dtype == LLQ_F32, "draw: logits of type %s",
              llqi_dtype_name(logits->dtype));
  return backend->table->fused->draw(backend->self, logits);
}

int llqi_fused_end(llq_backend *backend, int status, llq_draw *draws) {
  int end = backend->table->fused->step_end(backend->self, draws, status < 0);
  return status < 0 ? status : end;
}
