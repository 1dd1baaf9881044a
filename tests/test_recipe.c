/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes: a scheme and a method for each linear. */
#include <string.h>

#include "base/file.h"
#include "model/model.h"
#include "support.h"
#include "support/calibrated.h"

static const char *write_recipe(const char *text) {
  const char *path = test_path("recipe");
  ck_assert_llq_ok(llqi_file_write(path, text, strlen(text)));
  return path;
}

static int open_with(llq_model *model, const char *scheme, const char *recipe,
                     llq_quantizer **quantizer) {
  llq_quantizer_options options = calibrated_options(scheme, NULL);
  options.group_size = strcmp(scheme, "w4a16-int") == 0 ? 32 : 0;
  options.recipe = write_recipe(recipe);
  return llq_quantizer_open(quantizer, calibrated_backend, model, &options);
}

static void expect_linear(const llq_quantizer *quantizer, int index,
                          const char *scheme, const char *method) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  ck_assert_llq_ok(llq_quantizer_linear(quantizer, (uint64_t)index, &linear));
  ck_assert_msg(strcmp(linear.scheme, scheme) == 0 &&
                    strcmp(linear.method, method) == 0,
                "%s is %s by '%s'", linear.name, linear.scheme, linear.method);
}

START_TEST(the_last_line_that_fits_decides) {
  llq_model *model = calibrated_small(), *mixed, *loaded;
  llq_quantizer *quantizer;
  ck_assert_llq_ok(open_with(model, "w4a16-int",
                             "# comment\n\n"
                             "model.layers.1.*   w8a16-int # and another\n"
                             "*.down_proj\tw4a16-int gptq group-size=-1\r\n"
                             "*.0.*.[qk]_proj bf16",
                             &quantizer));
  ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  expect_linear(quantizer, LLQI_Q, "bf16", "");
  expect_linear(quantizer, LLQI_K, "bf16", "");
  expect_linear(quantizer, LLQI_V, "w4a16-int", "rtn");
  expect_linear(quantizer, LLQI_DOWN, "w4a16-int", "gptq");
  expect_linear(quantizer, LLQI_N_LINEARS + LLQI_Q, "w8a16-int", "rtn");
  expect_linear(quantizer, LLQI_N_LINEARS + LLQI_DOWN, "w4a16-int", "gptq");
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &mixed));
  ck_assert_str_eq(mixed->quantization_method, "mixed");
  ck_assert_int_eq(mixed->layers[0].linears[LLQI_V].group_size, 32);
  ck_assert_int_eq(mixed->layers[0].linears[LLQI_DOWN].group_size, 96);
  ck_assert_llq_ok(
      llq_model_save(mixed, test_path("mixed"), "compressed-tensors"));
  ck_assert_llq_ok(llq_model_open(&loaded, test_path("mixed"), NULL));
  expect_same_weights(mixed, loaded);
  llq_model_close(loaded);
  llq_model_close(mixed);
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

START_TEST(bf16_may_be_the_rule_and_a_scheme_the_exception) {
  llq_model *model = calibrated_small(), *mixed;
  llq_quantizer *quantizer;
  ck_assert_llq_ok(
      open_with(model, "bf16", "*.up_proj w8a8-int\n", &quantizer));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  expect_linear(quantizer, LLQI_GATE, "bf16", "");
  expect_linear(quantizer, LLQI_UP, "w8a8-int", "rtn");
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &mixed));
  ck_assert_str_eq(mixed->quantization_method, "rtn");
  ck_assert_ptr_eq(mixed->layers[0].linears[LLQI_GATE].data,
                   model->layers[0].linears[LLQI_GATE].data);
  llq_model_close(mixed);
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

static const struct {
  const char *recipe, *message;
} wrong[] = {
    {"# one\n* w5a16-int", "recipe:2: scheme"},
    {"*", "recipe:1: expected a scheme after the pattern"},
    {"* w4a16-int gptk", "recipe:1: "},
    {"* w4a16-int group-size=48", "recipe:1: group_size"},
    {"* w4a16-int group-size=", "'group-size=': expected a number"},
    {"* w4a16-int group-size=4x", "'group-size=4x': expected a number"},
    {"* w8a8-int group-size=64", "group_size: w8a8-int has none"},
    {"* w8a8-fp asymmetric", "asymmetric: w8a8-fp is symmetric"},
    {"* bf16\nlm_heads w8a16-int", "recipe:2: 'lm_heads' fits no linear"},
    {"model.layers.2.* bf16", "'model.layers.2.*' fits no linear"},
};

START_TEST(what_is_wrong_is_named_with_its_line) {
  llq_model *model = calibrated_small();
  llq_quantizer *quantizer;
  ck_assert_llq_fails(
      open_with(model, "w4a16-int", wrong[_i].recipe, &quantizer),
      LLQ_ERROR_ARGUMENT, wrong[_i].message);
  ck_assert_ptr_null(quantizer);
  llq_model_close(model);
}
END_TEST

START_TEST(a_file_that_is_none_is_named) {
  llq_model *model = calibrated_small();
  llq_quantizer *quantizer;
  llq_quantizer_options options = calibrated_options("w8a8-int", NULL);
  options.recipe = test_path("nowhere");
  ck_assert_llq_fails(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options),
      LLQ_ERROR_IO, "nowhere");
  ck_assert_llq_ok(llqi_file_write(test_path("bytes"), "* bf16\0x", 8));
  options.recipe = test_path("bytes");
  ck_assert_llq_fails(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options),
      LLQ_ERROR_FORMAT, "bytes: is no text");
  llq_model_close(model);
}
END_TEST

START_TEST(one_line_is_enough_to_need_calibration) {
  llq_model *model = calibrated_small();
  llq_quantizer *quantizer;
  ck_assert_llq_ok(
      open_with(model, "w8a8-int", "*.q_proj w8a8-int gptq", &quantizer));
  ck_assert_llq_fails(llq_quantizer_step(quantizer, NULL), LLQ_ERROR_STATE,
                      "method gptq needs at least");
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("recipe");
  TCase *tests = tcase_create("recipe");
  tcase_add_checked_fixture(tests, calibrated_setup, calibrated_teardown);
  tcase_add_test(tests, the_last_line_that_fits_decides);
  tcase_add_test(tests, bf16_may_be_the_rule_and_a_scheme_the_exception);
  tcase_add_loop_test(tests, what_is_wrong_is_named_with_its_line, 0,
                      (int)(sizeof wrong / sizeof wrong[0]));
  tcase_add_test(tests, a_file_that_is_none_is_named);
  tcase_add_test(tests, one_line_is_enough_to_need_calibration);
  suite_add_tcase(suite, tests);
  return suite;
}
