/* SPDX-License-Identifier: Apache-2.0 */
/* One decoder layer, from its calibration to its codes. */
#ifndef LLQI_QUANTIZER_LAYER_H
#define LLQI_QUANTIZER_LAYER_H

#include "quantizer/settings.h"
#include "quantizer/streams.h"

/* How well a linear was quantized. Errors are NaN unless measured. */
struct llqi_outcome {
  double error;   /* mean square of what its outputs lost */
  double power;   /* mean square of its outputs */
  double damping; /* that GPTQ needed; 0: another method */
  int64_t n_dead; /* inputs that were always 0 */
};

/* What a layer's time goes into. */
enum llqi_phase {
  LLQI_PHASE_OBSERVE, /* samples through the original, and sums over them */
  LLQI_PHASE_FOLD,
  LLQI_PHASE_FACTOR,
  LLQI_PHASE_LOAD, /* weights, as floats */
  LLQI_PHASE_GRID,
  LLQI_PHASE_ROUND,
  LLQI_PHASE_MEASURE,
  LLQI_PHASE_ADVANCE, /* samples through what was made */
  LLQI_N_PHASES
};

struct llqi_layer_job {
  const struct llqi_quantizer_settings *settings;
  const struct llqi_config *config;
  int n_linears; /* LLQI_N_LINEARS; 1: the output matrix, in Q's place, behind
                    the final norm, in the input norm's */
  const struct llqi_choice *choices; /* [n_linears] */
  const struct llqi_layer *from;
  struct llqi_layer *to; /* begins as a copy of `from` */
  llq_model *owner;      /* of the memory of what is made */
  struct llqi_threads *threads;
  struct llqi_streams *streams;  /* NULL: without calibration */
  llq_backend *backend;          /* of the streams */
  llq_backend *calibrator;       /* has the operations of calibration */
  struct llqi_outcome *outcomes; /* [n_linears] */

  /* Of the work under way. */
  struct llqi_inputs inputs[LLQI_N_INPUTS];
  float *scales[LLQI_N_INPUTS]; /* what an input is divided by; NULL: 1 */
  float *spread; /* [kv outputs]: of the o input's, by v's rows */
  int failed;    /* linear; for the message */
  double seconds[LLQI_N_PHASES];
};

static inline int llqi_layer_is_head(const struct llqi_layer_job *job) {
  return job->n_linears == 1;
}

static inline int llqi_layer_n_inputs(const struct llqi_layer_job *job) {
  return llqi_layer_is_head(job) ? 1 : LLQI_N_INPUTS;
}

/* Quantizes the layer, and sends the samples on. On failure job->failed is the
   linear that it is about, or -1. */
int llqi_layer_quantize(struct llqi_layer_job *job);

/* What is folded into a linear so far. */
struct llqi_fold llqi_layer_fold(const struct llqi_layer_job *job, int linear);

#endif
