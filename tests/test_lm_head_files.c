/* SPDX-License-Identifier: Apache-2.0 */
/* A quantized output matrix in files of every format. */
#include <string.h>

#include "base/json.h"
#include "model/config.h"
#include "support.h"
#include "support/calibrated.h"
#include "support/quantized.h"

static const struct kind kinds[] = {
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 1, 0},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 0, 0, 0},
    {"w8a16-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0, 0},
    {"w8a8-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0, 0},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, 0, 0, 0},
};
#define N_KINDS (int)(sizeof kinds / sizeof kinds[0])

static json_t *saved_quantization(json_t **config) {
  ck_assert_llq_ok(llqi_json_read(test_path("saved/config.json"), config));
  return json_object_get(*config, "quantization_config");
}

/* Of the layers' kind, or of another. */
START_TEST(compressed_tensors_hold_every_kind) {
  llq_model *model = quantized_base(96), *again;
  json_t *config;
  if (_i < N_KINDS)
    quantized_set_all(model, &kinds[_i]);
  else
    quantized_set_all(model, &kinds[1]);
  quantized_set_output(model, &kinds[_i % N_KINDS]);
  again = quantized_reopen(model, NULL);
  quantized_compare(model, again);
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(again, &info));
  ck_assert_str_eq(info.output_scheme, kinds[_i % N_KINDS].scheme);
  json_t *ignored = json_object_get(saved_quantization(&config), "ignore");
  ck_assert_uint_eq(json_array_size(ignored), 0);
  json_decref(config);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(one_group_names_it_since_not_all_call_it_a_linear) {
  llq_model *model = quantized_base(96);
  json_t *config;
  quantized_set_output(model, &kinds[2]);
  llq_model_close(quantized_reopen(model, NULL));
  json_t *quantization = saved_quantization(&config);
  json_t *targets = json_object_get(
      json_object_get(json_object_get(quantization, "config_groups"),
                      "group_0"),
      "targets");
  json_t *expected = json_pack("[s, s]", "Linear", "lm_head");
  ck_assert(json_equal(targets, expected));
  ck_assert_uint_eq(json_array_size(json_object_get(quantization, "ignore")),
                    (size_t)model->config.n_layers * LLQI_N_LINEARS);
  json_decref(expected);
  json_decref(config);
  llq_model_close(model);
}
END_TEST

/* As files of others are: the class alone is a target, and a model that says it
   is tied has the matrix all the same. */
START_TEST(a_class_is_enough_and_codes_beat_the_word_tied) {
  llq_model *model = quantized_base(96), *again;
  json_t *config;
  quantized_set_all(model, &kinds[2]);
  quantized_set_output(model, &kinds[2]);
  llq_model_close(quantized_reopen(model, NULL));
  json_t *groups =
      json_object_get(saved_quantization(&config), "config_groups");
  json_object_set_new(json_object_get(groups, "group_0"), "targets",
                      json_pack("[s]", "Linear"));
  json_object_set_new(config, "tie_word_embeddings", json_true());
  ck_assert_llq_ok(llqi_json_write(test_path("saved/config.json"), config));
  json_decref(config);
  ck_assert_llq_ok(llq_model_open(&again, test_path("saved"), NULL));
  quantized_compare(model, again);
  ck_assert_int_eq(again->config.tied, 0);
  ck_assert(json_is_false(
      json_object_get(again->config.json, "tie_word_embeddings")));
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(gptq_has_a_flag_for_it) {
  llq_model *model = calibrated_small(), *again;
  json_t *config;
  for (int is_quantized = 0; is_quantized < 2; is_quantized++) {
    if (is_quantized)
      quantized_set_output(model, &kinds[2]);
    else
      quantized_set_all(model, &kinds[0]);
    again = quantized_reopen(model, "gptq");
    quantized_compare(model, again);
    json_t *flag = json_object_get(saved_quantization(&config), "lm_head");
    ck_assert_int_eq(json_is_true(flag), is_quantized);
    json_decref(config);
    llq_model_close(again);
  }
  llq_model_close(model);
}
END_TEST

START_TEST(awq_has_no_codes_for_it) {
  llq_model *model = quantized_base(96), *again;
  llq_save_options options = LLQ_SAVE_OPTIONS_INIT;
  quantized_set_all(model, &kinds[0]);
  quantized_set_output(model, &kinds[0]);
  const char *directory = test_empty_directory("saved");
  ck_assert_llq_fails(llq_model_save(model, directory, "awq"),
                      LLQ_ERROR_UNSUPPORTED,
                      "lm_head: would lose its codes as awq");
  options.format = "awq";
  options.lossy = 1;
  ck_assert_llq_ok(llq_model_save_as(model, directory, &options));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  ck_assert_int_eq(again->output.format, LLQ_WEIGHT_DENSE);
  ck_assert_int_eq(again->layers[0].linears[0].format, LLQ_WEIGHT_INT4);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("lm_head_files");
  TCase *tests = tcase_create("lm_head_files");
  tcase_add_loop_test(tests, compressed_tensors_hold_every_kind, 0,
                      2 * N_KINDS);
  tcase_add_test(tests, one_group_names_it_since_not_all_call_it_a_linear);
  tcase_add_test(tests, a_class_is_enough_and_codes_beat_the_word_tied);
  tcase_add_test(tests, gptq_has_a_flag_for_it);
  tcase_add_test(tests, awq_has_no_codes_for_it);
  suite_add_tcase(suite, tests);
  return suite;
}
