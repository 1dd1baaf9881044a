/* SPDX-License-Identifier: Apache-2.0 */
#include "model/gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/status.h"
#include "model/load.h"
#include "tensor/dtype.h"

/* A matrix on its way from file to memory. */
struct matrix {
  llq_model *model;
  const struct llqi_gguf_tensor *tensor;
  int64_t head_size; /* of q and k; 0: rows are in order */
};

/* GGUF has the rows of a head's two halves in turns. */
static const uint8_t *row_at(const struct matrix *m, int64_t row) {
  const int64_t d = m->head_size;
  if (d > 0) {
    const int64_t i = row % d;
    row = row - i + 2 * (i % (d / 2)) + i / (d / 2);
  }
  return (const uint8_t *)m->tensor->data +
         (size_t)row * (m->tensor->n_bytes / (size_t)m->tensor->n_rows);
}

static int allocate(llq_model *model, size_t n, size_t size, void *memory) {
  void *block = llqi_alloc_aligned(n, size);
  if (block == NULL)
    return LLQ_ERROR_MEMORY;
  memcpy(memory, &block, sizeof block);
  return llqi_model_own(model, block);
}

static int copy_plain(const struct matrix *m, llq_weight *out) {
  const struct llqi_gguf_tensor *t = m->tensor;
  const size_t row_bytes = t->n_bytes / (size_t)t->n_rows;
  char *data;
  out->dtype = t->type->dtype;
  out->data = t->data;
  if (m->head_size == 0)
    return LLQ_OK;
  LLQ_TRY(allocate(m->model, t->n_bytes, 1, &data));
  for (int64_t o = 0; o < t->n_rows; o++)
    memcpy(data + (size_t)o * row_bytes, row_at(m, o), row_bytes);
  out->data = data;
  return LLQ_OK;
}

static int make_values(const struct matrix *m, llq_weight *out) {
  const struct llqi_gguf_tensor *t = m->tensor;
  float *data;
  LLQ_TRY(
      allocate(m->model, (size_t)(t->n_rows * t->n_cols), sizeof *data, &data));
  for (int64_t o = 0; o < t->n_rows; o++)
    llqi_ggml_row(t->type, row_at(m, o), t->n_cols, data + o * t->n_cols);
  llqi_log(LLQ_LOG_INFO, "%s: %s is held as F32", t->name, t->type->name);
  out->dtype = LLQ_F32;
  out->data = data;
  return LLQ_OK;
}

/* 4-bit codes go into words, see tensor/int4.c. */
static void store_codes(const struct llqi_ggml *type, const int8_t *codes,
                        int64_t at, uint8_t *data) {
  if (type->bits == 8) {
    memcpy(data + at, codes, (size_t)type->block);
    return;
  }
  for (int i = 0; i < type->block; i += 2)
    data[(at + i) / 2] = (uint8_t)((codes[i] + 8) | (codes[i + 1] + 8) << 4);
}

static int keep_codes(const struct matrix *m, llq_weight *out) {
  const struct llqi_gguf_tensor *t = m->tensor;
  const struct llqi_ggml *type = t->type;
  const int64_t n_out = t->n_rows, n_in = t->n_cols;
  uint8_t *data;
  float *scale;
  int8_t codes[LLQI_GGML_BLOCK_MAX];
  LLQ_TRY(allocate(m->model, (size_t)(n_out * n_in) * (size_t)type->bits / 8, 1,
                   &data));
  LLQ_TRY(allocate(m->model, (size_t)(n_out * n_in / type->group),
                   sizeof *scale, &scale));
  for (int64_t o = 0; o < n_out; o++) {
    const uint8_t *block = row_at(m, o);
    for (int64_t i = 0; i < n_in; i += type->block, block += type->n_bytes) {
      type->codes(block, codes, scale + (o * n_in + i) / type->group);
      store_codes(type, codes, o * n_in + i, data);
    }
  }
  out->format = type->bits == 4 ? LLQ_WEIGHT_INT4 : LLQ_WEIGHT_INT8;
  out->dtype = LLQ_F32;
  out->group_size = type->group;
  out->data = data;
  out->scale = scale;
  return LLQ_OK;
}

static int find(const llq_model *model, const char *name, int n_dims,
                int64_t n_rows, int64_t n_cols,
                const struct llqi_gguf_tensor **out) {
  const struct llqi_gguf_tensor *t = llqi_gguf_find(model->gguf, name);
  if (t == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no tensor %s", model->gguf->path,
                     name);
  if (t->n_dims != n_dims || t->n_rows != n_rows || t->n_cols != n_cols)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: %s: shape %lldx%lld of %d dimensions, expected "
                     "%lldx%lld",
                     model->gguf->path, name, (long long)t->n_rows,
                     (long long)t->n_cols, t->n_dims, (long long)n_rows,
                     (long long)n_cols);
  *out = t;
  return LLQ_OK;
}

