/* SPDX-License-Identifier: Apache-2.0 */
/* The quantization_config that compressed-tensors, transformers and vLLM read
   for a model's weights. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "model/kv_scheme.h"
#include "model/save.h"

#define GROUPS_LIMIT 32

/* Weights that are stored alike. Where a group of inputs is a whole row, "per
   channel" and "group" both describe it: what describes all of them is kept. */
struct group {
  const llq_weight *example;
  json_t *targets;    /* borrowed from `owner` */
  int by_channel;     /* may be described so */
  int64_t group_size; /* or so; 0: not */
};

struct groups {
  struct group all[GROUPS_LIMIT];
  int n, has_head; /* the output matrix is quantized */
  json_t *owner;   /* array of the targets */
  json_t *ignore;  /* linears that are not quantized */
};

static int is_by_channel(const llq_weight *w) {
  return w->group_size == w->n_in;
}

/* Joins a group if one description fits all; 0 if not. */
static int join(struct group *group, const llq_weight *w) {
  const llq_weight *e = group->example;
  const int by_channel = group->by_channel && is_by_channel(w);
  const int same_size = group->group_size == w->group_size;
  if (e->format != w->format || e->activation != w->activation ||
      (e->zero != NULL) != (w->zero != NULL) ||
      (e->group_index != NULL) != (w->group_index != NULL) ||
      (!by_channel && !same_size))
    return 0;
  group->by_channel = by_channel;
  group->group_size = same_size ? group->group_size : 0;
  return 1;
}

static int no_memory(void) {
  return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: quantization_config");
}

static int add_group(struct groups *groups, const llq_weight *w,
                     const char *module) {
  if (groups->n == GROUPS_LIMIT)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: more than %d kinds of weights in a model", module,
                     GROUPS_LIMIT);
  json_t *targets = json_array();
  if (json_array_append_new(groups->owner, targets) < 0)
    return no_memory();
  groups->all[groups->n++] =
      (struct group){w, targets, is_by_channel(w), w->group_size};
  return LLQ_OK;
}

static int sort_in(struct groups *groups, const llq_weight *w,
                   const char *module) {
  json_t *list = groups->ignore;
  if (w->format != LLQ_WEIGHT_DENSE) {
    int i = 0;
    while (i < groups->n && !join(&groups->all[i], w))
      i++;
    if (i == groups->n)
      LLQ_TRY(add_group(groups, w, module));
    list = groups->all[i].targets;
  }
  return json_array_append_new(list, json_string(module)) < 0 ? no_memory()
                                                              : LLQ_OK;
}

static int sort_all(struct groups *groups, const llq_model *model) {
  for (int64_t i = 0; i <= model->config.n_layers * LLQI_N_LINEARS; i++) {
    char module[96];
    llqi_linear_name(model->config.n_layers, i, module, sizeof module);
    LLQ_TRY(sort_in(groups, llqi_linear_at(model, i), module));
  }
  return LLQ_OK;
}

static const char *format_of(const llq_weight *w) {
  if (w->activation == LLQ_ACTIVATION_NONE)
    return "pack-quantized";
  return w->format == LLQ_WEIGHT_FP8 ? "float-quantized" : "int-quantized";
}

static json_t *weights_json(const struct group *group) {
  const llq_weight *w = group->example;
  json_t *json =
      json_pack("{s:i, s:s, s:b, s:s, s:b}", "num_bits",
                w->format == LLQ_WEIGHT_INT4 ? 4 : 8, "type",
                w->format == LLQ_WEIGHT_FP8 ? "float" : "int", "symmetric",
                w->zero == NULL, "strategy",
                group->by_channel ? "channel" : "group", "dynamic", 0);
  json_object_set_new(json, "group_size",
                      group->by_channel ? json_null()
                                        : json_integer(group->group_size));
  if (w->group_index != NULL)
    json_object_set_new(json, "actorder", json_string("group"));
  return json;
}

