/* SPDX-License-Identifier: Apache-2.0 */
/* The output matrix, quantized by a recipe, and in use. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <llq/generator.h>

#include "base/file.h"
#include "model/model.h"
#include "support.h"
#include "support/calibrated.h"
#include "support/quantized.h"
#include "tensor/weight.h"

#define HEAD (2 * LLQI_N_LINEARS) /* of a model of 2 layers */
#define N_IDS 30
#define N_VOCAB_MAX 2048 /* llq-micro's */

static void expect_head(const llq_model *model, const char *scheme) {
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(model, &info));
  ck_assert_str_eq(info.output_scheme, scheme);
  ck_assert_uint_eq(info.n_output_bytes, llqi_weight_bytes(&model->output));
}

/* ---- By a recipe ---- */

static llq_quantizer *open_with(llq_model *model, const char *scheme,
                                const char *recipe, const char *directory) {
  llq_quantizer *quantizer;
  llq_quantizer_options options = calibrated_options(scheme, NULL);
  options.group_size = strcmp(scheme, "w4a16-int") == 0 ? 32 : 0;
  options.is_parallel = 0;
  options.n_tokens = 60;
  options.directory = directory;
  options.recipe = test_path("recipe");
  ck_assert_llq_ok(llqi_file_write(options.recipe, recipe, strlen(recipe)));
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options));
  ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  return quantizer;
}

static llq_model *finish(llq_quantizer *quantizer) {
  llq_model *result;
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_quantizer_close(quantizer);
  return result;
}

static llq_quantized_linear head_of(const llq_quantizer *quantizer) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  ck_assert_llq_ok(llq_quantizer_linear(quantizer, HEAD, &linear));
  ck_assert_str_eq(linear.name, "lm_head");
  return linear;
}

START_TEST(it_stays_as_it_is_unless_a_pattern_fits_it) {
  llq_model *model = calibrated_small(), *result;
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_quantizer *quantizer =
      open_with(model, "w8a8-int", "model.* w8a16-int", NULL);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_fails(llq_quantizer_linear(quantizer, HEAD, &linear),
                      LLQ_ERROR_ARGUMENT, "index 14 of 14");
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  ck_assert_ptr_eq(result->output.data, model->output.data);
  expect_head(result, "bf16");
  llq_quantizer_close(quantizer);
  llq_model_close(result);
  result = finish(open_with(model, "w8a8-int", "* w8a16-int", NULL));
  expect_head(result, "w8a16-int");
  llq_model_close(result);
  llq_model_close(model);
}
END_TEST

START_TEST(it_is_a_step_of_its_own_after_the_layers) {
  llq_model *model = calibrated_small();
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_progress progress = LLQ_PROGRESS_INIT;
  llq_quantizer *quantizer =
      open_with(model, "bf16", "lm_head w8a16-int", NULL);
  ck_assert_int_eq(llq_quantizer_step(quantizer, &progress), LLQ_MORE);
  ck_assert_uint_eq(progress.total, 3);
  ck_assert_int_eq(llq_quantizer_step(quantizer, &progress), LLQ_MORE);
  ck_assert_llq_fails(llq_quantizer_linear(quantizer, HEAD, &linear),
                      LLQ_ERROR_STATE, "not quantized yet");
  ck_assert_int_eq(llq_quantizer_step(quantizer, &progress), LLQ_OK);
  ck_assert_str_eq(progress.what, "lm_head");
  ck_assert_str_eq(head_of(quantizer).method, "rtn");
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

static const char *const methods[] = {"rtn", "gptq", "awq", "awq+gptq",
                                      "smoothquant"};

static double relative_error(llq_model *model, const char *recipe) {
  llq_quantizer *quantizer = open_with(model, "bf16", recipe, NULL);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  const llq_quantized_linear linear = head_of(quantizer);
  llq_quantizer_close(quantizer);
  return linear.error / linear.power;
}

START_TEST(every_method_calibrates_it) {
  llq_model *model = calibrated_small();
  char recipe[80];
  const double rtn =
      relative_error(model, "lm_head w4a16-int rtn group-size=32");
  ck_assert_double_gt(rtn, 0.001);
  for (int i = 1; i < 4; i++) {
    snprintf(recipe, sizeof recipe, "lm_head w4a16-int %s group-size=32",
             methods[i]);
    ck_assert_double_lt(relative_error(model, recipe), 0.97 * rtn);
  }
  ck_assert_double_lt(relative_error(model, "lm_head w8a8-int smoothquant"),
                      0.001);
  llq_model_close(model);
}
END_TEST

/* ---- In use ---- */

static void logits_of(llq_model *model, const char *compute, float *logits) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  llq_generator *generator;
  int32_t ids[N_IDS];
  for (int i = 0; i < N_IDS; i++)
    ids[i] = i * 7 % 40;
  options.compute = compute;
  ck_assert_llq_ok(
      llq_generator_open(&generator, calibrated_backend, model, &options));
  ck_assert_llq_ok(llq_generator_logits(generator, ids, N_IDS, logits));
  llq_generator_close(generator);
}

