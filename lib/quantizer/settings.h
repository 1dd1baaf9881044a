/* SPDX-License-Identifier: Apache-2.0 */
/* A quantizer's options, checked. */
#ifndef LLQI_QUANTIZER_SETTINGS_H
#define LLQI_QUANTIZER_SETTINGS_H

#include "quantizer/calibration.h"
#include "quantizer/gptq.h"
#include "quantizer/method.h"
#include "quantizer/target.h"

/* What one linear becomes, and how. */
struct llqi_choice {
  struct llqi_target target; /* dense: it stays as it is */
  const struct llqi_method *method;
};

struct llqi_quantizer_settings {
  struct llqi_choice choice; /* of linears that no rule is about */
  struct llqi_gptq_options gptq;
  double strength[LLQI_N_INPUTS]; /* of SmoothQuant; 0: not smoothed */
  struct llqi_choice_of_samples samples;
  int compute;
  int kv_dtype; /* of the KV cache to find scales for; 0: of none */
  int is_parallel, measures;
};

/* The type that a name of a KV cache says; 0 for NULL. */
int llqi_kv_cache_read(const char *name, int *dtype);

/* Fails naming the option. */
int llqi_quantizer_settings_read(const llq_quantizer_options *options,
                                 struct llqi_quantizer_settings *out);

#endif
