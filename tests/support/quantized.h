/* SPDX-License-Identifier: Apache-2.0 */
/* Tiny models with quantized linears of any kind, made without a quantizer. */
#ifndef LLQ_TEST_QUANTIZED_H
#define LLQ_TEST_QUANTIZED_H

#include "model/model.h"

struct kind {
  const char *scheme; /* as llq_model_describe() names it */
  int format, activation;
  int group_size; /* 0: per channel */
  int has_zeros, has_group_index;
};

/* What compressed-tensors' files hold. */
#define N_QUANTIZED_KINDS 9
extern const struct kind quantized_kinds[N_QUANTIZED_KINDS];

/* What GPTQ's files hold, and from number 7 on AWQ's. */
#define N_QUANTIZED_STORED 10
extern const struct stored {
  const char *format;
  struct kind kind;
} quantized_stored[N_QUANTIZED_STORED];

/* A random model of tiny_config()'s shape, but for its MLP width. */
llq_model *quantized_base(int64_t intermediate_size);

/* Gives a linear codes, scales and the like that are arbitrary but valid. */
void quantized_set(llq_model *model, int layer, enum llqi_linear linear,
                   const struct kind *kind);
void quantized_set_output(llq_model *model, const struct kind *kind);
void quantized_set_all(llq_model *model, const struct kind *kind);

/* A model saved in a format, as "saved", and opened again. */
llq_model *quantized_reopen(const llq_model *model, const char *format);

/* Overwrites bytes of a tensor in a safetensors file. */
void quantized_patch(const char *path, const char *tensor, const void *bytes,
                     size_t n);

/* Fails unless two models have the same weights, bit by bit. */
void quantized_compare(const llq_model *a, const llq_model *b);

#endif
