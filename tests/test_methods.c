/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrated methods on llq-micro: what they lose, measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llq/quantizer.h>

#include "model/model.h"
#include "support.h"
#include "support/calibrated.h"
#include "tensor/weight.h"

#define N_LINEARS 70 /* of llq-micro */

static llq_model *open_micro(void) {
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, "llq-micro", NULL));
  return model;
}

/* Quantizes llq-micro; errors[N_LINEARS] are relative. */
static llq_model *quantize_micro(const llq_quantizer_options *options,
                                 double *errors) {
  llq_model *model = open_micro(), *result;
  llq_quantizer *quantizer;
  char path[1000];
  snprintf(path, sizeof path, "%s/llq-micro/calibration.jsonl",
           getenv("LLQ_DATA"));
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, model, options));
  ck_assert_llq_ok(llq_quantizer_calibrate_file(quantizer, path));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  for (uint64_t i = 0; i < N_LINEARS; i++) {
    llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
    ck_assert_llq_ok(llq_quantizer_linear(quantizer, i, &linear));
    ck_assert(isfinite(linear.error) && linear.power > 0);
    errors[i] = linear.error / linear.power;
  }
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_quantizer_close(quantizer);
  llq_model_close(model);
  return result;
}

/* On the same inputs, so that only the method makes a difference. */
static const struct {
  const char *scheme, *method, *order, *observer;
  int asymmetric;
  int all; /* better for every linear; else on average */
} better[] = {
    {"w4a16-int", "gptq", "static", NULL, 0, 1},
    {"w4a16-int", "gptq", "none", NULL, 0, 1},
    {"w4a16-int", "gptq", "group", "mse", 0, 1},
    {"w4a16-int", "gptq", NULL, "mse", 1, 1},
    {"w8a16-int", "gptq", NULL, NULL, 0, 1},
    {"w8a8-fp", "gptq", NULL, NULL, 0, 0},
    {"w8a8-int", "gptq", NULL, NULL, 0, 0},
    {"w4a16-int", "awq", NULL, NULL, 0, 1},
    {"w4a16-int", "awq+gptq", NULL, NULL, 0, 1},
};

START_TEST(outputs_lose_less_than_by_rounding_to_nearest) {
  double plain[N_LINEARS], errors[N_LINEARS], mean[2] = {0};
  llq_quantizer_options options = calibrated_options(better[_i].scheme, "rtn");
  options.asymmetric = better[_i].asymmetric;
  llq_model_close(quantize_micro(&options, plain));
  options.method = better[_i].method;
  options.order = better[_i].order;
  options.observer = better[_i].observer;
  llq_model_close(quantize_micro(&options, errors));
  for (int i = 0; i < N_LINEARS; i++) {
    mean[0] += plain[i] / N_LINEARS;
    mean[1] += errors[i] / N_LINEARS;
    if (better[_i].all)
      ck_assert_msg(errors[i] < plain[i], "linear %d: %g, not below %g", i,
                    errors[i], plain[i]);
  }
  ck_assert_double_lt(mean[1], mean[0]);
}
END_TEST

/* Linears of one input share their scales: none must pay for another. Most of
   the gain is that of narrower ranges, which a row without groups needs too. */
START_TEST(awq_makes_no_linear_worse_per_channel) {
  double plain[N_LINEARS], errors[N_LINEARS], mean[2] = {0};
  llq_quantizer_options options = calibrated_options("w4a16-int", "rtn");
  options.group_size = -1;
  llq_model_close(quantize_micro(&options, plain));
  options.method = "awq";
  llq_model_close(quantize_micro(&options, errors));
  for (int i = 0; i < N_LINEARS; i++) {
    mean[0] += plain[i] / N_LINEARS;
    mean[1] += errors[i] / N_LINEARS;
    ck_assert_msg(errors[i] < plain[i], "linear %d: %g, RTN %g", i, errors[i],
                  plain[i]);
  }
  ck_assert_double_lt(mean[1], 0.65 * mean[0]);
}
END_TEST

