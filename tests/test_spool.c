/* SPDX-License-Identifier: Apache-2.0 */
/* Finished layers in files: what was cut off goes on; a disk that is full. */
#include <errno.h>
#include <string.h>

#include <llq/quantizer.h>

#include "base/file.h"
#include "model/model.h"
#include "support.h"
#include "support/calibrated.h"

static llq_quantizer *open_spooled(llq_model *model, double damping) {
  llq_quantizer *quantizer;
  llq_quantizer_options options = calibrated_options("w4a16-int", "awq+gptq");
  options.group_size = 32;
  options.n_samples = 4;
  options.n_tokens = 60;
  options.is_parallel = 0;
  options.order = "group";
  options.asymmetric = 1;
  options.damping = damping;
  options.directory = test_path("spool");
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options));
  ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  return quantizer;
}

START_TEST(what_was_cut_off_goes_on_and_gives_the_same) {
  llq_model *model = calibrated_small(), *whole, *resumed;
  llq_quantizer *quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &whole));
  llq_quantizer_close(quantizer);
  ck_assert(!llqi_file_exists(test_path("spool/quantized-layer-00000")));
  quantizer = open_spooled(model, 0.01);
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  llq_quantizer_close(quantizer);
  ck_assert(llqi_file_exists(test_path("spool/quantized-layer-00000")));
  ck_assert(!llqi_file_exists(test_path("spool/config.json")));
  if (_i == 1) /* one that does not fit, and is made again */
    ck_assert_llq_ok(
        llqi_file_write(test_path("spool/quantized-layer-00000"), "llq", 3));
  quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &resumed));
  llq_quantizer_close(quantizer);
  expect_same_weights(whole, resumed);
  llq_model_close(whole);
  llq_model_close(resumed);
  llq_model_close(model);
}
END_TEST

START_TEST(layers_of_other_options_are_made_again) {
  llq_model *model = calibrated_small(), *first, *second;
  llq_quantizer *quantizer = open_spooled(model, 0.5);
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  llq_quantizer_close(quantizer);
  quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &first));
  llq_quantizer_close(quantizer);
  quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &second));
  llq_quantizer_close(quantizer);
  expect_same_weights(first, second);
  llq_model_close(first);
  llq_model_close(second);
  llq_model_close(model);
}
END_TEST

static ssize_t write_to_full_disk(int fd, const void *bytes, size_t n) {
  errno = ENOSPC;
  return -1;
}

START_TEST(a_full_disk_is_an_error_and_leaves_nothing) {
  struct llqi_file_calls calls = llqi_file_system;
  llq_model *model = calibrated_small();
  llq_quantizer *quantizer = open_spooled(model, 0.01);
  calls.write = write_to_full_disk;
  llqi_files = &calls;
  int status = llq_quantizer_step(quantizer, NULL);
  llqi_files = &llqi_file_system;
  ck_assert_int_eq(status, LLQ_ERROR_IO);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "No space left"));
  llq_quantizer_close(quantizer);
  ck_assert(!llqi_file_exists(test_path("spool/quantized-layer-00000")));
  ck_assert(!llqi_file_exists(test_path("spool/quantized-layer-00000.part")));
  llq_model_close(model);
}
END_TEST

START_TEST(what_is_only_converted_needs_no_files) {
  llq_model *model = calibrated_small(), *result;
  llq_quantizer *quantizer;
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = "bf16";
  options.directory = test_path("spool");
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, model, &options));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_quantizer_close(quantizer);
  llq_model_close(result);
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("spool");
  TCase *small = tcase_create("small");
  tcase_add_checked_fixture(small, calibrated_setup, calibrated_teardown);
  tcase_add_loop_test(small, what_was_cut_off_goes_on_and_gives_the_same, 0, 2);
  tcase_add_test(small, layers_of_other_options_are_made_again);
  tcase_add_test(small, a_full_disk_is_an_error_and_leaves_nothing);
  tcase_add_test(small, what_is_only_converted_needs_no_files);
  suite_add_tcase(suite, small);
  return suite;
}
