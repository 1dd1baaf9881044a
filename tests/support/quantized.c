/* SPDX-License-Identifier: Apache-2.0 */
#include "quantized.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "checkpoint/safetensors.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"
#include "tiny.h"

const struct kind quantized_kinds[N_QUANTIZED_KINDS] = {
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 0},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 1, 0},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 0, 0},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 1, 0},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 1},
    {"w8a16-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0, 0},
    {"w8a16-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 32, 0, 0},
    {"w8a8-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0, 0},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, 0, 0, 0},
};

const struct stored quantized_stored[N_QUANTIZED_STORED] = {
    {"gptq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 0}},
    {"gptq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 1, 0}},
    {"gptq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 0, 0}},
    {"gptq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 1}},
    {"gptq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 1, 1}},
    {"gptq", {"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 32, 0, 0}},
    {"gptq", {"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0, 0}},
    {"awq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 0}},
    {"awq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 1, 0}},
    {"awq", {"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 1, 0}},
};

llq_model *quantized_base(int64_t intermediate_size) {
  char source[600];
  const char *path = test_path("base.json");
  json_t *config = tiny_config();
  json_object_set_new(config, "intermediate_size",
                      json_integer(intermediate_size));
  ck_assert_int_eq(json_dump_file(config, path, 0), 0);
  json_decref(config);
  snprintf(source, sizeof source, "random:%s", path);
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  return model;
}

static void *block(llq_model *model, size_t n) {
  void *memory = llqi_alloc_aligned(n, 1);
  ck_assert_ptr_nonnull(memory);
  ck_assert_llq_ok(llqi_model_own(model, memory));
  return memory;
}

/* Bytes without a pattern; as E4M3 none is NaN. */
static void *codes(llq_model *model, size_t n, uint32_t seed) {
  uint8_t *bytes = block(model, n);
  for (size_t i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    bytes[i] = (uint8_t)(seed >> 24);
    if ((bytes[i] & 0x7f) == 0x7f)
      bytes[i] = 0x80;
  }
  return bytes;
}

static void *scales(llq_model *model, size_t n) {
  uint16_t *scale = block(model, n * 2);
  for (size_t i = 0; i < n; i++)
    scale[i] = llqi_f32_to_bf16(0.001f * (float)(1 + i % 13));
  return scale;
}

static void set(llq_model *model, llq_weight *w, uint32_t seed,
                const struct kind *kind) {
  w->format = kind->format;
  w->activation = kind->activation;
  w->group_size = kind->group_size > 0 ? kind->group_size : w->n_in;
  w->data = codes(model, llqi_weight_data_bytes(w), seed);
  const int64_t n_groups = llqi_weight_n_groups(w);
  const size_t n = (size_t)(w->n_out * n_groups);
  w->scale = scales(model, n);
  if (kind->has_zeros) {
    int8_t *zero = block(model, n);
    for (size_t i = 0; i < n; i++)
      zero[i] = (int8_t)(i * 7 % 16) - 8;
    w->zero = zero;
  }
  if (kind->has_group_index) {
    int32_t *index = block(model, (size_t)w->n_in * 4);
    for (int64_t i = 0; i < w->n_in; i++)
      index[i] = (int32_t)(i % n_groups);
    w->group_index = index;
  }
}

void quantized_set(llq_model *model, int layer, enum llqi_linear linear,
                   const struct kind *kind) {
  set(model, &model->layers[layer].linears[linear],
      (uint32_t)(layer * 10 + (int)linear), kind);
}

void quantized_set_output(llq_model *model, const struct kind *kind) {
  set(model, &model->output, 9999, kind);
}

void quantized_set_all(llq_model *model, const struct kind *kind) {
  for (int layer = 0; layer < model->config.n_layers; layer++)
    for (int k = 0; k < LLQI_N_LINEARS; k++)
      quantized_set(model, layer, k, kind);
}

llq_model *quantized_reopen(const llq_model *model, const char *format) {
  const char *directory = test_empty_directory("saved");
  llq_model *again;
  ck_assert_llq_ok(llq_model_save(model, directory, format));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  return again;
}

void quantized_patch(const char *path, const char *tensor, const void *bytes,
                     size_t n) {
  struct llqi_safetensors file;
  ck_assert_llq_ok(llqi_safetensors_open(&file, path));
  long at = -1;
  for (size_t i = 0; i < file.n_tensors; i++)
    if (strcmp(file.tensors[i].name, tensor) == 0)
      at = (const char *)file.tensors[i].data - (const char *)file.mapping.data;
  llqi_safetensors_close(&file);
  ck_assert_int_ge(at, 0);
  FILE *stream = fopen(path, "r+b");
  fseek(stream, at, SEEK_SET);
  ck_assert_uint_eq(fwrite(bytes, 1, n, stream), n);
  fclose(stream);
}

static void compare_bytes(const void *a, const void *b, size_t n) {
  ck_assert_int_eq(a == NULL, b == NULL);
  if (a != NULL)
    ck_assert_mem_eq(a, b, n);
}

static void compare_weight(const llq_weight *a, const llq_weight *b) {
  ck_assert_int_eq(a->format, b->format);
  ck_assert_int_eq(a->activation, b->activation);
  ck_assert_int_eq(a->dtype, b->dtype);
  ck_assert_int_eq(a->n_out, b->n_out);
  ck_assert_int_eq(a->n_in, b->n_in);
  ck_assert_int_eq(a->group_size, b->group_size);
  compare_bytes(a->data, b->data, llqi_weight_data_bytes(a));
  compare_bytes(a->scale, b->scale, llqi_weight_scale_bytes(a));
  compare_bytes(a->zero, b->zero, (size_t)(a->n_out * llqi_weight_n_groups(a)));
  compare_bytes(a->group_index, b->group_index, (size_t)a->n_in * 4);
}

static void compare_tensor(const struct llqi_tensor *a,
                           const struct llqi_tensor *b) {
  ck_assert_int_eq(a->dtype, b->dtype);
  ck_assert_uint_eq(a->n_bytes, b->n_bytes);
  ck_assert_mem_eq(a->data, b->data, a->n_bytes);
}

void quantized_compare(const llq_model *a, const llq_model *b) {
  ck_assert_int_eq(a->config.n_layers, b->config.n_layers);
  compare_tensor(&a->embedding, &b->embedding);
  compare_tensor(&a->final_norm, &b->final_norm);
  compare_weight(&a->output, &b->output);
  for (int64_t i = 0; i < a->config.n_layers; i++) {
    const struct llqi_layer *x = &a->layers[i], *y = &b->layers[i];
    for (int k = 0; k < LLQI_N_LINEARS; k++)
      compare_weight(&x->linears[k], &y->linears[k]);
    compare_tensor(&x->input_norm, &y->input_norm);
    compare_tensor(&x->post_attention_norm, &y->post_attention_norm);
  }
}
