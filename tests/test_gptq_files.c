/* SPDX-License-Identifier: Apache-2.0 */
/* GPTQ's and AWQ's files as they are found: labels that are wrong, zero points
   of 8 bits, configs and tensors that are refused. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "quantized.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

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
  quantized_set_all(model, &quantized_stored[_i].kind);
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
  quantized_set_all(
      model, &quantized_stored[1].kind); /* with the least zero point: v2 */
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

#define UP "model.layers.1.mlp.up_proj"

START_TEST(eight_bits_with_zero_points_become_values) {
  const char *directory = test_empty_directory("eight");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &quantized_stored[5].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  /* Of outputs 0 to 3 in group 0: 1, 2, 3 and 256, less 1. */
  quantized_patch(test_path("eight/model.safetensors"), UP ".qzeros",
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
  const struct stored *kind = &quantized_stored[spoilt[_i].of];
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
  quantized_set_all(model, &quantized_stored[3].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  llq_model_close(model);
  static const int32_t wrong[] = {2, -2, INT32_MAX};
  for (int i = 0; i < 3; i++) {
    quantized_patch(test_path("index/model.safetensors"), UP ".g_idx",
                    &wrong[i], 4);
    ck_assert_llq_fails(llq_model_open(&model, directory, NULL),
                        LLQ_ERROR_FORMAT, UP ".g_idx: group");
  }
}
END_TEST

START_TEST(biases_of_zero_are_none) {
  const char *directory = test_empty_directory("bias");
  const char *path = test_path("bias/model.safetensors");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &quantized_stored[0].kind);
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
  quantized_patch(path, UP ".bias", zeros, sizeof zeros);
  ck_assert_llq_ok(llq_model_open(&model, directory, NULL));
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("gptq_files");
  TCase *tests = tcase_create("gptq_files");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, symmetric_zero_points_need_no_label, 2, 3);
  tcase_add_loop_test(tests, symmetric_zero_points_need_no_label, 5, 7);
  tcase_add_test(tests, asymmetric_zero_points_follow_their_label);
  tcase_add_test(tests, eight_bits_with_zero_points_become_values);
  tcase_add_loop_test(tests, a_hostile_config_is_refused_with_its_reason, 0,
                      sizeof spoilt / sizeof *spoilt);
  tcase_add_test(tests, group_indices_are_checked);
  tcase_add_test(tests, biases_of_zero_are_none);
  suite_add_tcase(suite, tests);
  return suite;
}