START_TEST(the_method_and_the_samples_are_on_record) {
  double errors[N_LINEARS];
  llq_quantizer_options options =
      calibrated_options("w8a8-int", "smoothquant+gptq");
  llq_model *result = quantize_micro(&options, errors);
  ck_assert_str_eq(result->quantization_method, "smoothquant+gptq");
  ck_assert_uint_eq(strlen(result->calibration_sha256), 64);
  llq_model_close(result);
}
END_TEST

/* ---- What linears are measured on ---- */

static const char *data_file(const char *name) {
  static char path[1000];
  snprintf(path, sizeof path, "%s/llq-micro/%s", getenv("LLQ_DATA"), name);
  return path;
}

START_TEST(what_is_held_out_measures_and_does_not_calibrate) {
  double seen[N_LINEARS], unseen[N_LINEARS], mean[2] = {0};
  llq_quantizer_options options = calibrated_options("w4a16-int", "gptq");
  options.n_tokens = 200; /* so few that they are fitted too well */
  options.n_samples = 3;
  llq_model *plain = quantize_micro(&options, seen);
  options.measure_file = data_file("heldout.txt");
  llq_model *held_out = quantize_micro(&options, unseen);
  ck_assert_str_eq(plain->calibration_sha256, held_out->calibration_sha256);
  for (int l = 0; l < 10; l++)
    for (int i = 0; i < LLQI_N_LINEARS; i++) {
      const llq_weight *x = &plain->layers[l].linears[i];
      const llq_weight *y = &held_out->layers[l].linears[i];
      ck_assert_mem_eq(x->data, y->data, llqi_weight_data_bytes(x));
      mean[0] += seen[l * LLQI_N_LINEARS + i] / N_LINEARS;
      mean[1] += unseen[l * LLQI_N_LINEARS + i] / N_LINEARS;
    }
  ck_assert_double_lt(1.1 * mean[0], mean[1]);
  llq_model_close(plain);
  llq_model_close(held_out);
}
END_TEST

START_TEST(rounding_is_measured_without_calibration) {
  llq_model *model = open_micro();
  llq_quantizer *quantizer;
  llq_quantizer_options options = calibrated_options("w4a16-int", "rtn");
  options.n_samples = 1;
  options.measure_file = data_file("heldout.txt");
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options));
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  ck_assert_llq_ok(llq_quantizer_linear(quantizer, 6, &linear));
  ck_assert(linear.error > 0 && linear.error < 0.1 * linear.power);
  llq_quantizer_close(quantizer);
  options.measure = 0;
  ck_assert_llq_fails(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options),
      LLQ_ERROR_ARGUMENT, "measure_file: without measure");
  options.measure = 1;
  ck_assert_llq_fails(llq_quantizer_open(&quantizer, NULL, model, &options),
                      LLQ_ERROR_ARGUMENT, "measure_file needs a backend");
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("methods");
  TCase *micro = tcase_create("micro");
  tcase_add_checked_fixture(micro, calibrated_setup, calibrated_teardown);
  tcase_set_timeout(micro, 60);
  tcase_add_loop_test(micro, outputs_lose_less_than_by_rounding_to_nearest, 0,
                      (int)(sizeof better / sizeof better[0]));
  tcase_add_test(micro, the_method_and_the_samples_are_on_record);
  suite_add_tcase(suite, micro);
  TCase *shared = tcase_create("shared");
  tcase_add_checked_fixture(shared, calibrated_setup, calibrated_teardown);
  tcase_set_timeout(shared, 60);
  tcase_add_test(shared, awq_makes_no_linear_worse_per_channel);
  suite_add_tcase(suite, shared);
  TCase *measured = tcase_create("measured");
  tcase_add_checked_fixture(measured, calibrated_setup, calibrated_teardown);
  tcase_set_timeout(measured, 60);
  tcase_add_test(measured, what_is_held_out_measures_and_does_not_calibrate);
  tcase_add_test(measured, rounding_is_measured_without_calibration);
  suite_add_tcase(suite, measured);
  return suite;
}
