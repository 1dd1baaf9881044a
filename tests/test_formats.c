/* SPDX-License-Identifier: Apache-2.0 */
/* GPTQ's and AWQ's checkpoints: words written out by hand, models saved and
   read again, what is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "checkpoint/safetensors.h"
#include "model/layout.h"
#include "quantized.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/transposed.h"
#include "tensor/weight.h"

/* An int4 weight whose row o has the codes (o + i) % 16 - 8. */
static llq_weight counting(uint32_t *words, int64_t n_out, int64_t n_in) {
  for (int64_t o = 0; o < n_out; o++)
    for (int64_t w = 0; w < n_in / 8; w++) {
      words[o * n_in / 8 + w] = 0;
      for (int i = 0; i < 8; i++)
        words[o * n_in / 8 + w] |= (uint32_t)((o + w * 8 + i) % 16) << 4 * i;
    }
  return (llq_weight){.struct_size = sizeof(llq_weight),
                      .format = LLQ_WEIGHT_INT4,
                      .dtype = LLQ_BF16,
                      .n_out = n_out,
                      .n_in = n_in,
                      .group_size = n_in,
                      .data = words};
}

START_TEST(gptq_words_are_those_of_its_definition) {
  uint32_t words[8 * 2], packed[2 * 8], back[8 * 2];
  llq_weight w = counting(words, 8, 16);
  llqi_gptq_pack(&w, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x76543210); /* inputs 0 to 7 of output 0 */
  ck_assert_uint_eq(packed[1], 0x87654321); /* and of output 1 */
  ck_assert_uint_eq(packed[7], 0xedcba987);
  ck_assert_uint_eq(packed[8], 0xfedcba98); /* inputs 8 to 15 of output 0 */
  ck_assert_uint_eq(packed[15], 0x6543210f);
  llqi_gptq_unpack(4, 8, 16, packed, back);
  ck_assert_mem_eq(back, words, sizeof words);
  llqi_gptq_pack(&w, 1, 1, packed);
  ck_assert_uint_eq(packed[0], 0xfedcba98);
}
END_TEST

START_TEST(gptq_bytes_are_those_of_its_definition) {
  static const int8_t codes[2][8] = {{-128, -1, 0, 127, 1, 2, 3, 4},
                                     {5, 6, 7, 8, -5, -6, -7, -8}};
  int8_t back[2][8];
  uint32_t packed[4];
  const llq_weight w = {.format = LLQ_WEIGHT_INT8,
                        .n_out = 2,
                        .n_in = 8,
                        .group_size = 8,
                        .data = codes};
  llqi_gptq_pack(&w, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0xff807f00);
  ck_assert_uint_eq(packed[1], 0x88878685);
  ck_assert_uint_eq(packed[2], 0x84838281);
  ck_assert_uint_eq(packed[3], 0x78797a7b);
  llqi_gptq_unpack(8, 2, 8, packed, back);
  ck_assert_mem_eq(back, codes, sizeof codes);
}
END_TEST

START_TEST(awq_words_are_those_of_its_definition) {
  uint32_t words[8 * 2], packed[16], back[8 * 2];
  llq_weight w = counting(words, 8, 16);
  llqi_awq_pack(&w, 0, 16, packed);
  ck_assert_uint_eq(packed[0], 0x75316420); /* outputs 0 to 7 of input 0 */
  ck_assert_uint_eq(packed[1], 0x86427531); /* and of input 1 */
  ck_assert_uint_eq(packed[8], 0xfdb9eca8);
  llqi_awq_unpack(8, 16, packed, back);
  ck_assert_mem_eq(back, words, sizeof words);
  llqi_awq_pack(&w, 8, 8, packed);
  ck_assert_uint_eq(packed[0], 0xfdb9eca8);
}
END_TEST

