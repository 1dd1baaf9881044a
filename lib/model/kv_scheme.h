/* SPDX-License-Identifier: Apache-2.0 */
/* The KV cache in 8 bits: its types' names, its scales in checkpoints. */
#ifndef LLQI_MODEL_KV_SCHEME_H
#define LLQI_MODEL_KV_SCHEME_H

#include <jansson.h>

#include "model/model.h"

/* "fp8" is LLQ_F8_E4M3, "int8" LLQ_I8; 0 for another name. */
int llqi_kv_dtype_find(const char *name);

/* The name of such a type; "" for others. */
const char *llqi_kv_dtype_name(int dtype);

/* What a scale is a part of the largest magnitude of: the largest code. */
float llqi_kv_largest(int dtype);

/* Reads the "kv_cache_scheme" of a quantization_config, and the scales that
   belong to it, into the model. `where` names the config. */
int llqi_kv_load(llq_model *model, const json_t *quantization,
                 const char *where);

/* The "kv_cache_scheme" of a model: null if it has none; NULL: no memory. */
json_t *llqi_kv_json(const llq_model *model);

#endif
