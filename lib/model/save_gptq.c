/* SPDX-License-Identifier: Apache-2.0 */
/* The quantization_config of GPTQ and of AWQ. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "model/save.h"

static int no_memory(void) {
  return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: quantization_config");
}

static int bits_of(const llq_weight *w) {
  return w->format == LLQ_WEIGHT_INT4 ? 4 : 8;
}

static int has_codes(const struct llqi_layout_plan *plan, const llq_weight *w) {
  return w->format != LLQ_WEIGHT_DENSE && llqi_layout_has_codes(plan, w);
}

/* What all quantized linears have. */
struct summary {
  int any_zeros, any_order;
};

static struct summary summarize(const llq_model *model,
                                const struct llqi_layout_plan *plan) {
  struct summary all = {0, 0};
  for (int64_t i = 0; i <= model->config.n_layers * LLQI_N_LINEARS; i++) {
    const llq_weight *w = llqi_linear_at(model, i);
    if (!has_codes(plan, w))
      continue;
    all.any_zeros |= w->zero != NULL;
    all.any_order |= w->group_index != NULL;
  }
  return all;
}

/* "+:^model\\.layers\\.0\\.mlp\\.up_proj$" */
static void pattern_of(char sign, const char *name, char *text, size_t size) {
  char escaped[96];
  size_t n = 0;
  for (const char *c = name; *c != '\0' && n + 2 < sizeof escaped; c++) {
    if (*c == '.')
      escaped[n++] = '\\';
    escaped[n++] = *c;
  }
  escaped[n] = '\0';
  snprintf(text, size, "%c:^%s$", sign, escaped);
}

/* How a linear differs from what the plan says of all; NULL: not at all. */
static json_t *exception_of(const struct llqi_layout_plan *plan,
                            const llq_weight *w, char *sign) {
  *sign = '+';
  if (!has_codes(plan, w)) {
    *sign = '-';
    return json_object();
  }
  const int same_groups = w->group_size == plan->group_size ||
                          (plan->group_size == -1 && w->group_size == w->n_in);
  if (same_groups && bits_of(w) == plan->bits)
    return NULL;
  return json_pack("{s:i, s:I}", "bits", bits_of(w), "group_size",
                   (json_int_t)w->group_size);
}

/* The output matrix has no codes unless "lm_head" says so. */
static int add_exceptions(const llq_model *model,
                          const struct llqi_layout_plan *plan,
                          json_t *dynamic) {
  const int64_t head = model->config.n_layers * LLQI_N_LINEARS;
  for (int64_t i = 0; i < head + has_codes(plan, &model->output); i++) {
    char sign, name[96], pattern[104];
    json_t *exception = exception_of(plan, llqi_linear_at(model, i), &sign);
    if (exception == NULL)
      continue;
    llqi_linear_name(model->config.n_layers, i, name, sizeof name);
    pattern_of(sign, name, pattern, sizeof pattern);
    if (json_object_set_new(dynamic, pattern, exception) < 0)
      return no_memory();
  }
  return LLQ_OK;
}

int llqi_gptq_json(const llq_model *model, const struct llqi_layout_plan *plan,
                   json_t **out) {
  const struct summary all = summarize(model, plan);
  json_t *dynamic = json_object();
  *out = json_pack(
      "{s:s, s:i, s:I, s:b, s:b, s:b, s:s, s:s}", "quant_method", "gptq",
      "bits", plan->bits, "group_size", (json_int_t)plan->group_size, "sym",
      !all.any_zeros, "desc_act", all.any_order, "lm_head",
      has_codes(plan, &model->output), "pack_dtype", "int32",
      "checkpoint_format", plan->gptq_version == 1 ? "gptq" : "gptq_v2");
  int status = dynamic != NULL && *out != NULL
                   ? add_exceptions(model, plan, dynamic)
                   : no_memory();
  if (status >= 0 && json_object_size(dynamic) > 0 &&
      json_object_set(*out, "dynamic", dynamic) < 0)
    status = no_memory();
  json_decref(dynamic);
  if (status < 0) {
    json_decref(*out);
    *out = NULL;
  }
  return status;
}

/* Names that AutoAWQ looks for within a module's name. */
static int add_dense(const llq_model *model,
                     const struct llqi_layout_plan *plan, json_t *names) {
  for (int64_t i = 0; i < model->config.n_layers * LLQI_N_LINEARS; i++) {
    char name[96];
    if (has_codes(plan, llqi_linear_at(model, i)))
      continue;
    llqi_linear_name(model->config.n_layers, i, name, sizeof name);
    if (json_array_append_new(names, json_string(name)) < 0)
      return no_memory();
  }
  return LLQ_OK;
}

int llqi_awq_json(const llq_model *model, const struct llqi_layout_plan *plan,
                  json_t **out) {
  json_t *names = json_pack("[s]", "lm_head");
  int status = names != NULL ? add_dense(model, plan, names) : no_memory();
  *out = status >= 0
             ? json_pack("{s:s, s:i, s:I, s:b, s:s, s:O}", "quant_method",
                         "awq", "bits", 4, "group_size",
                         (json_int_t)plan->group_size, "zero_point", 1,
                         "version", "gemm", "modules_to_not_convert", names)
             : NULL;
  json_decref(names);
  return *out != NULL || status < 0 ? status : no_memory();
}
