/* SPDX-License-Identifier: Apache-2.0 */
#include "model/kv_scheme.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "model/compression.h"
#include "model/load.h"
#include "tensor/dtype.h"

int llqi_kv_dtype_find(const char *name) {
  return strcmp(name, "fp8") == 0    ? LLQ_F8_E4M3
         : strcmp(name, "int8") == 0 ? LLQ_I8
                                     : 0;
}

const char *llqi_kv_dtype_name(int dtype) {
  return dtype == LLQ_F8_E4M3 ? "fp8" : dtype == LLQ_I8 ? "int8" : "";
}

float llqi_kv_largest(int dtype) {
  return dtype == LLQ_F8_E4M3 ? 448 : 127;
}

/* One number, of whatever shape. */
static int load_scale(const llq_model *model, int64_t layer, const char *which,
                      float *out) {
  char name[96];
  snprintf(name, sizeof name, "model.layers.%lld.self_attn.%s",
           (long long)layer, which);
  const struct llqi_tensor *tensor =
      llqi_checkpoint_find(model->checkpoint, name);
  if (tensor == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: no tensor %s, which its kv_cache_scheme needs",
                     model->directory, name);
  LLQ_TRY(llqi_check_float(tensor));
  if (tensor->n_bytes != llqi_dtype_size(tensor->dtype))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: %zu bytes, expected one number",
                     tensor->where, name, tensor->n_bytes);
  *out = llqi_load_f32(tensor->dtype, tensor->data, 0);
  if (!isfinite(*out) || *out <= 0)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: %s is %g, expected a finite number above 0",
                     tensor->where, name, (double)*out);
  return LLQ_OK;
}

int llqi_kv_load(llq_model *model, const json_t *quantization,
                 const char *where) {
  LLQ_TRY(llqi_compression_kv(quantization, where, &model->kv_dtype));
  for (int64_t i = 0; model->kv_dtype != 0 && i < model->config.n_layers; i++) {
    struct llqi_layer *layer = &model->layers[i];
    LLQ_TRY(load_scale(model, i, "k_scale", &layer->key_scale));
    LLQ_TRY(load_scale(model, i, "v_scale", &layer->value_scale));
  }
  return LLQ_OK;
}

json_t *llqi_kv_json(const llq_model *model) {
  if (model->kv_dtype == 0)
    return json_null();
  return json_pack("{s:i, s:s, s:b, s:s, s:b, s:n}", "num_bits", 8, "type",
                   model->kv_dtype == LLQ_F8_E4M3 ? "float" : "int",
                   "symmetric", 1, "strategy", "tensor", "dynamic", 0,
                   "group_size");
}