static int load_matrix(llq_model *model, const char *name, int64_t n_out,
                       int64_t n_in, int64_t head_size, int with_codes,
                       llq_weight *out) {
  struct matrix m = {model, NULL, head_size};
  LLQ_TRY(find(model, name, 2, n_out, n_in, &m.tensor));
  *out = (llq_weight){.struct_size = sizeof *out,
                      .format = LLQ_WEIGHT_DENSE,
                      .n_out = n_out,
                      .n_in = n_in,
                      .group_size = n_in};
  if (m.tensor->type->dtype != 0)
    return copy_plain(&m, out);
  return with_codes && m.tensor->type->codes != NULL ? keep_codes(&m, out)
                                                     : make_values(&m, out);
}

static struct llqi_tensor tensor_of(const llq_model *model, const char *name,
                                    const llq_weight *w, int n_dims) {
  struct llqi_tensor tensor = {.name = name,
                               .where = model->gguf->path,
                               .dtype = w->dtype,
                               .n_dims = n_dims,
                               .data = w->data};
  tensor.shape[0] = n_dims == 2 ? w->n_out : w->n_in;
  tensor.shape[1] = n_dims == 2 ? w->n_in : 0;
  tensor.n_bytes = (size_t)(w->n_out * w->n_in) * llqi_dtype_size(w->dtype);
  return tensor;
}

static int load_norm(llq_model *model, const char *name,
                     struct llqi_tensor *out) {
  const struct llqi_gguf_tensor *t;
  LLQ_TRY(find(model, name, 1, 1, model->config.hidden_size, &t));
  if (t->type->dtype == 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED, "%s: %s: a norm of type %s",
                     model->gguf->path, name, t->type->name);
  const llq_weight w = {
      .dtype = t->type->dtype, .n_out = 1, .n_in = t->n_cols, .data = t->data};
  *out = tensor_of(model, t->name, &w, 1);
  return LLQ_OK;
}

static int load_layer(llq_model *model, int64_t number) {
  static const char *const names[LLQI_N_LINEARS] = {
      "attn_q",   "attn_k", "attn_v",  "attn_output",
      "ffn_gate", "ffn_up", "ffn_down"};
  struct llqi_layer *layer = &model->layers[number];
  char name[80];
  for (int k = 0; k < LLQI_N_LINEARS; k++) {
    int64_t n_out, n_in;
    const int is_turned = k == LLQI_Q || k == LLQI_K;
    llqi_linear_shape(&model->config, k, &n_out, &n_in);
    snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)number,
             names[k]);
    LLQ_TRY(load_matrix(model, name, n_out, n_in,
                        is_turned ? model->config.head_size : 0, 1,
                        &layer->linears[k]));
  }
  snprintf(name, sizeof name, "blk.%lld.attn_norm.weight", (long long)number);
  LLQ_TRY(load_norm(model, name, &layer->input_norm));
  snprintf(name, sizeof name, "blk.%lld.ffn_norm.weight", (long long)number);
  return load_norm(model, name, &layer->post_attention_norm);
}

static int load_ends(llq_model *model) {
  const struct llqi_config *c = &model->config;
  llq_weight embedding;
  LLQ_TRY(load_matrix(model, "token_embd.weight", c->n_vocab, c->hidden_size, 0,
                      0, &embedding));
  model->embedding = tensor_of(model, "token_embd.weight", &embedding, 2);
  model->config.dtype = embedding.dtype;
  model->output = embedding;
  if (!c->tied)
    LLQ_TRY(load_matrix(model, "output.weight", c->n_vocab, c->hidden_size, 0,
                        0, &model->output));
  return load_norm(model, "output_norm.weight", &model->final_norm);
}

int llqi_model_open_gguf(llq_model *model, const char *path) {
  model->gguf = llqi_calloc(1, sizeof *model->gguf);
  if (model->gguf == NULL)
    return LLQ_ERROR_MEMORY;
  LLQ_TRY(llqi_gguf_open(model->gguf, path));
  LLQ_TRY(llqi_gguf_config(model->gguf, &model->config));
  LLQ_TRY(load_ends(model));
  model->layers =
      llqi_calloc((size_t)model->config.n_layers, sizeof *model->layers);
  if (model->layers == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t i = 0; i < model->config.n_layers; i++)
    LLQ_TRY(load_layer(model, i));
  return LLQ_OK;
}

const struct llqi_gguf *llqi_model_gguf(const llq_model *model) {
  while (model != NULL && model->gguf == NULL)
    model = model->base;
  return model != NULL ? model->gguf : NULL;
}
