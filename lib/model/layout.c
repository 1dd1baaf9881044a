/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layout.h"

#include <math.h>
#include <string.h>

#include "base/status.h"
#include "model/kv_scheme.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

static const char *const names[] = {
    [LLQI_LAYOUT_DENSE] = "safetensors",
    [LLQI_LAYOUT_COMPRESSED] = "compressed-tensors",
    [LLQI_LAYOUT_GPTQ] = "gptq",
    [LLQI_LAYOUT_AWQ] = "awq",
};

enum llqi_layout llqi_layout_find(const char *name) {
  for (int i = LLQI_LAYOUT_DENSE; i <= LLQI_LAYOUT_AWQ; i++)
    if (strcmp(names[i], name) == 0)
      return (enum llqi_layout)i;
  return LLQI_LAYOUT_NONE;
}

static int is_by_channel(const llq_weight *w) {
  return w->group_size == w->n_in;
}

static int bits_of(const llq_weight *w) {
  return w->format == LLQ_WEIGHT_INT4 ? 4 : 8;
}

/* Whether zero points reach the least code, which GPTQ's first version, taking
   1 off them, cannot say. */
static int has_least_zero(const llq_weight *w) {
  if (w->format != LLQ_WEIGHT_INT4 || w->zero == NULL)
    return 0;
  return memchr(w->zero, (unsigned char)-8,
                (size_t)(w->n_out * llqi_weight_n_groups(w))) != NULL;
}

/* The group size of the first weight that has groups; "per channel" only if
   none has. */
void llqi_layout_plan(const llq_model *model, enum llqi_layout layout,
                      struct llqi_layout_plan *out) {
  const int64_t head = model->config.n_layers * LLQI_N_LINEARS;
  *out = (struct llqi_layout_plan){layout, &model->output, -1, 0, 1};
  for (int64_t i = 0; i <= head; i++) {
    const llq_weight *w = llqi_linear_at(model, i);
    const int is_int =
        w->format == LLQ_WEIGHT_INT4 || w->format == LLQ_WEIGHT_INT8;
    if (!is_int)
      continue;
    if (out->bits == 0)
      out->bits = bits_of(w);
    if (out->group_size == -1 && !is_by_channel(w))
      out->group_size = w->group_size;
    if (has_least_zero(w))
      out->gptq_version = 2;
  }
}

static int fills_words(const llq_weight *w) {
  const int a_word = 32 / bits_of(w);
  return w->n_in % a_word == 0 && w->n_out % a_word == 0;
}

/* Why the codes cannot be kept. */
static const char *codes_loss(const struct llqi_layout_plan *plan,
                              const llq_weight *w) {
  const int is_awq = plan->layout == LLQI_LAYOUT_AWQ;
  if (plan->layout != LLQI_LAYOUT_GPTQ && !is_awq)
    return NULL;
  if (is_awq && w == plan->head)
    return "its codes";
  if (w->format == LLQ_WEIGHT_FP8)
    return "its 8-bit float codes";
  if (is_awq && w->format != LLQ_WEIGHT_INT4)
    return "its 8-bit codes";
  if (is_awq && w->group_index != NULL)
    return "its order of groups";
  if (is_awq && w->group_size != plan->group_size &&
      !(plan->group_size == -1 && is_by_channel(w)))
    return "its group size, as others have another";
  return fills_words(w) ? NULL : "its codes, which do not fill 32-bit words";
}

int llqi_layout_has_codes(const struct llqi_layout_plan *plan,
                          const llq_weight *w) {
  return plan->layout != LLQI_LAYOUT_DENSE && codes_loss(plan, w) == NULL;
}

int llqi_layout_scale_dtype(const struct llqi_layout_plan *plan,
                            const llq_weight *w) {
  const int is_gptq = plan->layout == LLQI_LAYOUT_GPTQ;
  if (plan->layout == LLQI_LAYOUT_AWQ || (is_gptq && w->dtype == LLQ_F32))
    return LLQ_F16;
  return w->dtype;
}

static int scales_fit(const struct llqi_layout_plan *plan,
                      const llq_weight *w) {
  const int dtype = llqi_layout_scale_dtype(plan, w);
  const size_t n = (size_t)(w->n_out * llqi_weight_n_groups(w));
  for (size_t i = 0; dtype != w->dtype && i < n; i++) {
    const float scale = llqi_load_f32(w->dtype, w->scale, i);
    float rounded = scale;
    llqi_round_f32(dtype, &rounded, 1);
    if (rounded != scale && !isnan(scale))
      return 0;
  }
  return 1;
}

const char *llqi_layout_loss(const struct llqi_layout_plan *plan,
                             const llq_weight *w) {
  if (w->format == LLQ_WEIGHT_DENSE || plan->layout == LLQI_LAYOUT_COMPRESSED)
    return NULL;
  const char *loss = codes_loss(plan, w);
  if (loss != NULL)
    return loss;
  if (w->activation != LLQ_ACTIVATION_NONE)
    return "the quantization of its inputs";
  if (plan->layout != LLQI_LAYOUT_DENSE && !scales_fit(plan, w))
    return "bits of its scales, which become F16";
  return NULL;
}

int llqi_layout_check(const llq_model *model,
                      const struct llqi_layout_plan *plan) {
  if (model->kv_dtype != 0 && plan->layout != LLQI_LAYOUT_COMPRESSED)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: would lose the %s scales of its KV cache as %s",
                     model->source, llqi_kv_dtype_name(model->kv_dtype),
                     names[plan->layout]);
  for (int64_t i = 0; i <= model->config.n_layers * LLQI_N_LINEARS; i++) {
    const char *loss = llqi_layout_loss(plan, llqi_linear_at(model, i));
    char name[96];
    llqi_linear_name(model->config.n_layers, i, name, sizeof name);
    if (loss != NULL)
      return llqi_fail(LLQ_ERROR_UNSUPPORTED, "%s: %s: would lose %s as %s",
                       model->source, name, loss, names[plan->layout]);
  }
  return LLQ_OK;
}
