/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the forward pass share: forward.c sets it up,
   forward_plain.c and forward_fused.c run it. */
#ifndef LLQI_MODEL_FORWARD_STATE_H
#define LLQI_MODEL_FORWARD_STATE_H

#include "model/forward.h"

struct llqi_forward_layer {
  struct llqi_linear_handle linears[LLQI_N_LINEARS];
  /* Fused: Q, K and V; gate and up. Their own handles are then empty. */
  struct llqi_linear_handle qkv, gate_up;
  llq_view input_norm, post_attention_norm;
};

struct llqi_forward {
  llq_backend *backend;
  llq_model *model;
  struct llqi_forward_options options;
  int is_fused;
  void *plan; /* of fused steps */
  struct llqi_forward_layer *layers;
  struct llqi_linear_handle output;
  void *memory; /* of all views below and the layers' */
  llq_view embedding, final_norm, cos_sin;
  /* Activations of n_rows_max rows; fused, qkv stands for q, k and v, up and
     sum are not there, and normed only for a tap. */
  llq_view hidden, normed, q, k, v, qkv, attended, gate, up, sum;
  llq_view last, last_normed, logits; /* n_logit_rows_max rows */
};

/* Runs the layers over a step's rows, from ids to `hidden`. */
int llqi_forward_plain(struct llqi_forward *f, const struct llqi_step *step);

/* All of a step, logits and draws included. */
int llqi_forward_fused(struct llqi_forward *f, const struct llqi_step *step);

/* The logits of some rows of `hidden`, to host memory. */
int llqi_forward_logits(struct llqi_forward *f, const int32_t *rows, int n_rows,
                        float *logits);

/* Is a layer's last linear not needed? */
int llqi_forward_ends(const struct llqi_forward *f,
                      const struct llqi_step *step, int layer);

/* 1 / sqrt(head_size) */
float llqi_forward_scale(const struct llqi_forward *f);

#endif
