/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration that goes wrong: too little, not finite, dead, not definite. */
#include <math.h>
#include <string.h>

#include <llq/quantizer.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/model.h"
#include "support.h"
#include "support/calibrated.h"
#include "tensor/dtype.h"

/* A copy of a weight's bytes, to be changed. */
static uint16_t *own_copy(llq_model *model, const void **data, size_t n) {
  uint16_t *copy = llqi_array(n, sizeof *copy);
  memcpy(copy, *data, n * sizeof *copy);
  ck_assert_llq_ok(llqi_model_own(model, copy));
  *data = copy;
  return copy;
}

static int run_small(llq_model *model, const char *method, int n_samples,
                     int n_tokens, llq_quantized_linear *first) {
  llq_quantizer *quantizer;
  llq_quantizer_options options = calibrated_options("w4a16-int", method);
  options.group_size = 32;
  options.n_samples = n_samples;
  options.n_tokens = n_tokens;
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options));
  llq_model_close(model);
  if (n_samples > 0)
    ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  int status = llq_quantizer_run(quantizer);
  if (status == LLQ_OK)
    ck_assert_llq_ok(llq_quantizer_linear(quantizer, 0, first));
  llq_quantizer_close(quantizer);
  return status;
}

START_TEST(too_few_tokens_are_refused) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  ck_assert_llq_fails(run_small(calibrated_small(), "gptq", 0, 0, &linear),
                      LLQ_ERROR_STATE, "0 tokens, method gptq needs at least");
  ck_assert_llq_fails(run_small(calibrated_small(), "awq", 2, 20, &linear),
                      LLQ_ERROR_STATE, "40 tokens");
}
END_TEST

START_TEST(an_input_that_is_not_finite_is_named) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_model *model = calibrated_small();
  uint16_t *up =
      own_copy(model, &model->layers[1].linears[LLQI_UP].data, 96 * 64);
  for (int i = 0; i < 64; i++)
    up[5 * 64 + i] = llqi_f32_to_bf16(i % 2 ? 3e38f : -3e38f);
  ck_assert_llq_fails(run_small(model, "gptq", 8, 60, &linear),
                      LLQ_ERROR_FORMAT,
                      "model.layers.1.mlp.down_proj.weight: calibration: input "
                      "5 is NaN or infinite");
}
END_TEST

START_TEST(a_weight_that_is_not_finite_is_named) {
  static const char *const methods[] = {"gptq", "awq", "smoothquant"};
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  for (int i = 0; i < 3; i++) {
    llq_model *model = calibrated_small();
    /* Of the last linear, which nothing else is calibrated behind. */
    uint16_t *down =
        own_copy(model, &model->layers[1].linears[LLQI_DOWN].data, 64 * 96);
    down[7 * 96 + 3] = llqi_f32_to_bf16(NAN);
    ck_assert_llq_fails(run_small(model, methods[i], 8, 60, &linear),
                        LLQ_ERROR_FORMAT,
                        "model.layers.1.mlp.down_proj.weight: NaN at [7, 3]");
  }
}
END_TEST

START_TEST(dead_inputs_are_counted_and_rounded) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_model *model = calibrated_small();
  uint16_t *norm = own_copy(model, &model->layers[0].input_norm.data, 64);
  norm[9] = norm[40] = 0;
  ck_assert_llq_ok(run_small(model, "gptq", 8, 60, &linear));
  ck_assert_uint_eq(linear.n_dead, 2);
  ck_assert_double_eq_tol(linear.damping, 0.01, 1e-9);
}
END_TEST

/* Inputs that are multiples of each other leave a matrix of rank one; with next
   to no damping it is not definite in floats. */
START_TEST(more_damping_is_tried_and_told) {
  llq_quantizer *quantizer;
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_quantizer_options options = calibrated_options("w4a16-int", "gptq");
  options.group_size = 32;
  options.damping = 1e-12;
  llq_model *model = calibrated_small();
  int32_t ids[60] = {0};
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options));
  for (int i = 0; i < 4; i++)
    ck_assert_llq_ok(llq_quantizer_calibrate_ids(quantizer, ids, 60));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_linear(quantizer, 0, &linear));
  ck_assert_double_gt(linear.damping, 1e-11);
  ck_assert(isfinite(linear.error));
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