START_TEST(zero_points_are_those_of_their_definitions) {
  uint32_t words[8 * 2], packed[2];
  static const int8_t zeros[16] = {-8, 7, -7, 7, -6, 7, -5, 7,
                                   -4, 7, -3, 7, -2, 7, -1, 7};
  uint8_t back[16];
  llq_weight w = counting(words, 8, 16);
  w.group_size = 8;
  llqi_zeros_pack(&w, llqi_gptq_order, 1, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x77777777);
  ck_assert_uint_eq(packed[1], 0x77777777);
  llqi_zeros_pack(&w, llqi_gptq_order, 0, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x88888888);
  w.zero = zeros;
  llqi_zeros_pack(&w, llqi_gptq_order, 0, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x76543210);
  ck_assert_uint_eq(packed[1], 0xffffffff);
  llqi_zeros_pack(&w, llqi_gptq_order, 1, 1, 1, packed);
  ck_assert_uint_eq(packed[0], 0xeeeeeeee);
  llqi_zeros_pack(&w, llqi_awq_order, 0, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x75316420);
  llqi_zeros_unpack(4, llqi_awq_order, 8, 2, packed, back);
  for (int i = 0; i < 16; i++)
    ck_assert_int_eq(back[i], zeros[i] + 8);
  w.zero = NULL;
  w.format = LLQ_WEIGHT_INT8;
  llqi_zeros_pack(&w, llqi_gptq_order, 1, 0, 1, packed);
  ck_assert_uint_eq(packed[0], 0x7f7f7f7f);
}
END_TEST

