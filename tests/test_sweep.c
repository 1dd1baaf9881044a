/* SPDX-License-Identifier: Apache-2.0 */
/* Sweeps: a row for each format, taken up where they were left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llq/sweep.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "evaluating.h"
#include "support.h"
#include "sweep/formats.h"

static llq_backend *backend;
static llq_model *model;

static void set_up(void) {
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu", NULL));
  model = writing_model();
}

static void tear_down(void) {
  llq_model_close(model);
  llq_backend_close(backend);
}

static llq_sweep *open_sweep(const llq_evaluator_options *evaluation) {
  llq_sweep_options options = LLQ_SWEEP_OPTIONS_INIT;
  llq_sweep *sweep;
  options.schemes = "bf16,w8a8-int,w4a16-int";
  options.group_size = 32;
  options.evaluation = evaluation;
  ck_assert_llq_ok(llq_sweep_open(&sweep, backend, model, &options));
  return sweep;
}

static json_t *read_sweep(const char *directory) {
  json_t *sweep;
  char *path = llqi_path_join(directory, "sweep.json");
  ck_assert_llq_ok(llqi_json_read(path, &sweep));
  llqi_free(path);
  return sweep;
}

START_TEST(schemes_and_methods_make_formats) {
  struct llqi_formats formats;
  ck_assert_llq_ok(
      llqi_formats_make(&formats, "bf16,w8a8-fp,w4a16-int", "rtn,gptq"));
  static const char *const names[] = {"bf16", "w8a8-fp-rtn", "w8a8-fp-gptq",
                                      "w4a16-int-rtn", "w4a16-int-gptq"};
  ck_assert_uint_eq(formats.n, 5);
  for (size_t i = 0; i < 5; i++)
    ck_assert_str_eq(formats.items[i].name, names[i]);
  ck_assert_str_eq(formats.items[0].method, "");
  llqi_formats_free(&formats);
  static const char *const wrong[] = {"", ",", "bf16,bf16", "../x",
                                      "bf16,,w8a8-fp"};
  for (size_t i = 0; i < 5; i++) {
    llqi_error_clear();
    ck_assert_int_eq(llqi_formats_make(&formats, wrong[i], "rtn"),
                     LLQ_ERROR_ARGUMENT);
  }
}
END_TEST

START_TEST(each_format_has_a_row_and_a_run) {
  llq_evaluator_options evaluation = small_evaluation("sweep");
  llq_sweep *sweep = open_sweep(&evaluation);
  ck_assert_llq_ok(llq_sweep_run(sweep));
  llq_sweep_close(sweep);
  json_t *table = read_sweep(evaluation.directory);
  const json_t *rows = json_object_get(table, "rows");
  ck_assert_uint_eq(json_array_size(rows), 3);
  json_int_t bytes = INT64_MAX;
  for (size_t i = 0; i < 3; i++) {
    const json_t *row = json_array_get(rows, i);
    json_int_t own = json_integer_value(json_object_get(row, "weight_bytes"));
    ck_assert_int_lt(own, bytes);
    bytes = own;
    ck_assert(json_is_number(json_object_get(row, "pass@1")));
    ck_assert(json_is_number(json_object_get(row, "tokens_per_second")));
    const json_t *comparison = json_object_get(row, "comparison");
    ck_assert_int_eq(json_is_null(comparison), i == 0);
    if (i > 0)
      ck_assert(json_is_number(json_object_get(comparison, "p")));
    char run[700];
    snprintf(run, sizeof run, "%s/%s", evaluation.directory,
             json_string_value(json_object_get(row, "directory")));
    json_decref(read_result(run));
  }
  json_decref(table);
}
END_TEST

/* What of a sweep does not depend on time. */
static json_t *timeless(const char *directory) {
  json_t *table = read_sweep(directory);
  size_t i;
  json_t *row;
  json_array_foreach(json_object_get(table, "rows"), i, row)
      json_object_del(row, "tokens_per_second");
  return table;
}

START_TEST(a_sweep_that_was_left_goes_on) {
  llq_evaluator_options left = small_evaluation("left");
  llq_evaluator_options straight = small_evaluation("straight");
  int status = LLQ_MORE, n_opened = 0;
  uint64_t done = 0;
  while (status == LLQ_MORE) {
    llq_progress progress = LLQ_PROGRESS_INIT;
    llq_sweep *sweep = open_sweep(&left);
    for (int i = 0; i < 50 * (n_opened + 1) && status == LLQ_MORE; i++)
      status = llq_sweep_step(sweep, &progress);
    ck_assert_uint_ge(progress.done, done);
    done = progress.done;
    llq_sweep_close(sweep);
    n_opened++;
  }
  ck_assert_llq_ok(status);
  ck_assert_int_gt(n_opened, 2);
  llq_sweep *sweep = open_sweep(&straight);
  ck_assert_llq_ok(llq_sweep_run(sweep));
  llq_sweep_close(sweep);
  json_t *a = timeless(left.directory), *b = timeless(straight.directory);
  ck_assert(json_equal(a, b));
  json_decref(a);
  json_decref(b);
}
END_TEST

START_TEST(a_sweep_of_something_else_is_refused) {
  llq_evaluator_options evaluation = small_evaluation("sweep");
  llq_sweep *sweep = open_sweep(&evaluation);
  llq_sweep_close(sweep);
  llq_sweep_options options = LLQ_SWEEP_OPTIONS_INIT;
  options.schemes = "bf16,w8a8-int,w4a16-int";
  options.evaluation = &evaluation;
  ck_assert_llq_fails(llq_sweep_open(&sweep, backend, model, &options),
                      LLQ_ERROR_STATE, "its \"sweep_group_size\" is 32");
  options.group_size = 32;
  evaluation.seed = 3;
  ck_assert_llq_fails(llq_sweep_open(&sweep, backend, model, &options),
                      LLQ_ERROR_STATE, "its \"seed\" is 11");
}
END_TEST

START_TEST(a_scheme_that_does_not_exist_is_named) {
  llq_evaluator_options evaluation = small_evaluation("sweep");
  llq_sweep_options options = LLQ_SWEEP_OPTIONS_INIT;
  options.schemes = "w3a16-int";
  options.evaluation = &evaluation;
  llq_sweep *sweep;
  ck_assert_llq_ok(llq_sweep_open(&sweep, backend, model, &options));
  ck_assert_llq_fails(llq_sweep_run(sweep), LLQ_ERROR_ARGUMENT, "w3a16-int");
  llq_sweep_close(sweep);
}
END_TEST

static void remove_runs(void) {
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'/*", test_directory());
  ck_assert_int_eq(system(command), 0);
}

Suite *test_suite(void) {
  Suite *suite = suite_create("sweep");
  TCase *test = tcase_create("sweep");
  tcase_add_checked_fixture(test, set_up, tear_down);
  tcase_add_checked_fixture(test, NULL, remove_runs);
  tcase_set_timeout(test, 120);
  tcase_add_test(test, schemes_and_methods_make_formats);
  tcase_add_test(test, each_format_has_a_row_and_a_run);
  tcase_add_test(test, a_sweep_that_was_left_goes_on);
  tcase_add_test(test, a_sweep_of_something_else_is_refused);
  tcase_add_test(test, a_scheme_that_does_not_exist_is_named);
  suite_add_tcase(suite, test);
  return suite;
}
