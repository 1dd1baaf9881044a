/* SPDX-License-Identifier: Apache-2.0 */
/* The forward pass of a Llama, written once over backend operations. */
#ifndef LLQI_MODEL_FORWARD_H
#define LLQI_MODEL_FORWARD_H

#include "backend/backend.h"
#include "model/model.h"

/* A model's weights on a backend, with working memory for a number of rows. */
struct llqi_forward;

struct llqi_forward_options {
  int compute;          /* LLQ_F32, LLQ_BF16 */
  int n_rows_max;       /* of a step */
  int n_positions_max;  /* of a sequence */
  int n_logit_rows_max; /* rows whose logits are computed at a time; 0: 16. No
                           step may draw more. */
  int has_tap;          /* 1: steps may have a tap */
  int is_fast;          /* as in llq_fused_plan */
  const llq_view *embedding; /* on the backend; NULL: the model's, which is
                                brought there */
};

/* Refuses before loading, with sizes, what does not fit. The model and the
   backend must outlive it. */
int llqi_forward_open(struct llqi_forward **out, llq_backend *backend,
                      llq_model *model,
                      const struct llqi_forward_options *options);
void llqi_forward_close(struct llqi_forward *forward);

/* Can it draw tokens itself? */
int llqi_forward_draws(const struct llqi_forward *forward);

/* Sees the input of a linear before the product: calibration. An error stops
   the pass. */
typedef int (*llqi_tap)(void *user, int layer, enum llqi_linear linear,
                        const llq_view *input);

/* One pass over the rows of a batch. */
struct llqi_step {
  const llq_batch *batch;
  const int32_t *ids;        /* [n_rows], checked to be below n_vocab */
  llq_kv *caches;            /* [n_layers] */
  const int32_t *logit_rows; /* rows whose logits are wanted */
  int n_logit_rows;          /* 0: none */
  float *logits;             /* host: [n_logit_rows, n_vocab] */
  llq_draw *draws;           /* if it draws: from the first n_draws of the rows,
                                whose logits then stay on the device */
  int n_draws;
  llqi_tap tap; /* NULL: none */
  void *user;
  int is_for_tap; /* 1: no more is computed than the tap sees */
};
int llqi_forward_run(struct llqi_forward *forward,
                     const struct llqi_step *step);

/* A norm's weights to the backend, in the type of `to` [1, n]. */
int llqi_norm_upload(llq_backend *backend, const struct llqi_tensor *norm,
                     const llq_view *to);

/* The residual stream after the last layer of the last pass, [n_rows,
   hidden_size] of the compute type, on the backend. */
const llq_view *llqi_forward_hidden(const struct llqi_forward *forward);

#endif
