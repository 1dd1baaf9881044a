/* SPDX-License-Identifier: Apache-2.0 */
/* The "quantization_config" of compressed-tensors: which linears are
   quantized, and how they are stored. */
#ifndef LLQI_MODEL_COMPRESSION_H
#define LLQI_MODEL_COMPRESSION_H

#include <jansson.h>
#include <stdint.h>

/* How a linear's weight is stored. */
struct llqi_stored {
  int32_t format;     /* of enum llq_weight_format */
  int32_t activation; /* of enum llq_activation */
  int is_packed;      /* codes in the words of weight_packed; else in weight */
  int has_zeros;      /* weight_zero_point */
  int64_t group_size; /* 0: per output channel */
};

/* Reads a quantization_config and finds what it means for a linear.
 *  json    the object; NULL: nothing is quantized
 *  where   the file it came from
 *  module  "model.layers.0.mlp.down_proj"
 *  out     format is LLQ_WEIGHT_DENSE for what is not quantized
 *  Whatever libllq has no kernels for is refused by name. */
int llqi_stored_find(const json_t *json, const char *where, const char *module,
                     struct llqi_stored *out);

/* Reads the kv_cache_scheme: the type of codes, one scale a tensor; 0 if there
   is none. */
int llqi_compression_kv(const json_t *json, const char *where, int *dtype);

/* Checks what does not depend on a linear. */
int llqi_compression_check(const json_t *json, const char *where);

#endif
