/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which checkpoints store quantized linears, and what each of them
   can say. */
#ifndef LLQI_MODEL_LAYOUT_H
#define LLQI_MODEL_LAYOUT_H

#include "model/model.h"

enum llqi_layout {
  LLQI_LAYOUT_NONE,       /* an unknown one */
  LLQI_LAYOUT_DENSE,      /* "safetensors": values, not codes */
  LLQI_LAYOUT_COMPRESSED, /* "compressed-tensors" */
  LLQI_LAYOUT_GPTQ,
  LLQI_LAYOUT_AWQ /* its version for GEMM */
};

/* By a name that is a "quant_method", or "safetensors". */
enum llqi_layout llqi_layout_find(const char *name);

/* What all weights of a model have in common, where a layout wants that. */
struct llqi_layout_plan {
  enum llqi_layout layout;
  const llq_weight *head; /* the output matrix, which AWQ has no codes for */
  int64_t group_size;     /* of GPTQ and AWQ; -1: per channel */
  int bits;         /* of GPTQ: what most have, the others are exceptions */
  int gptq_version; /* 2 if a zero point of the least code occurs */
};

void llqi_layout_plan(const llq_model *model, enum llqi_layout layout,
                      struct llqi_layout_plan *out);

/* What of a linear is lost if it is stored so; NULL: nothing. A linear that
   loses its codes is stored as the values that they mean. */
const char *llqi_layout_loss(const struct llqi_layout_plan *plan,
                             const llq_weight *weight);

/* Whether a quantized linear is stored as codes. */
int llqi_layout_has_codes(const struct llqi_layout_plan *plan,
                          const llq_weight *weight);

/* The type that scales are stored in: the weight's own, or F16, where that
   loses nothing or a loss was allowed. */
int llqi_layout_scale_dtype(const struct llqi_layout_plan *plan,
                            const llq_weight *weight);

/* Fails with LLQ_ERROR_UNSUPPORTED, naming linear and reason, if anything of a
   model would be lost: of its linears, or the scales of its KV cache. */
int llqi_layout_check(const llq_model *model,
                      const struct llqi_layout_plan *plan);

#endif