START_TEST(calibration_has_its_time) {
  llq_quantizer *quantizer;
  llq_model *model = calibrated_small(), *result;
  llq_quantizer_options options = calibrated_options("w4a16-int", "gptq");
  options.group_size = 32;
  options.n_tokens = 60;
  ck_assert_llq_fails(llq_quantizer_open(&quantizer, NULL, model, &options),
                      LLQ_ERROR_ARGUMENT, "gptq needs a backend");
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options));
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  int32_t bad = 40;
  ck_assert_llq_fails(llq_quantizer_calibrate_ids(quantizer, &bad, 1),
                      LLQ_ERROR_ARGUMENT, "token 40");
  ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  ck_assert_llq_fails(llq_quantizer_linear(quantizer, 0, &linear),
                      LLQ_ERROR_STATE, "not quantized yet");
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  ck_assert_llq_fails(llq_quantizer_calibrate_random(quantizer),
                      LLQ_ERROR_STATE, "already");
  ck_assert_llq_ok(llq_quantizer_linear(quantizer, 6, &linear));
  ck_assert_str_eq(linear.name, "model.layers.0.mlp.down_proj");
  ck_assert_str_eq(linear.scheme, "w4a16-int");
  ck_assert_str_eq(linear.method, "gptq");
  ck_assert_llq_fails(llq_quantizer_linear(quantizer, 14, &linear),
                      LLQ_ERROR_ARGUMENT, "index 14 of 14");
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_model_close(result);
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

static const struct {
  const char *method, *kv_cache, *recipe;
  int group_size;
} methods[] = {{"gptq", NULL, NULL, 32},
               {"awq+gptq", NULL, NULL, 32},
               {"awq", NULL, "lm_head w4a16-int awq+gptq", -1},
               {"rtn", "int8", NULL, 32}};

START_TEST(running_out_of_memory_leaks_nothing) {
  const char *recipe = methods[_i].recipe;
  int n_failed = 0;
  if (recipe != NULL)
    ck_assert_llq_ok(
        llqi_file_write(test_path("recipe"), recipe, strlen(recipe)));
  for (long n = 1;; n += 1 + n / 8) {
    llq_model *model = calibrated_small();
    llq_quantizer *quantizer;
    llq_quantizer_options options =
        calibrated_options("w4a16-int", methods[_i].method);
    options.group_size = methods[_i].group_size;
    options.recipe = recipe != NULL ? test_path("recipe") : NULL;
    options.n_samples = 4;
    options.n_tokens = 60;
    options.n_threads = 1;
    options.kv_cache = methods[_i].kv_cache;
    llqi_alloc_fail_at(n, 0);
    int status =
        llq_quantizer_open(&quantizer, calibrated_backend, model, &options);
    if (status == LLQ_OK)
      status = llq_quantizer_calibrate_random(quantizer);
    if (status == LLQ_OK)
      status = llq_quantizer_run(quantizer);
    const int used = llqi_alloc_count() < n;
    llqi_alloc_fail_at(0, 0);
    llq_quantizer_close(quantizer);
    llq_model_close(model);
    if (used) {
      ck_assert_int_eq(status, LLQ_OK);
      ck_assert_int_gt(n_failed, 20);
      return;
    }
    /* Not to know how much memory is free is no failure. */
    ck_assert_msg(status == LLQ_OK || status == LLQ_ERROR_MEMORY,
                  "allocation %ld: %s", n, llq_error_message());
    n_failed += status == LLQ_ERROR_MEMORY;
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("bad_calibration");
  TCase *small = tcase_create("small");
  tcase_set_timeout(small, 120);
  tcase_add_checked_fixture(small, calibrated_setup, calibrated_teardown);
  tcase_add_test(small, too_few_tokens_are_refused);
  tcase_add_test(small, an_input_that_is_not_finite_is_named);
  tcase_add_test(small, a_weight_that_is_not_finite_is_named);
  tcase_add_test(small, dead_inputs_are_counted_and_rounded);
  tcase_add_test(small, more_damping_is_tried_and_told);
  tcase_add_test(small, calibration_has_its_time);
  tcase_add_loop_test(small, running_out_of_memory_leaks_nothing, 0,
                      (int)(sizeof methods / sizeof methods[0]));
  suite_add_tcase(suite, small);
  return suite;
}
