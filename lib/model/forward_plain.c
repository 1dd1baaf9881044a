/* SPDX-License-Identifier: Apache-2.0 */
/* The forward pass in the operations that every backend has. */
#include "base/status.h"
#include "model/forward_state.h"

/* A linear of a layer, seen by the tap first. */
static int project(struct llqi_forward *f, const struct llqi_step *step,
                   int layer, enum llqi_linear which, const llq_view *x,
                   llq_view *out) {
  if (step->tap != NULL)
    LLQ_TRY(step->tap(step->user, layer, which, x));
  return llqi_op_linear(f->backend, &f->layers[layer].linears[which], x, out);
}

static int attention(struct llqi_forward *f, const struct llqi_step *step,
                     int i) {
  struct llqi_config *config = &f->model->config;
  llq_kv *cache = &step->caches[i];
  LLQ_TRY(llqi_op_rms_norm(f->backend, &f->hidden, &f->layers[i].input_norm,
                           (float)config->norm_eps, &f->normed));
  LLQ_TRY(project(f, step, i, LLQI_Q, &f->normed, &f->q));
  LLQ_TRY(project(f, step, i, LLQI_K, &f->normed, &f->k));
  LLQ_TRY(project(f, step, i, LLQI_V, &f->normed, &f->v));
  LLQ_TRY(llqi_op_rope_append(f->backend, step->batch, &f->cos_sin, &f->q,
                              &f->k, &f->v, cache));
  LLQ_TRY(llqi_op_attention(f->backend, step->batch, &f->q, cache,
                            llqi_forward_scale(f), &f->attended));
  LLQ_TRY(project(f, step, i, LLQI_O, &f->attended, &f->sum));
  return llqi_op_add(f->backend, &f->hidden, &f->sum);
}

static int mlp(struct llqi_forward *f, const struct llqi_step *step, int i) {
  LLQ_TRY(llqi_op_rms_norm(f->backend, &f->hidden,
                           &f->layers[i].post_attention_norm,
                           (float)f->model->config.norm_eps, &f->normed));
  LLQ_TRY(project(f, step, i, LLQI_GATE, &f->normed, &f->gate));
  LLQ_TRY(project(f, step, i, LLQI_UP, &f->normed, &f->up));
  LLQ_TRY(llqi_op_swiglu(f->backend, &f->gate, &f->up, &f->gate));
  if (llqi_forward_ends(f, step, i))
    return step->tap(step->user, i, LLQI_DOWN, &f->gate);
  LLQ_TRY(project(f, step, i, LLQI_DOWN, &f->gate, &f->sum));
  return llqi_op_add(f->backend, &f->hidden, &f->sum);
}

int llqi_forward_plain(struct llqi_forward *f, const struct llqi_step *step) {
  LLQ_TRY(llqi_op_embed(f->backend, &f->embedding, step->ids, &f->hidden));
  for (int i = 0; i < (int)f->model->config.n_layers; i++) {
    LLQ_TRY(attention(f, step, i));
    LLQ_TRY(mlp(f, step, i));
  }
  return LLQ_OK;
}
