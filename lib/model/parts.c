/* SPDX-License-Identifier: Apache-2.0 */
#include "model/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* Rows that are made at a time: many enough for each cache line of a transpose
   to be read once. A multiple of what AWQ's rows come in. */
#define ROWS 128

static int add(struct llqi_parts *parts, const char *module, const char *suffix,
               const struct llqi_part *part) {
  char name[128];
  if (parts->n == parts->capacity) {
    const size_t capacity = parts->capacity > 0 ? 2 * parts->capacity : 64;
    void *grown = llqi_resize(parts->parts, capacity, sizeof *parts->parts);
    if (grown == NULL)
      return LLQ_ERROR_MEMORY;
    parts->parts = grown;
    parts->capacity = capacity;
  }
  struct llqi_part *added = &parts->parts[parts->n];
  *added = *part;
  snprintf(name, sizeof name, "%s.%s", module, suffix);
  added->tensor.name = llqi_strdup(name);
  if (added->tensor.name == NULL)
    return LLQ_ERROR_MEMORY;
  parts->n++;
  return LLQ_OK;
}

static struct llqi_part part_of(int dtype, int64_t rows, int64_t cols) {
  struct llqi_part part = {.rows = NULL};
  part.tensor.dtype = dtype;
  part.tensor.n_dims = cols > 0 ? 2 : 1;
  part.tensor.shape[0] = rows;
  part.tensor.shape[1] = cols;
  part.tensor.n_bytes =
      (size_t)rows * (size_t)(cols > 0 ? cols : 1) * llqi_dtype_size(dtype);
  return part;
}

int llqi_parts_add(struct llqi_parts *parts, const char *module,
                   const char *suffix, int dtype, int64_t rows, int64_t cols,
                   const void *data) {
  struct llqi_part part = part_of(dtype, rows, cols);
  part.tensor.data = data;
  return add(parts, module, suffix, &part);
}

int llqi_parts_add_rows(struct llqi_parts *parts, const char *module,
                        const char *suffix, int dtype, int64_t n_rows,
                        int64_t n_cols, const llq_weight *weight,
                        llqi_part_rows *rows) {
  struct llqi_part part = part_of(dtype, n_rows, n_cols);
  part.weight = weight;
  part.rows = rows;
  return add(parts, module, suffix, &part);
}

static int add_tensor(struct llqi_parts *parts, const char *module,
                      const struct llqi_tensor *tensor) {
  return llqi_parts_add(
      parts, module, "weight", tensor->dtype, tensor->shape[0],
      tensor->n_dims == 2 ? tensor->shape[1] : 0, tensor->data);
}

/* The values that codes mean. */
static int value_rows(const struct llqi_part *part, int64_t first, int64_t n,
                      void *rows) {
  const llq_weight *w = part->weight;
  const size_t n_in = (size_t)w->n_in;
  float *values = llqi_array(n_in, sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t i = 0; i < n; i++) {
    llqi_weight_row(w, first + i, values);
    llqi_from_f32(w->dtype, values, n_in,
                  (char *)rows + (size_t)i * n_in * llqi_dtype_size(w->dtype));
  }
  llqi_free(values);
  return LLQ_OK;
}

static int add_weight(struct llqi_parts *parts, const char *module,
                      const struct llqi_layout_plan *plan,
                      const llq_weight *w) {
  if (w->format == LLQ_WEIGHT_DENSE)
    return llqi_parts_add(parts, module, "weight", w->dtype, w->n_out, w->n_in,
                          w->data);
  if (!llqi_layout_has_codes(plan, w))
    return llqi_parts_add_rows(parts, module, "weight", w->dtype, w->n_out,
                               w->n_in, w, value_rows);
  switch (plan->layout) {
  case LLQI_LAYOUT_GPTQ:
    return llqi_parts_add_gptq(parts, module, plan, w);
  case LLQI_LAYOUT_AWQ:
    return llqi_parts_add_awq(parts, module, plan, w);
  default:
    return llqi_parts_add_compressed(parts, module, w);
  }
}

/* The scales of keys and values. */
static int add_kv(struct llqi_parts *parts, const struct llqi_layer *layer,
                  int64_t number) {
  char module[96];
  snprintf(module, sizeof module, "model.layers.%lld.self_attn",
           (long long)number);
  LLQ_TRY(llqi_parts_add(parts, module, "k_scale", LLQ_F32, 1, 0,
                         &layer->key_scale));
  return llqi_parts_add(parts, module, "v_scale", LLQ_F32, 1, 0,
                        &layer->value_scale);
}

static int add_layer(struct llqi_parts *parts,
                     const struct llqi_layout_plan *plan,
                     const struct llqi_layer *layer, int64_t number) {
  char module[96];
  for (int k = 0; k < LLQI_N_LINEARS; k++) {
    snprintf(module, sizeof module, "model.layers.%lld.%s", (long long)number,
             llqi_linear_names[k]);
    LLQ_TRY(add_weight(parts, module, plan, &layer->linears[k]));
  }
  snprintf(module, sizeof module, "model.layers.%lld.input_layernorm",
           (long long)number);
  LLQ_TRY(add_tensor(parts, module, &layer->input_norm));
  snprintf(module, sizeof module, "model.layers.%lld.post_attention_layernorm",
           (long long)number);
  return add_tensor(parts, module, &layer->post_attention_norm);
}

int llqi_parts_list(const llq_model *model, const struct llqi_layout_plan *plan,
                    struct llqi_parts *out) {
  const int has_kv =
      model->kv_dtype != 0 && plan->layout == LLQI_LAYOUT_COMPRESSED;
  *out = (struct llqi_parts){0};
  int status = add_tensor(out, "model.embed_tokens", &model->embedding);
  for (int64_t i = 0; i < model->config.n_layers && status >= 0; i++) {
    status = add_layer(out, plan, &model->layers[i], i);
    if (status >= 0 && has_kv)
      status = add_kv(out, &model->layers[i], i);
  }
  if (status >= 0)
    status = add_tensor(out, "model.norm", &model->final_norm);
  if (status >= 0 && !model->config.tied)
    status = add_weight(out, "lm_head", plan, &model->output);
  if (status < 0)
    llqi_parts_free(out);
  return status;
}

void llqi_parts_free(struct llqi_parts *parts) {
  for (size_t i = 0; i < parts->n; i++)
    llqi_free((char *)parts->parts[i].tensor.name);
  llqi_free(parts->parts);
  *parts = (struct llqi_parts){0};
}

/* Makes and writes some rows of the stored shape at a time. */
static int write_rows(const struct llqi_part *part,
                      struct llqi_writer *writer) {
  const int64_t n_rows = part->tensor.shape[0];
  const size_t row_bytes = part->tensor.n_bytes / (size_t)n_rows;
  void *rows = llqi_array(ROWS, row_bytes);
  int status = rows != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (int64_t first = 0; first < n_rows && status >= 0; first += ROWS) {
    const int64_t n = first + ROWS < n_rows ? ROWS : n_rows - first;
    status = part->rows(part, first, n, rows);
    if (status >= 0)
      status = llqi_writer_write(writer, rows, (size_t)n * row_bytes);
  }
  llqi_free(rows);
  return status;
}

int llqi_part_write(const struct llqi_part *part, struct llqi_writer *writer) {
  if (part->rows != NULL)
    return write_rows(part, writer);
  return llqi_writer_write(writer, part->tensor.data, part->tensor.n_bytes);
}
