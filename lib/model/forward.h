/* SPDX-License-Identifier: Apache-2.0 */
/* The forward pass of a Llama, written once over backend operations. */
#ifndef LLQI_MODEL_FORWARD_H
#define LLQI_MODEL_FORWARD_H

#include "backend/backend.h"
#include "model/model.h"

/* A model's weights on a backend, with working memory for a number of rows. */
struct llqi_forward;

/* compute: LLQ_F32 or LLQ_BF16. Refuses before loading, with sizes, what does
   not fit. The model and the backend must outlive it. */
int llqi_forward_open(struct llqi_forward **out, llq_backend *backend,
                      llq_model *model, int compute, int n_rows_max,
                      int n_positions_max);
void llqi_forward_close(struct llqi_forward *forward);

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
  llqi_tap tap;              /* NULL: none */
  void *user;
};
int llqi_forward_run(struct llqi_forward *forward,
                     const struct llqi_step *step);

#endif
