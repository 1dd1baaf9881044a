/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/convert.h"

#include "base/alloc.h"
#include "base/status.h"
#include "quantizer/rtn.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

int llqi_convert_weight(llq_model *owner, struct llqi_threads *threads,
                        const llq_weight *from, llq_weight *out) {
  struct llqi_quantized to = {.weight = *from};
  to.weight.dtype = LLQ_BF16;
  if (from->dtype == LLQ_BF16)
    return LLQ_OK;
  to.data = llqi_alloc_aligned(llqi_weight_data_bytes(&to.weight), 1);
  if (to.data == NULL)
    return LLQ_ERROR_MEMORY;
  LLQ_TRY(llqi_model_own(owner, to.data));
  LLQ_TRY(llqi_rtn(from, threads, &to));
  *out = to.weight;
  out->data = to.data;
  return LLQ_OK;
}

static int convert_tensor(llq_model *owner, struct llqi_threads *threads,
                          const struct llqi_tensor *from,
                          struct llqi_tensor *to) {
  int64_t n_in = from->shape[from->n_dims - 1];
  llq_weight weight = {
      .struct_size = sizeof weight,
      .format = LLQ_WEIGHT_DENSE,
      .dtype = from->dtype,
      .n_out = from->n_dims > 1 ? from->shape[0] : 1,
      .n_in = n_in,
      .group_size = n_in,
      .data = from->data,
  };
  int status = llqi_convert_weight(owner, threads, &weight, &weight);
  if (status < 0)
    return llqi_fail_within(status, "%s: %s", owner->source, from->name);
  to->dtype = weight.dtype;
  to->data = weight.data;
  to->n_bytes = llqi_weight_data_bytes(&weight);
  return LLQ_OK;
}

static int set_dtype(json_t *config, const char *key) {
  if (json_object_get(config, key) != NULL &&
      json_object_set_new(config, key, json_string("bfloat16")) != 0)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory");
  return LLQ_OK;
}

int llqi_convert_rest(const llq_model *base, struct llqi_threads *threads,
                      llq_model *result) {
  LLQ_TRY(
      convert_tensor(result, threads, &base->embedding, &result->embedding));
  LLQ_TRY(
      convert_tensor(result, threads, &base->final_norm, &result->final_norm));
  for (int64_t l = 0; l < base->config.n_layers; l++) {
    const struct llqi_layer *from = &base->layers[l];
    struct llqi_layer *to = &result->layers[l];
    LLQ_TRY(
        convert_tensor(result, threads, &from->input_norm, &to->input_norm));
    LLQ_TRY(convert_tensor(result, threads, &from->post_attention_norm,
                           &to->post_attention_norm));
  }
  if (base->output.data == base->embedding.data) {
    result->output.data = result->embedding.data;
    result->output.dtype = result->embedding.dtype;
  } else {
    int status =
        llqi_convert_weight(result, threads, &base->output, &result->output);
    if (status < 0)
      return llqi_fail_within(status, "%s: lm_head.weight", base->source);
  }
  result->config.dtype = LLQ_BF16;
  LLQ_TRY(set_dtype(result->config.json, "dtype"));
  return set_dtype(result->config.json, "torch_dtype");
}