static json_t *activations_json(const llq_weight *w) {
  if (w->activation == LLQ_ACTIVATION_NONE)
    return json_null();
  return json_pack("{s:i, s:s, s:b, s:s, s:b, s:n}", "num_bits", 8, "type",
                   w->activation == LLQ_ACTIVATION_FP8 ? "float" : "int",
                   "symmetric", 1, "strategy", "token", "dynamic", 1,
                   "group_size");
}

/* A single group is written as usual: all linears, but for those ignored. Some
   readers' output matrix is no linear: it has its name there, too. */
static json_t *targets_json(const struct groups *groups, int i) {
  if (groups->n > 1)
    return json_incref(groups->all[i].targets);
  return groups->has_head ? json_pack("[s, s]", "Linear", "lm_head")
                          : json_pack("[s]", "Linear");
}

static json_t *group_json(const struct groups *groups, int i) {
  const struct group *group = &groups->all[i];
  json_t *targets = targets_json(groups, i);
  return json_pack("{s:o, s:o, s:o, s:n, s:s}", "targets", targets, "weights",
                   weights_json(group), "input_activations",
                   activations_json(group->example), "output_activations",
                   "format", format_of(group->example));
}

static json_t *quantization_json(const struct groups *groups,
                                 const llq_model *model) {
  json_t *config_groups = json_object();
  const char *format =
      groups->n > 0 ? format_of(groups->all[0].example) : "dense";
  for (int i = 0; i < groups->n; i++) {
    char name[20];
    snprintf(name, sizeof name, "group_%d", i);
    json_object_set_new(config_groups, name, group_json(groups, i));
    if (strcmp(format_of(groups->all[i].example), format) != 0)
      format = "mixed-precision";
  }
  return json_pack("{s:s, s:s, s:s, s:o, s:O, s:o, s:n}", "quant_method",
                   "compressed-tensors", "format", format,
                   "quantization_status", "compressed", "config_groups",
                   config_groups, "ignore", groups->ignore, "kv_cache_scheme",
                   llqi_kv_json(model), "global_compression_ratio");
}

static int compressed_json(const llq_model *model, json_t **out) {
  struct groups groups = {.has_head = model->output.format != LLQ_WEIGHT_DENSE,
                          .owner = json_array(),
                          .ignore = json_array()};
  int status = groups.owner != NULL && groups.ignore != NULL
                   ? sort_all(&groups, model)
                   : no_memory();
  if (status >= 0 && (groups.n > 0 || model->kv_dtype != 0) &&
      (*out = quantization_json(&groups, model)) == NULL)
    status = no_memory();
  json_decref(groups.owner);
  json_decref(groups.ignore);
  return status;
}

/* NULL where nothing is stored as codes. */
static int quantization_of(const llq_model *model,
                           const struct llqi_layout_plan *plan, json_t **out) {
  *out = NULL;
  switch (plan->layout) {
  case LLQI_LAYOUT_COMPRESSED:
    return compressed_json(model, out);
  case LLQI_LAYOUT_GPTQ:
    return plan->bits != 0 ? llqi_gptq_json(model, plan, out) : LLQ_OK;
  case LLQI_LAYOUT_AWQ:
    return plan->bits != 0 ? llqi_awq_json(model, plan, out) : LLQ_OK;
  default:
    return LLQ_OK;
  }
}

int llqi_config_json(const llq_model *model,
                     const struct llqi_layout_plan *plan, json_t **out) {
  json_t *quantization;
  *out = json_deep_copy(model->config.json);
  if (*out == NULL)
    return no_memory();
  json_object_del(*out, "quantization_config");
  int status = quantization_of(model, plan, &quantization);
  if (status >= 0 && quantization != NULL &&
      json_object_set_new(*out, "quantization_config", quantization) < 0)
    status = no_memory();
  if (status < 0) {
    json_decref(*out);
    *out = NULL;
  }
  return status;
}