static const struct stored {
  const char *format;
  struct kind kind;
} stored[] = {
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

/* Codes, zero points and groups are the same bits; scales the same numbers. */
static void expect_same(const llq_weight *a, const llq_weight *b) {
  const int64_t n_groups = llqi_weight_n_groups(a);
  const size_t n = (size_t)(a->n_out * n_groups);
  ck_assert_int_eq(a->format, b->format);
  ck_assert_int_eq(a->group_size, b->group_size);
  ck_assert_mem_eq(a->data, b->data, llqi_weight_data_bytes(a));
  ck_assert_int_eq(a->zero == NULL, b->zero == NULL);
  if (a->zero != NULL)
    ck_assert_mem_eq(a->zero, b->zero, n);
  ck_assert_int_eq(a->group_index == NULL, b->group_index == NULL);
  if (a->group_index != NULL)
    ck_assert_mem_eq(a->group_index, b->group_index, (size_t)a->n_in * 4);
  for (size_t i = 0; a->scale != NULL && i < n; i++)
    ck_assert_float_eq(llqi_load_f32(a->dtype, a->scale, i),
                       llqi_load_f32(b->dtype, b->scale, i));
}

static void expect_same_models(const llq_model *a, const llq_model *b) {
  for (int layer = 0; layer < 2; layer++)
    for (int k = 0; k < LLQI_N_LINEARS; k++)
      expect_same(&a->layers[layer].linears[k], &b->layers[layer].linears[k]);
}

START_TEST(a_model_comes_back) {
  const char *directory = test_empty_directory("stored");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &stored[_i].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, stored[_i].format));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  expect_same_models(model, again);
  if (strcmp(stored[_i].format, "gptq") == 0)
    quantized_compare(model, again);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(exceptions_are_kept_by_gptq_and_some_by_awq) {
  const char *directory = test_empty_directory("exceptions");
  llq_model *model = quantized_base(96), *again;
  for (int k = 0; k < LLQI_DOWN; k++)
    quantized_set(model, 0, k, &stored[0].kind);
  quantized_set(model, 1, LLQI_Q, &stored[6].kind);
  quantized_set(model, 1, LLQI_UP, &stored[2].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  quantized_compare(model, again);
  llq_model_close(again);
  const llq_weight dense = model->layers[1].linears[LLQI_K];
  model->layers[1].linears[LLQI_Q] = model->layers[1].linears[LLQI_O];
  model->layers[1].linears[LLQI_UP] = model->layers[1].linears[LLQI_GATE];
  directory = test_empty_directory("exceptions");
  ck_assert_llq_ok(llq_model_save(model, directory, "awq"));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  expect_same_models(model, again);
  ck_assert_mem_eq(again->layers[1].linears[LLQI_K].data, dense.data,
                   llqi_weight_data_bytes(&dense));
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

/* Sets a member of a saved model's quantization_config, given as JSON. */
static void spoil(const char *name, const char *key, const char *value) {
  char path[600];
  json_t *config;
  snprintf(path, sizeof path, "%s/%s/config.json", test_directory(), name);
  ck_assert_llq_ok(llqi_json_read(path, &config));
  json_t *object = json_object_get(config, "quantization_config");
  json_t *json = json_loads(value, JSON_DECODE_ANY, NULL);
  ck_assert_int_eq(json_object_set_new(object, key, json), 0);
  ck_assert_llq_ok(llqi_json_write(path, config));
  json_decref(config);
}

static char last_line[300];

static void keep_line(void *user, int level, const char *line) {
  (void)user, (void)level;
  snprintf(last_line, sizeof last_line, "%s", line);
}

START_TEST(symmetric_zero_points_need_no_label) {
  const char *directory = test_empty_directory("label");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &stored[_i].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  spoil("label", "checkpoint_format", "\"gptq_v2\"");
  llq_log_set(keep_line, NULL, LLQ_LOG_WARNING);
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  llq_log_set(NULL, NULL, 0);
  ck_assert_ptr_nonnull(strstr(last_line, "labelled as version 2"));
  quantized_compare(model, again);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(asymmetric_zero_points_follow_their_label) {
  const char *directory = test_empty_directory("follow");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &stored[1].kind); /* with the least zero point: v2 */
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  spoil("follow", "checkpoint_format", "\"gptq\"");
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  const llq_weight *a = &model->layers[1].linears[LLQI_V];
  const llq_weight *b = &again->layers[1].linears[LLQI_V];
  for (int64_t i = 0; i < a->n_out * 2; i++) /* 15 + 1 wraps around */
    ck_assert_int_eq(b->zero[i], a->zero[i] == 7 ? -8 : a->zero[i] + 1);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

/* The bytes of a tensor in a saved model. */
static long find_tensor(const char *path, const char *tensor) {
  struct llqi_safetensors file;
  ck_assert_llq_ok(llqi_safetensors_open(&file, path));
  long at = -1;
  for (size_t i = 0; i < file.n_tensors; i++)
    if (strcmp(file.tensors[i].name, tensor) == 0)
      at = (const char *)file.tensors[i].data - (const char *)file.mapping.data;
  llqi_safetensors_close(&file);
  ck_assert_int_ge(at, 0);
  return at;
}

static void patch(const char *path, const char *tensor, const void *bytes,
                  size_t n) {
  FILE *stream = fopen(path, "r+b");
  fseek(stream, find_tensor(path, tensor), SEEK_SET);
  ck_assert_uint_eq(fwrite(bytes, 1, n, stream), n);
  fclose(stream);
}

#define UP "model.layers.1.mlp.up_proj"

START_TEST(eight_bits_with_zero_points_become_values) {
  const char *directory = test_empty_directory("eight");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &stored[5].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  /* Of outputs 0 to 3 in group 0: 1, 2, 3 and 256, less 1. */
  patch(test_path("eight/model.safetensors"), UP ".qzeros",
        (uint32_t[]){0xff020100}, 4);
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  const llq_weight *codes = &model->layers[1].linears[LLQI_UP];
  const llq_weight *values = &again->layers[1].linears[LLQI_UP];
  ck_assert_int_eq(values->format, LLQ_WEIGHT_DENSE);
  static const int zeros[] = {1, 2, 3, 0, 128};
  for (int64_t o = 0; o < 5; o++)
    for (int64_t i = 0; i < 64; i++) {
      const int q = ((const int8_t *)codes->data)[o * 64 + i] + 128;
      const int zero = i < 32 ? zeros[o] : 128;
      float wanted =
          (float)(q - zero) *
          llqi_load_f32(LLQ_BF16, codes->scale, (size_t)(o * 2 + i / 32));
      llqi_round_f32(LLQ_BF16, &wanted, 1);
      ck_assert_float_eq(
          llqi_load_f32(LLQ_BF16, values->data, (size_t)(o * 64 + i)), wanted);
    }
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

static const struct {
  int of; /* what is saved, of `stored` */
  const char *key, *value, *message;
  int code;
} spoilt[] = {
    {0, "bits", "null", "no \"bits\"", LLQ_ERROR_FORMAT},
    {0, "bits", "3", "3 bits are not supported, only 4 and 8",
     LLQ_ERROR_UNSUPPORTED},
    {0, "bits", "8", "q_proj.qweight: shape 8x64", LLQ_ERROR_FORMAT},
    {0, "bits", "99999999999", "\"bits\" is", LLQ_ERROR_FORMAT},
    {0, "bits", "\"4\"", "\"bits\" is not an integer", LLQ_ERROR_FORMAT},
    {0, "group_size", "0", "\"group_size\" is 0", LLQ_ERROR_FORMAT},
    {0, "group_size", "-2", "\"group_size\" is -2", LLQ_ERROR_FORMAT},
    {0, "group_size", "48", "groups of 48 do not divide",
     LLQ_ERROR_UNSUPPORTED},
    {0, "group_size", "64", "q_proj.scales: shape 2x64", LLQ_ERROR_FORMAT},
    {0, "checkpoint_format", "\"marlin\"", "checkpoint_format \"marlin\"",
     LLQ_ERROR_UNSUPPORTED},
    {0, "is_marlin_format", "true", "checkpoint_format \"marlin\"",
     LLQ_ERROR_UNSUPPORTED},
    {0, "pack_dtype", "\"int64\"", "pack_dtype \"int64\"",
     LLQ_ERROR_UNSUPPORTED},
    {0, "dynamic", "[]", "\"dynamic\" is no object", LLQ_ERROR_FORMAT},
    {0, "dynamic", "{\"+:(\":{}}", "\"(\" is no regular expression",
     LLQ_ERROR_FORMAT},
    {0, "dynamic", "{\"model\":7}", "not an object", LLQ_ERROR_FORMAT},
    {0, "dynamic", "{\".*up_proj\":{\"bits\":8}}",
     "up_proj.qweight: shape 8x96", LLQ_ERROR_FORMAT},
    {0, "dynamic", "{\"-:.*up_proj\":{}}", "no tensor model.layers.0.mlp.up",
     LLQ_ERROR_FORMAT},
    {7, "bits", "8", "AWQ of 8 bits", LLQ_ERROR_UNSUPPORTED},
    {7, "version", "\"gemv\"", "version \"gemv\"", LLQ_ERROR_UNSUPPORTED},
    {7, "backend", "\"llm-awq\"", "backend \"llm-awq\"", LLQ_ERROR_UNSUPPORTED},
    {7, "group_size", "16", "q_proj.scales: shape 2x64", LLQ_ERROR_FORMAT},
};

START_TEST(a_hostile_config_is_refused_with_its_reason) {
  const char *directory = test_empty_directory("spoilt");
  const struct stored *kind = &stored[spoilt[_i].of];
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &kind->kind);
  ck_assert_llq_ok(llq_model_save(model, directory, kind->format));
  llq_model_close(model);
  spoil("spoilt", spoilt[_i].key, spoilt[_i].value);
  ck_assert_llq_fails(llq_model_open(&model, directory, NULL), spoilt[_i].code,
                      spoilt[_i].message);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "spoilt"));
}
END_TEST

START_TEST(group_indices_are_checked) {
  const char *directory = test_empty_directory("index");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &stored[3].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  llq_model_close(model);
  static const int32_t wrong[] = {2, -2, INT32_MAX};
  for (int i = 0; i < 3; i++) {
    patch(test_path("index/model.safetensors"), UP ".g_idx", &wrong[i], 4);
    ck_assert_llq_fails(llq_model_open(&model, directory, NULL),
                        LLQ_ERROR_FORMAT, UP ".g_idx: group");
  }
}
END_TEST

START_TEST(biases_of_zero_are_none) {
  const char *directory = test_empty_directory("bias");
  const char *path = test_path("bias/model.safetensors");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &stored[0].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  llq_model_close(model);
  char *bytes, *name;
  size_t n;
  ck_assert_llq_ok(llqi_file_read(path, 1 << 22, &bytes, &n));
  /* Names of the same length: a tensor becomes a bias. */
  name = strstr(bytes + 8, UP ".g_idx\""); /* behind the header's length */
  ck_assert_ptr_nonnull(name);
  memcpy(name, UP ".bias\" ", strlen(UP ".bias\" "));
  ck_assert_llq_ok(llqi_file_write(path, bytes, n));
  llqi_free(bytes);
  ck_assert_llq_fails(llq_model_open(&model, directory, NULL),
                      LLQ_ERROR_UNSUPPORTED, UP ".bias: biases");
  static const char zeros[64 * 4];
  patch(path, UP ".bias", zeros, sizeof zeros);
  ck_assert_llq_ok(llq_model_open(&model, directory, NULL));
  llq_model_close(model);
}
END_TEST

static const struct {
  struct kind kind;
  const char *format, *loss;
} losses[] = {
    {{"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0, 0},
     "awq",
     "its 8-bit codes"},
    {{"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 1},
     "awq",
     "its order of groups"},
    {{"", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, 0, 0, 0},
     "gptq",
     "its 8-bit float codes"},
    {{"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0, 0},
     "gptq",
     "the quantization of its inputs"},
    {{"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0, 0},
     "safetensors",
     "the quantization of its inputs"},
};

/* What values a linear's codes mean. */
static void expect_values(const llq_weight *a, const llq_weight *b) {
  float x[128], y[128];
  for (int64_t o = 0; o < a->n_out; o++) {
    llqi_weight_row(a, o, x);
    llqi_weight_row(b, o, y);
    ck_assert_mem_eq(x, y, (size_t)a->n_in * sizeof *x);
  }
}

START_TEST(what_would_be_lost_is_refused_unless_told) {
  const char *directory = test_empty_directory("lossy");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &losses[_i].kind);
  ck_assert_llq_fails(llq_model_save(model, directory, losses[_i].format),
                      LLQ_ERROR_UNSUPPORTED, losses[_i].loss);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "layers.0.self_attn.q_"));
  ck_assert(!llqi_file_exists(test_path("lossy/config.json")));
  llq_save_options options = LLQ_SAVE_OPTIONS_INIT;
  options.format = losses[_i].format;
  options.lossy = 1;
  ck_assert_llq_ok(llq_model_save_as(model, directory, &options));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  for (int k = 0; k < LLQI_N_LINEARS; k++)
    expect_values(&model->layers[1].linears[k], &again->layers[1].linears[k]);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(scales_beyond_f16_are_a_loss_to_awq) {
  const char *directory = test_empty_directory("scales");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &stored[7].kind);
  llq_weight *w = &model->layers[1].linears[LLQI_O];
  ((uint16_t *)w->scale)[5] = llqi_f32_to_bf16(0x1.02p-20f);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  ck_assert_llq_fails(
      llq_model_save(model, test_empty_directory("scales"), "awq"),
      LLQ_ERROR_UNSUPPORTED,
      "model.layers.1.self_attn.o_proj: would lose bits of its scales");
  llq_model_close(model);
}
END_TEST

START_TEST(memory_may_run_out_anywhere) {
  llq_model *model = quantized_base(96);
  const struct stored *kind = &stored[_i == 0 ? 4 : 8];
  quantized_set_all(model, &kind->kind);
  const char *directory = test_empty_directory("memory");
  int status = LLQ_ERROR_MEMORY;
  for (long n = 1; status != LLQ_OK; n++) {
    llqi_alloc_fail_at(n, 0);
    status = llq_model_save(model, directory, kind->format);
    llqi_alloc_fail_at(0, 0);
    ck_assert(status == LLQ_OK || status == LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 10000);
  }
  llq_model_close(model);
  status = LLQ_ERROR_MEMORY;
  for (long n = 1; status != LLQ_OK; n++) {
    llqi_alloc_fail_at(n, 0);
    status = llq_model_open(&model, directory, NULL);
    llqi_alloc_fail_at(0, 0);
    ck_assert(status == LLQ_OK || status == LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 10000);
  }
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("formats");
  TCase *tests = tcase_create("formats");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, gptq_words_are_those_of_its_definition);
  tcase_add_test(tests, gptq_bytes_are_those_of_its_definition);
  tcase_add_test(tests, awq_words_are_those_of_its_definition);
  tcase_add_test(tests, zero_points_are_those_of_their_definitions);
  tcase_add_loop_test(tests, a_model_comes_back, 0,
                      sizeof stored / sizeof *stored);
  tcase_add_test(tests, exceptions_are_kept_by_gptq_and_some_by_awq);
  tcase_add_loop_test(tests, symmetric_zero_points_need_no_label, 2, 3);
  tcase_add_loop_test(tests, symmetric_zero_points_need_no_label, 5, 7);
  tcase_add_test(tests, asymmetric_zero_points_follow_their_label);
  tcase_add_test(tests, eight_bits_with_zero_points_become_values);
  tcase_add_loop_test(tests, a_hostile_config_is_refused_with_its_reason, 0,
                      sizeof spoilt / sizeof *spoilt);
  tcase_add_test(tests, group_indices_are_checked);
  tcase_add_test(tests, biases_of_zero_are_none);
  tcase_add_loop_test(tests, what_would_be_lost_is_refused_unless_told, 0,
                      sizeof losses / sizeof *losses);
  tcase_add_test(tests, scales_beyond_f16_are_a_loss_to_awq);
  tcase_add_loop_test(tests, memory_may_run_out_anywhere, 0, 2);
  suite_add_tcase(suite, tests);
  return suite;
}
