/* SPDX-License-Identifier: Apache-2.0 */
#include "model/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

#define NIBBLES 8 /* a word */
#define BYTES 4   /* a word */

static int64_t n_words(int64_t n, int64_t a_word) {
  return (n + a_word - 1) / a_word;
}

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

static struct llqi_part part_of(const llq_weight *weight, int dtype,
                                int64_t rows, int64_t cols, const void *data,
                                enum llqi_part_source source) {
  struct llqi_part part = {.source = source, .weight = weight};
  part.tensor.dtype = dtype;
  part.tensor.n_dims = cols > 0 ? 2 : 1;
  part.tensor.shape[0] = rows;
  part.tensor.shape[1] = cols;
  part.tensor.data = data;
  part.tensor.n_bytes =
      (size_t)rows * (size_t)(cols > 0 ? cols : 1) * llqi_dtype_size(dtype);
  return part;
}

static int add_data(struct llqi_parts *parts, const char *module,
                    const char *suffix, int dtype, int64_t rows, int64_t cols,
                    const void *data) {
  const struct llqi_part part =
      part_of(NULL, dtype, rows, cols, data, LLQI_PART_DATA);
  return add(parts, module, suffix, &part);
}

static int add_tensor(struct llqi_parts *parts, const char *module,
                      const struct llqi_tensor *tensor) {
  return add_data(parts, module, "weight", tensor->dtype, tensor->shape[0],
                  tensor->n_dims == 2 ? tensor->shape[1] : 0, tensor->data);
}

/* weight_packed and weight_shape, for 4 bits and for 8. */
static int add_packed(struct llqi_parts *parts, const char *module,
                      const llq_weight *w) {
  const struct llqi_part shape =
      part_of(w, LLQ_I64, 2, 0, NULL, LLQI_PART_SHAPE);
  const struct llqi_part bytes =
      part_of(w, LLQ_I32, w->n_out, n_words(w->n_in, BYTES), NULL,
              LLQI_PART_PACKED_BYTES);
  const struct llqi_part nibbles =
      part_of(w, LLQ_I32, w->n_out, w->n_in / NIBBLES, w->data, LLQI_PART_DATA);
  LLQ_TRY(add(parts, module, "weight_packed",
              w->format == LLQ_WEIGHT_INT4 ? &nibbles : &bytes));
  return add(parts, module, "weight_shape", &shape);
}

static int add_weight(struct llqi_parts *parts, const char *module,
                      const llq_weight *w) {
  const int64_t n_groups = llqi_weight_n_groups(w);
  if (w->format == LLQ_WEIGHT_DENSE)
    return add_data(parts, module, "weight", w->dtype, w->n_out, w->n_in,
                    w->data);
  if (w->activation == LLQ_ACTIVATION_NONE)
    LLQ_TRY(add_packed(parts, module, w));
  else
    LLQ_TRY(add_data(parts, module, "weight",
                     w->format == LLQ_WEIGHT_FP8 ? LLQ_F8_E4M3 : LLQ_I8,
                     w->n_out, w->n_in, w->data));
  LLQ_TRY(add_data(parts, module, "weight_scale", w->dtype, w->n_out, n_groups,
                   w->scale));
  if (w->zero != NULL) {
    const struct llqi_part zeros =
        part_of(w, LLQ_I32, n_words(w->n_out, NIBBLES), n_groups, NULL,
                LLQI_PART_PACKED_ZEROS);
    LLQ_TRY(add(parts, module, "weight_zero_point", &zeros));
  }
  if (w->group_index != NULL)
    LLQ_TRY(add_data(parts, module, "weight_g_idx", LLQ_I32, w->n_in, 0,
                     w->group_index));
  return LLQ_OK;
}

static int add_layer(struct llqi_parts *parts, const struct llqi_layer *layer,
                     int64_t number) {
  char module[96];
  for (int k = 0; k < LLQI_N_LINEARS; k++) {
    snprintf(module, sizeof module, "model.layers.%lld.%s", (long long)number,
             llqi_linear_names[k]);
    LLQ_TRY(add_weight(parts, module, &layer->linears[k]));
  }
  snprintf(module, sizeof module, "model.layers.%lld.input_layernorm",
           (long long)number);
  LLQ_TRY(add_tensor(parts, module, &layer->input_norm));
  snprintf(module, sizeof module, "model.layers.%lld.post_attention_layernorm",
           (long long)number);
  return add_tensor(parts, module, &layer->post_attention_norm);
}

int llqi_parts_list(const llq_model *model, struct llqi_parts *out) {
  *out = (struct llqi_parts){0};
  int status = add_tensor(out, "model.embed_tokens", &model->embedding);
  for (int64_t i = 0; i < model->config.n_layers && status >= 0; i++)
    status = add_layer(out, &model->layers[i], i);
  if (status >= 0)
    status = add_tensor(out, "model.norm", &model->final_norm);
  if (status >= 0 && !model->config.tied)
    status = add_weight(out, "lm_head", &model->output);
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

static void pack_bytes_row(const llq_weight *w, int64_t out, void *row) {
  const uint8_t *codes = (const uint8_t *)w->data + out * w->n_in;
  uint8_t *bytes = row;
  for (int64_t i = 0; i < w->n_in; i++)
    bytes[i] = codes[i] ^ 0x80;
}

static void pack_zeros_row(const llq_weight *w, int64_t word, void *row) {
  const int64_t n_groups = llqi_weight_n_groups(w);
  uint32_t *words = row;
  for (int64_t g = 0; g < n_groups; g++) {
    words[g] = 0;
    for (int i = 0; i < NIBBLES && word * NIBBLES + i < w->n_out; i++)
      words[g] |= (uint32_t)(w->zero[(word * NIBBLES + i) * n_groups + g] + 8)
                  << 4 * i;
  }
}

/* Packs and writes row after row of the stored shape. */
static int write_rows(const struct llqi_part *part, struct llqi_writer *writer,
                      void (*pack)(const llq_weight *, int64_t, void *)) {
  const size_t row_bytes = (size_t)part->tensor.shape[1] * sizeof(uint32_t);
  void *row = llqi_calloc(row_bytes, 1);
  int status = row != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (int64_t i = 0; i < part->tensor.shape[0] && status >= 0; i++) {
    pack(part->weight, i, row);
    status = llqi_writer_write(writer, row, row_bytes);
  }
  llqi_free(row);
  return status;
}

int llqi_part_write(const struct llqi_part *part, struct llqi_writer *writer) {
  const llq_weight *w = part->weight;
  switch (part->source) {
  case LLQI_PART_PACKED_BYTES:
    return write_rows(part, writer, pack_bytes_row);
  case LLQI_PART_PACKED_ZEROS:
    return write_rows(part, writer, pack_zeros_row);
  case LLQI_PART_SHAPE:
    return llqi_writer_write(writer, (int64_t[]){w->n_out, w->n_in},
                             part->tensor.n_bytes);
  default:
    return llqi_writer_write(writer, part->tensor.data, part->tensor.n_bytes);
  }
}
