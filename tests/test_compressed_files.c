/* SPDX-License-Identifier: Apache-2.0 */
/* Files of compressed-tensors as they are found: targets that overlap, configs
   and tensors that are refused. */
#include <string.h>

#include "base/json.h"
#include "quantized.h"
#include "support.h"

static void set_targets(json_t *groups, const char *group, const char *target) {
  json_object_set_new(json_object_get(groups, group), "targets",
                      json_pack("[s]", target));
}

START_TEST(targets_are_names_then_patterns_then_classes) {
  const char *directory = test_empty_directory("targets");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &quantized_kinds[7]);
  for (int k = 0; k < LLQI_N_LINEARS; k++)
    quantized_set(model, 0, k, &quantized_kinds[0]);
  quantized_set(model, 0, LLQI_K, &quantized_kinds[8]);
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  json_t *config;
  const char *path = test_path("targets/config.json");
  ck_assert_llq_ok(llqi_json_read(path, &config));
  json_t *groups = json_object_get(
      json_object_get(config, "quantization_config"), "config_groups");
  set_targets(groups, "group_0", "re:.*layers[.]0[.](mlp|self_attn)");
  set_targets(groups, "group_1", "model.layers.0.self_attn.k_proj");
  set_targets(groups, "group_2", "Linear");
  ck_assert_llq_ok(llqi_json_write(path, config));
  json_decref(config);
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  quantized_compare(model, again);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

/* A change to a saved model's quantization_config: the member `key` of the
   object that `path` leads to. */
static const struct {
  const char *path[3], *key, *value, *message;
  int code;
} spoilt[] = {
    {{NULL},
     "quant_method",
     "\"hqq\"",
     "quant_method \"hqq\"",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL},
     "quantization_status",
     "\"frozen\"",
     "quantization_status \"frozen\"",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL},
     "transform_config",
     "{\"config_groups\":1}",
     "transform_config",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL},
     "sparsity_config",
     "{\"format\":\"sparse-24-bitmask\"}",
     "sparse-24-bitmask",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL}, "config_groups", "[]", "no \"config_groups\"", LLQ_ERROR_FORMAT},
    {{NULL},
     "format",
     "\"marlin-24\"",
     "self_attn.q_proj.weight", /* the group's own format wins */
     0},
    {{NULL},
     "ignore",
     "[]",
     "no tensor lm_head.weight_scale",
     LLQ_ERROR_FORMAT},
    {{NULL},
     "ignore",
     "[\"lm_head\",\"re:.*down_proj\"]",
     "no tensor model.layers.0.mlp.down_proj.weight",
     LLQ_ERROR_FORMAT},
    {{NULL},
     "ignore",
     "[\"re:(\"]",
     "\"(\" is no regular expression",
     LLQ_ERROR_FORMAT},
    {{NULL},
     "ignore",
     "[\"lm_head\",\"re:(([a-z]|.)+)*[A-Z]\"]",
     "cannot match",
     LLQ_ERROR_FORMAT},
    {{NULL}, "ignore", "[3]", "a target is no string", LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0"},
     "targets",
     "\"Linear\"",
     "group_0: no \"targets\"",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0"},
     "targets",
     "[\"Conv1d\"]",
     "no tensor model.layers.0.self_attn.q_proj.weight",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0"},
     "format",
     "\"nvfp4-pack-quantized\"",
     "format \"nvfp4-pack-quantized\"",
     LLQ_ERROR_UNSUPPORTED},
    {{"config_groups", "group_0"},
     "output_activations",
     "{\"num_bits\":8}",
     "output_activations",
     LLQ_ERROR_UNSUPPORTED},
    {{"config_groups", "group_0"},
     "input_activations",
     "{\"num_bits\":8}",
     "group_0: input_activations: num_bits 8 of type int",
     LLQ_ERROR_UNSUPPORTED},
    {{"config_groups", "group_0"},
     "weights",
     "null",
     "group_0: weights: not a JSON object",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0", "weights"},
     "num_bits",
     "3",
     "group_0: weights: num_bits 3 of type int",
     LLQ_ERROR_UNSUPPORTED},
    {{"config_groups", "group_0", "weights"},
     "num_bits",
     "8",
     "weight_packed: shape 64x8",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0", "weights"},
     "num_bits",
     "99999999999",
     "\"num_bits\" is",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0", "weights"},
     "type",
     "\"float\"",
     "of type float",
     LLQ_ERROR_UNSUPPORTED},
    {{"config_groups", "group_0", "weights"},
     "strategy",
     "\"block\"",
     "strategy \"block\"",
     LLQ_ERROR_UNSUPPORTED},
    {{"config_groups", "group_0", "weights"},
     "strategy",
     "\"channel\"",
     "weight_scale: shape 64x2",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0", "weights"},
     "group_size",
     "0",
     "no \"group_size\"",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0", "weights"},
     "group_size",
     "48",
     "groups of 48 do not divide",
     LLQ_ERROR_UNSUPPORTED},
    {{"config_groups", "group_0", "weights"},
     "symmetric",
     "false",
     "no tensor model.layers.0.self_attn.q_proj.weight_zero_point",
     LLQ_ERROR_FORMAT},
    {{"config_groups", "group_0", "weights"},
     "dynamic",
     "\"local\"",
     "dynamic \"local\"",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL},
     "kv_cache_scheme",
     "7",
     "kv_cache_scheme: not a JSON object",
     LLQ_ERROR_FORMAT},
    {{NULL},
     "kv_cache_scheme",
     "{\"num_bits\":4,\"type\":\"float\",\"strategy\":\"tensor\"}",
     "kv_cache_scheme: num_bits 4 of type float",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL},
     "kv_cache_scheme",
     "{\"num_bits\":8,\"type\":\"int\",\"strategy\":\"attn_head\"}",
     "strategy \"attn_head\", symmetric, static is not supported",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL},
     "kv_cache_scheme",
     "{\"num_bits\":8,\"type\":\"float\",\"dynamic\":true}",
     "symmetric, dynamic is not supported",
     LLQ_ERROR_UNSUPPORTED},
    {{NULL},
     "kv_cache_scheme",
     "{\"num_bits\":8,\"type\":\"int\",\"symmetric\":false}",
     "asymmetric, static is not supported",
     LLQ_ERROR_UNSUPPORTED},
};

