/* SPDX-License-Identifier: Apache-2.0 */
/* What a model is, in numbers. */
#include <llq/model.h>

#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "base/status.h"
#include "model/kv_scheme.h"
#include "model/load.h"
#include "model/model.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* What the decoder layers' linears have in common. */
struct linears {
  const char *scheme; /* "mixed" if they differ */
  int64_t group_size; /* 0: per channel, none, or they differ */
  uint64_t n_bytes;
};

static struct linears survey(const llq_model *model) {
  struct linears all = {NULL, 0, 0};
  for (int64_t i = 0; i < model->config.n_layers; i++) {
    for (int k = 0; k < LLQI_N_LINEARS; k++) {
      const llq_weight *w = &model->layers[i].linears[k];
      const char *scheme = llqi_weight_scheme(w);
      const int grouped =
          w->format == LLQ_WEIGHT_INT4 && w->group_size < w->n_in;
      const int64_t group_size = grouped ? w->group_size : 0;
      if (all.scheme == NULL) {
        all.scheme = scheme;
        all.group_size = group_size;
      }
      if (strcmp(all.scheme, scheme) != 0)
        all.scheme = "mixed";
      if (all.group_size != group_size)
        all.group_size = 0;
      all.n_bytes += llqi_weight_bytes(w);
    }
  }
  return all;
}

/* Bytes of all that is no decoder layer's linear. */
static uint64_t rest_bytes(const llq_model *model) {
  uint64_t n = model->embedding.n_bytes + model->final_norm.n_bytes;
  if (!model->config.tied)
    n += llqi_weight_bytes(&model->output);
  for (int64_t i = 0; i < model->config.n_layers; i++)
    n += model->layers[i].input_norm.n_bytes +
         model->layers[i].post_attention_norm.n_bytes;
  return n;
}

static uint64_t n_parameters(const struct llqi_config *c) {
  uint64_t layer = 2 * (uint64_t)c->hidden_size;
  for (int k = 0; k < LLQI_N_LINEARS; k++) {
    int64_t n_out, n_in;
    llqi_linear_shape(c, k, &n_out, &n_in);
    layer += (uint64_t)n_out * (uint64_t)n_in;
  }
  const uint64_t table = (uint64_t)c->n_vocab * (uint64_t)c->hidden_size;
  return table * (c->tied ? 1 : 2) + (uint64_t)c->n_layers * layer +
         (uint64_t)c->hidden_size;
}

static const char *dtype_text(int dtype) {
  return dtype == LLQ_F32 ? "f32" : dtype == LLQ_F16 ? "f16" : "bf16";
}

int llq_model_describe(const llq_model *model, llq_model_info *info) {
  llqi_error_clear();
  LLQ_REQUIRE(model != NULL && info != NULL,
              "llq_model_describe: model and info must not be NULL");
  const struct llqi_config *c = &model->config;
  const struct linears all = survey(model);
  llq_model_info ours = {
      .architecture = "LlamaForCausalLM",
      .n_layers = (int32_t)c->n_layers,
      .hidden_size = (int32_t)c->hidden_size,
      .intermediate_size = (int32_t)c->intermediate_size,
      .n_heads = (int32_t)c->n_heads,
      .n_kv_heads = (int32_t)c->n_kv_heads,
      .head_size = (int32_t)c->head_size,
      .n_vocab = (int32_t)c->n_vocab,
      .n_context = (int32_t)c->n_context,
      .tied = c->tied,
      .group_size = (int32_t)all.group_size,
      .n_parameters = n_parameters(c),
      .n_weight_bytes = all.n_bytes + rest_bytes(model),
      .n_linear_bytes = all.n_bytes,
      .n_kv_bytes =
          (uint64_t)(2 * c->n_layers * c->n_kv_heads * c->head_size * 2),
      .n_output_bytes = llqi_weight_bytes(&model->output),
  };
  snprintf(ours.scheme, sizeof ours.scheme, "%s", all.scheme);
  snprintf(ours.output_scheme, sizeof ours.output_scheme, "%s",
           llqi_weight_scheme(&model->output));
  snprintf(ours.dtype, sizeof ours.dtype, "%s", dtype_text(c->dtype));
  snprintf(ours.kv_cache, sizeof ours.kv_cache, "%s",
           llqi_kv_dtype_name(model->kv_dtype));
  return llqi_struct_return(info, &ours, sizeof ours, "llq_model_info");
}

/* The linear as it would be in a scheme; scales have the type of the weights.
 */
static llq_weight weight_in(const llq_model *model, int linear, int format,
                            int64_t group_size) {
  llq_weight w = {.struct_size = sizeof w, .format = format};
  llqi_linear_shape(&model->config, linear, &w.n_out, &w.n_in);
  w.dtype = model->config.dtype;
  w.group_size = w.n_in;
  if (format == LLQ_WEIGHT_INT4 && group_size > 0)
    w.group_size = group_size;
  return w;
}

int llq_model_bytes_in(const llq_model *model, const char *scheme,
                       int32_t group_size, uint64_t *n_bytes) {
  llqi_error_clear();
  LLQ_REQUIRE(model != NULL && scheme != NULL && n_bytes != NULL,
              "llq_model_bytes_in: no argument may be NULL");
  LLQ_REQUIRE(group_size == 0 || group_size == -1 || group_size == 32 ||
                  group_size == 64 || group_size == 128,
              "group_size is %d, expected 32, 64, 128, -1 or 0",
              (int)group_size);
  int format, activation;
  LLQ_TRY(llqi_scheme_find(scheme, &format, &activation));
  uint64_t layer = 0;
  for (int k = 0; k < LLQI_N_LINEARS; k++) {
    const llq_weight w =
        weight_in(model, k, format, group_size == 0 ? 128 : group_size);
    layer += llqi_weight_bytes(&w);
  }
  *n_bytes = rest_bytes(model) + (uint64_t)model->config.n_layers * layer;
  return LLQ_OK;
}
