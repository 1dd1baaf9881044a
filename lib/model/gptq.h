/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized weights from the tensors of GPTQ's and AWQ's checkpoints. */
#ifndef LLQI_MODEL_GPTQ_H
#define LLQI_MODEL_GPTQ_H

#include <jansson.h>

#include "model/model.h"

/* The "quantization_config" of either, as far as it changes anything. */
struct llqi_gptq {
  int is_awq;
  int64_t bits;
  int64_t group_size;    /* -1: per channel */
  int version;           /* 1: GPTQ's zero points are stored less 1 */
  const json_t *dynamic; /* GPTQModel's exceptions, by pattern; or NULL */
  const char *where;
};

/* Reads a quantization_config; refuses by name what libllq has no codes for.
   `where` is kept. */
int llqi_gptq_read(const json_t *json, const char *where,
                   struct llqi_gptq *out);
int llqi_awq_read(const json_t *json, const char *where, struct llqi_gptq *out);

/* Loads "<module>.qweight" and what goes with it; *out is left alone if there
   is none. Codes are turned the way llq_weight has them, in memory that the
   model owns. Weights of 8 bits with zero points or an order of groups, which
   llq_weight cannot say, become dense: the values that the format means. */
int llqi_load_gptq(llq_model *model, const struct llqi_gptq *config,
                   const char *module, int64_t n_out, int64_t n_in,
                   llq_weight *out);

#endif