/* The largest difference of the logits, as a part of the largest logit. */
static double difference(llq_model *a, llq_model *b, const char *compute) {
  static float x[N_IDS * N_VOCAB_MAX], y[N_IDS * N_VOCAB_MAX];
  double largest = 0, most = 0;
  logits_of(a, compute, x);
  logits_of(b, compute, y);
  for (int64_t i = 0; i < N_IDS * a->config.n_vocab; i++) {
    largest = fmax(largest, fabs((double)x[i]));
    most = fmax(most, fabs((double)x[i] - y[i]));
  }
  return most / largest;
}

/* Scales of inputs end up in the final norm, which nothing else reads. */
START_TEST(its_logits_are_near_the_originals) {
  llq_model *model = calibrated_small(), *result, *again;
  char recipe[80];
  for (int i = 0; i < (int)(sizeof methods / sizeof methods[0]); i++) {
    snprintf(recipe, sizeof recipe, "lm_head w8a8-int %s", methods[i]);
    result = finish(open_with(model, "bf16", recipe, NULL));
    again = quantized_reopen(result, NULL);
    ck_assert_double_lt(difference(model, again, "f32"), 0.02);
    ck_assert_double_lt(difference(model, again, "bf16"), 0.03);
    ck_assert_double_eq(difference(result, again, "bf16"), 0);
    llq_model_close(again);
    llq_model_close(result);
  }
  llq_model_close(model);
}
END_TEST

START_TEST(its_logits_are_those_of_the_values_that_codes_mean) {
  llq_model *model = calibrated_small(), *result, *dense;
  llq_save_options options = LLQ_SAVE_OPTIONS_INIT;
  result = finish(open_with(model, "bf16", "lm_head w8a16-int", NULL));
  options.format = "safetensors";
  options.lossy = 1;
  ck_assert_llq_ok(
      llq_model_save_as(result, test_empty_directory("dense"), &options));
  ck_assert_llq_ok(llq_model_open(&dense, test_path("dense"), NULL));
  ck_assert_int_eq(dense->output.format, LLQ_WEIGHT_DENSE);
  ck_assert_double_lt(difference(result, dense, "f32"), 0.005);
  llq_model_close(dense);
  llq_model_close(result);
  llq_model_close(model);
}
END_TEST

START_TEST(of_a_tied_model_it_is_a_copy) {
  llq_model *model = calibrated_small(), *result, *again;
  model->config.tied = 1;
  json_object_set_new(model->config.json, "tie_word_embeddings", json_true());
  model->output.data = model->embedding.data;
  result =
      finish(open_with(model, "bf16", "lm_head w8a16-int smoothquant", NULL));
  again = quantized_reopen(result, NULL);
  expect_same_weights(result, again);
  expect_head(again, "w8a16-int");
  ck_assert_int_eq(again->config.tied, 0);
  ck_assert_mem_eq(again->embedding.data, model->embedding.data,
                   model->embedding.n_bytes);
  ck_assert_double_lt(difference(model, again, "f32"), 0.02);
  ck_assert_int_eq(model->config.tied, 1);
  llq_model_close(again);
  llq_model_close(result);
  llq_model_close(model);
}
END_TEST