START_TEST(a_hostile_quantization_config_is_refused_with_its_reason) {
  const char *directory = test_empty_directory("spoilt");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &quantized_kinds[0]);
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  llq_model_close(model);
  json_t *config;
  const char *path = test_path("spoilt/config.json");
  ck_assert_llq_ok(llqi_json_read(path, &config));
  json_t *object = json_object_get(config, "quantization_config");
  for (int i = 0; i < 3 && spoilt[_i].path[i] != NULL; i++)
    object = json_object_get(object, spoilt[_i].path[i]);
  json_t *value = json_loads(spoilt[_i].value, JSON_DECODE_ANY, NULL);
  ck_assert_int_eq(json_object_set_new(object, spoilt[_i].key, value), 0);
  ck_assert_llq_ok(llqi_json_write(path, config));
  json_decref(config);
  if (spoilt[_i].code == 0)
    ck_assert_llq_ok(llq_model_open(&model, directory, NULL));
  else
    ck_assert_llq_fails(llq_model_open(&model, directory, NULL),
                        spoilt[_i].code, spoilt[_i].message);
  llq_model_close(model);
}
END_TEST

START_TEST(group_indices_and_shapes_in_tensors_are_checked) {
  const char *directory = test_empty_directory("index");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &quantized_kinds[4]);
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  llq_model_close(model);
  const char *path = test_path("index/model.safetensors");
  static const char g_idx[] = "model.layers.1.mlp.up_proj.weight_g_idx";
  static const char shape[] = "model.layers.1.mlp.up_proj.weight_shape";
  static const int32_t wrong[] = {2, -2, INT32_MAX};
  for (int i = 0; i < 3; i++) {
    quantized_patch(path, g_idx, &wrong[i], 4);
    ck_assert_llq_fails(llq_model_open(&model, directory, NULL),
                        LLQ_ERROR_FORMAT, "expected 0 to 1");
    ck_assert_ptr_nonnull(strstr(llq_error_message(), g_idx));
  }
  quantized_patch(path, g_idx, (int32_t[]){0}, 4);
  quantized_patch(path, shape, (int64_t[]){96, 63}, 16);
  ck_assert_llq_fails(llq_model_open(&model, directory, NULL), LLQ_ERROR_FORMAT,
                      "weight_shape: 96x63, expected 96x64");
}
END_TEST

START_TEST(an_unused_group_index_counts_as_none) {
  const char *directory = test_empty_directory("unused");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &quantized_kinds[4]);
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  llq_model_close(model);
  int32_t none[64];
  memset(none, 0xff, sizeof none);
  quantized_patch(test_path("unused/model.safetensors"),
                  "model.layers.1.mlp.up_proj.weight_g_idx", none, sizeof none);
  ck_assert_llq_ok(llq_model_open(&model, directory, NULL));
  ck_assert_ptr_null(model->layers[1].linears[LLQI_UP].group_index);
  ck_assert_ptr_nonnull(model->layers[1].linears[LLQI_GATE].group_index);
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("compressed_files");
  TCase *tests = tcase_create("compressed_files");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, targets_are_names_then_patterns_then_classes);
  tcase_add_loop_test(tests,
                      a_hostile_quantization_config_is_refused_with_its_reason,
                      0, sizeof spoilt / sizeof *spoilt);
  tcase_add_test(tests, group_indices_and_shapes_in_tensors_are_checked);
  tcase_add_test(tests, an_unused_group_index_counts_as_none);
  suite_add_tcase(suite, tests);
  return suite;
}
