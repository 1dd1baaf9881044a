/* SPDX-License-Identifier: Apache-2.0 */
/* The forward pass in fused operations, which a backend may record and repeat:
   everything that changes from one step to the next goes in through
   llq_fused_step. */
#include "base/status.h"
#include "model/forward_state.h"

static int linear(struct llqi_forward *f,
                  const struct llqi_linear_handle *weight, const llq_view *x,
                  const llq_view *norm, int swiglu, int adds, llq_view *out) {
  const struct llqi_linear_call call = {
      weight, x, norm, (float)f->model->config.norm_eps, swiglu, adds, out};
  return llqi_fused_linear(f->backend, &call);
}

/* Linears of a layer that have the same input, from `first` to `last`, are
   shown to the tap. */
static int show(const struct llqi_step *step, int layer, enum llqi_linear first,
                enum llqi_linear last, const llq_view *x) {
  for (enum llqi_linear i = first; step->tap != NULL && i <= last; i++)
    LLQ_TRY(step->tap(step->user, layer, i, x));
  return LLQ_OK;
}

/* A linear of normalized inputs, which have a place of their own only where a
   tap looks at them. */
static int normed_linear(struct llqi_forward *f, const struct llqi_step *step,
                         int layer, enum llqi_linear first,
                         enum llqi_linear last,
                         const struct llqi_linear_handle *weight,
                         const llq_view *norm, int swiglu, llq_view *out) {
  if (step->tap == NULL)
    return linear(f, weight, &f->hidden, norm, swiglu, 0, out);
  LLQ_TRY(llqi_op_rms_norm(f->backend, &f->hidden, norm,
                           (float)f->model->config.norm_eps, &f->normed));
  LLQ_TRY(show(step, layer, first, last, &f->normed));
  return linear(f, weight, &f->normed, NULL, swiglu, 0, out);
}

static int run_layer(struct llqi_forward *f, const struct llqi_step *step,
                     int i) {
  struct llqi_forward_layer *layer = &f->layers[i];
  LLQ_TRY(normed_linear(f, step, i, LLQI_Q, LLQI_V, &layer->qkv,
                        &layer->input_norm, 0, &f->qkv));
  LLQ_TRY(llqi_fused_attend(f->backend, step->batch, &f->cos_sin, &f->qkv,
                            &step->caches[i], llqi_forward_scale(f),
                            &f->attended));
  LLQ_TRY(show(step, i, LLQI_O, LLQI_O, &f->attended));
  LLQ_TRY(
      linear(f, &layer->linears[LLQI_O], &f->attended, NULL, 0, 1, &f->hidden));
  LLQ_TRY(normed_linear(f, step, i, LLQI_GATE, LLQI_UP, &layer->gate_up,
                        &layer->post_attention_norm, 1, &f->gate));
  LLQ_TRY(show(step, i, LLQI_DOWN, LLQI_DOWN, &f->gate));
  if (llqi_forward_ends(f, step, i))
    return LLQ_OK;
  return linear(f, &layer->linears[LLQI_DOWN], &f->gate, NULL, 0, 1,
                &f->hidden);
}

/* Logits of the step's first rows, as many as there is room for, and draws. */
static int run_output(struct llqi_forward *f, const struct llqi_step *step,
                      int n_rows) {
  if (n_rows == 0)
    return LLQ_OK;
  f->last.n_rows = f->logits.n_rows = n_rows;
  LLQ_TRY(llqi_fused_gather(f->backend, 0, &f->hidden, &f->last));
  LLQ_TRY(linear(f, &f->output, &f->last, &f->final_norm, 0, 0, &f->logits));
  return step->n_draws > 0 ? llqi_fused_draw(f->backend, &f->logits) : LLQ_OK;
}

static int run_all(struct llqi_forward *f, const struct llqi_step *step,
                   int n_rows) {
  LLQ_TRY(llqi_fused_embed(f->backend, &f->embedding, step->ids, &f->hidden));
  for (int i = 0; i < (int)f->model->config.n_layers; i++)
    LLQ_TRY(run_layer(f, step, i));
  return run_output(f, step, n_rows);
}

/* Logits that the host wants of the rows that were computed, then the rest. */
static int give_logits(struct llqi_forward *f, const struct llqi_step *step,
                       int n_computed) {
  int64_t n_vocab = f->model->config.n_vocab;
  int first = step->n_draws;
  if (n_computed > first)
    LLQ_TRY(llqi_memory_download(
        f->backend, step->logits + first * n_vocab,
        (const float *)f->logits.data + first * n_vocab,
        (size_t)((n_computed - first) * n_vocab) * sizeof(float)));
  return llqi_forward_logits(f, step->logit_rows + n_computed,
                             step->n_logit_rows - n_computed,
                             step->logits + n_computed * n_vocab);
}

int llqi_forward_fused(struct llqi_forward *f, const struct llqi_step *step) {
  int n_room = f->options.n_logit_rows_max, is_recorded;
  int n_computed = step->n_logit_rows < n_room ? step->n_logit_rows : n_room;
  LLQ_REQUIRE(step->n_draws <= n_computed,
              "forward: %d draws, expected 0 to %d", step->n_draws, n_computed);
  const llq_fused_step fused = {.struct_size = sizeof fused,
                                .batch = step->batch,
                                .ids = step->ids,
                                .logit_rows = step->logit_rows,
                                .n_logit_rows = n_computed,
                                .n_draws = step->n_draws,
                                .draws = step->draws};
  LLQ_TRY(llqi_fused_begin(f->backend, f->plan, &fused, &is_recorded));
  int status = is_recorded ? LLQ_OK : run_all(f, step, n_computed);
  LLQ_TRY(llqi_fused_end(f->backend, status, step->draws));
  return give_logits(f, step, n_computed);
}