START_TEST(a_quantized_one_is_not_quantized_again) {
  llq_model *model = calibrated_small(), *result;
  llq_quantizer *quantizer;
  llq_quantizer_options options = calibrated_options("w8a8-int", NULL);
  result = finish(open_with(model, "bf16", "lm_head w8a16-int", NULL));
  ck_assert_llq_fails(
      llq_quantizer_open(&quantizer, calibrated_backend, result, &options),
      LLQ_ERROR_UNSUPPORTED,
      "lm_head.weight: is quantized already, to w8a16-int");
  llq_model_close(result);
  llq_model_close(model);
}
END_TEST

/* llq-micro is tied, and has shapes that kernels for GPUs
   are made for. */
START_TEST(llq_micros_comes_back_from_a_file) {
  static const char *const recipes[] = {
      "lm_head w8a16-int", "lm_head w8a16-int gptq", "lm_head w4a16-int gptq",
      "lm_head w8a8-int", "lm_head w8a8-fp awq"};
  static const double limits[] = {0.012, 0.012, 0.15, 0.015, 0.05};
  llq_model *model, *result, *again;
  ck_assert_llq_ok(llq_model_open(&model, "llq-micro", NULL));
  llq_quantizer *quantizer = open_with(model, "bf16", recipes[_i], NULL);
  result = finish(quantizer);
  again = quantized_reopen(result, NULL);
  ck_assert_int_eq(result->output.n_out, N_VOCAB_MAX);
  ck_assert_double_eq(difference(result, again, "bf16"), 0);
  ck_assert_double_lt(difference(model, again, "bf16"), limits[_i]);
  llq_model_close(again);
  llq_model_close(result);
  llq_model_close(model);
}
END_TEST

/* Cut off before it, or when it is in its file. */
START_TEST(what_was_cut_off_goes_on_and_gives_the_same) {
  static const char recipe[] = "lm_head w4a16-int awq+gptq group-size=32";
  llq_model *model = calibrated_small();
  llq_model *whole = finish(open_with(model, "w4a16-int", recipe, NULL));
  llq_quantizer *quantizer =
      open_with(model, "w4a16-int", recipe, test_empty_directory("spool"));
  for (int i = 0; i < 2 + _i; i++)
    ck_assert_int_eq(llq_quantizer_step(quantizer, NULL),
                     i < 2 ? LLQ_MORE : LLQ_OK);
  llq_quantizer_close(quantizer);
  ck_assert_int_eq(llqi_file_exists(test_path("spool/quantized-layer-00002")),
                   _i);
  llq_model *resumed =
      finish(open_with(model, "w4a16-int", recipe, test_path("spool")));
  expect_same_weights(whole, resumed);
  ck_assert_mem_eq(whole->final_norm.data, resumed->final_norm.data,
                   whole->final_norm.n_bytes);
  ck_assert(memcmp(whole->final_norm.data, model->final_norm.data,
                   whole->final_norm.n_bytes) != 0);
  ck_assert(!llqi_file_exists(test_path("spool/quantized-layer-00002")));
  llq_model_close(resumed);
  llq_model_close(whole);
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("lm_head");
  TCase *made = tcase_create("lm_head");
  tcase_add_checked_fixture(made, calibrated_setup, calibrated_teardown);
  tcase_add_test(made, it_stays_as_it_is_unless_a_pattern_fits_it);
  tcase_add_test(made, it_is_a_step_of_its_own_after_the_layers);
  tcase_add_test(made, every_method_calibrates_it);
  tcase_add_test(made, its_logits_are_near_the_originals);
  tcase_add_test(made, its_logits_are_those_of_the_values_that_codes_mean);
  tcase_add_test(made, of_a_tied_model_it_is_a_copy);
  tcase_add_test(made, a_quantized_one_is_not_quantized_again);
  tcase_add_loop_test(made, llq_micros_comes_back_from_a_file, 0, 5);
  tcase_add_loop_test(made, what_was_cut_off_goes_on_and_gives_the_same, 0, 2);
  suite_add_tcase(suite, made);
  return suite;
}
