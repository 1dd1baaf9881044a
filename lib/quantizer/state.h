/* SPDX-License-Identifier: Apache-2.0 */
/* A quantizer's state, and how it goes on by a layer. */
#ifndef LLQI_QUANTIZER_STATE_H
#define LLQI_QUANTIZER_STATE_H

#include "quantizer/layer.h"
#include "quantizer/spool.h"

struct llq_quantizer {
  llq_model *base;
  llq_model *result; /* NULL once taken */
  struct llqi_quantizer_settings settings;
  struct llqi_choice *choices;   /* [n_layers + 1, LLQI_N_LINEARS] */
  struct llqi_outcome *outcomes; /* the same shape */
  /* The output matrix is the only linear, in Q's place, of one more layer,
     whose norm is the final one: the base's, and what it becomes. */
  struct llqi_layer head, made_head;
  struct llqi_threads *threads;
  llq_backend *backend;    /* the caller's; NULL: none */
  llq_backend *calibrator; /* has the operations of calibration */
  llq_backend *own_calibrator;
  struct llqi_calibration samples;
  struct llqi_streams streams; /* open once there are steps */
  int is_calibrated;           /* uses the samples */
  char *measure_file;          /* NULL: measure on calibration's tokens */
  char *directory;             /* of the spool; NULL: none */
  struct llqi_spool spool;
  int64_t n_done; /* layers, the head among them */
};

/* Adds which linear it is to a failure. */
int llqi_within_linear(int status, const llq_model *model, int64_t layer,
                       int linear);

/* The layers to make: one more than the model has where a recipe chooses a
   scheme for the output matrix. */
int64_t llqi_quantizer_n_layers(const llq_quantizer *quantizer);

/* "model.layers.0", or "lm_head" for the layer behind the last; "" for -1. */
void llqi_quantizer_layer_name(const llq_quantizer *quantizer, int64_t layer,
                               char *name, size_t size);

/* Does "bf16" convert all of a model? */
int llqi_quantizer_converts(const llq_quantizer *quantizer);

/* What needs calibration: "method" with its name, or "kv_cache". 0: nothing. */
struct llqi_need {
  const char *what, *name;
};
int llqi_quantizer_needs(const llq_quantizer *quantizer,
                         struct llqi_need *need);

/* Quantizes one more layer. LLQ_MORE, LLQ_OK, or a failure. */
int llqi_quantizer_advance(llq_quantizer *quantizer);

#endif
