/* SPDX-License-Identifier: Apache-2.0 */
/* Summaries of samples, and the comparison of two finished runs. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <llq/evaluator.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "evaluator/metrics.h"
#include "support.h"

#define N_TASKS 40

static char names[N_TASKS][32];
static const char *task_ids[N_TASKS];

static void make_names(void) {
  for (int i = 0; i < N_TASKS; i++) {
    snprintf(names[i], sizeof names[i], "Task/%d", i);
    task_ids[i] = names[i];
  }
}

/* A result in which sample j of task i passes when pass(i, j). */
static json_t *summarize(int n_samples, int (*pass)(int, int), int raw) {
  struct llqi_outcomes outcomes = {0};
  make_names();
  for (int i = 0; i < N_TASKS; i++) {
    for (int j = 0; j < n_samples; j++) {
      struct llqi_outcome outcome = {.task = (uint32_t)i,
                                     .sample = (uint32_t)j,
                                     .passed = pass(i, j),
                                     .passed_raw = raw,
                                     .passed_base = -1,
                                     .n_tokens = 10,
                                     .seconds = 0.5,
                                     .cpu_seconds = 0.1,
                                     .min_margin = i == 0 ? INFINITY : i};
      strcpy(outcome.verdict, outcome.passed ? "passed" : "failed");
      strcpy(outcome.stop, "end");
      ck_assert_llq_ok(llqi_outcomes_add(&outcomes, &outcome));
    }
  }
  json_t *result = json_object();
  ck_assert_llq_ok(
      llqi_metrics_summarize(&outcomes, task_ids, N_TASKS, result));
  llqi_outcomes_free(&outcomes);
  return result;
}

static void write_run(const char *name, const json_t *result) {
  ck_assert_llq_ok(llqi_directory_make(test_path(name)));
  char *path = llqi_path_join(test_path(name), "result.json");
  ck_assert_llq_ok(llqi_json_write(path, result));
  llqi_free(path);
}

static json_t *compare(const char *a, const char *b) {
  char *text;
  json_t *json;
  ck_assert_llq_ok(llq_compare(test_path(a), test_path(b), &text));
  ck_assert_llq_ok(llqi_json_parse("comparison", text, strlen(text), &json));
  llq_free(text);
  return json;
}

static double number(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  ck_assert_msg(json_is_number(value), "%s is no number", key);
  return json_number_value(value);
}

static int three_of_four(int task, int sample) {
  (void)sample;
  return task % 4 != 0;
}

/* Loses tasks 1..8 that three_of_four passes, and gains task 0. */
static int worse(int task, int sample) {
  return task == 0 || (task > 8 && three_of_four(task, sample));
}

static int by_sample(int task, int sample) {
  return sample < task % 5;
}

static int by_sample_less_one(int task, int sample) {
  return sample < task % 5 - 1;
}

START_TEST(one_sample_a_task_gives_a_proportion) {
  json_t *result = summarize(1, three_of_four, -1);
  const json_t *metrics = json_object_get(result, "metrics");
  ck_assert_double_eq(number(metrics, "pass@1"), 0.75);
  const json_t *interval = json_object_get(metrics, "pass@1_ci95");
  ck_assert_double_eq_tol(json_number_value(json_array_get(interval, 0)),
                          0.5980603858, 1e-9);
  ck_assert_ptr_null(json_object_get(metrics, "pass@2"));
  ck_assert_ptr_null(json_object_get(metrics, "pass@1_raw"));
  const json_t *verdicts = json_object_get(result, "verdicts");
  ck_assert_int_eq(json_integer_value(json_object_get(verdicts, "passed")), 30);
  ck_assert_int_eq(json_integer_value(json_object_get(verdicts, "failed")), 10);
  const json_t *performance = json_object_get(result, "performance");
  ck_assert_double_eq(number(performance, "tokens_per_second"), 20);
  const json_t *per_task = json_object_get(result, "per_task");
  const json_t *first = json_object_get(per_task, "Task/0");
  ck_assert(json_is_null(json_object_get(first, "min_margin")));
  json_decref(result);
}
END_TEST

START_TEST(several_samples_a_task_give_pass_at_each_k) {
  json_t *result = summarize(5, by_sample, 1);
  const json_t *metrics = json_object_get(result, "metrics");
  ck_assert_double_eq_tol(number(metrics, "pass@1"), 0.4, 1e-12);
  /* Tasks with 0, 1, 2, 3, 4 of 5: 1 - C(n - c, 2) / 10. */
  ck_assert_double_eq_tol(number(metrics, "pass@2"),
                          (0 + 0.4 + 0.7 + 0.9 + 1) / 5, 1e-12);
  ck_assert_double_eq_tol(number(metrics, "pass@5"), 0.8, 1e-12);
  ck_assert_ptr_null(json_object_get(metrics, "pass@10"));
  ck_assert_double_eq(number(metrics, "pass@1_raw"), 1);
  json_decref(result);
}
END_TEST

START_TEST(flips_are_named_and_tested_exactly) {
  json_t *a = summarize(1, three_of_four, -1), *b = summarize(1, worse, -1);
  write_run("a", a);
  write_run("b", b);
  json_t *comparison = compare("a", "b");
  ck_assert_str_eq(json_string_value(json_object_get(comparison, "test")),
                   "mcnemar-exact");
  const json_t *flips = json_object_get(comparison, "flips");
  const json_t *gained = json_object_get(flips, "gained");
  ck_assert_uint_eq(json_array_size(json_object_get(flips, "lost")), 6);
  ck_assert_uint_eq(json_array_size(gained), 1);
  ck_assert_str_eq(json_string_value(json_array_get(gained, 0)), "Task/0");
  ck_assert_double_eq_tol(number(comparison, "difference"), -5.0 / 40, 1e-9);
  ck_assert_double_eq_tol(number(comparison, "p"), 16.0 / 128, 1e-9);
  ck_assert_double_eq_tol(number(comparison, "recovery_percent"),
                          100 * 25.0 / 30, 1e-6);
  ck_assert_double_ge(number(comparison, "detectable_difference"), 6.0 / 40);
  json_decref(comparison);
  json_decref(a);
  json_decref(b);
}
END_TEST

START_TEST(several_samples_are_compared_by_paired_bootstrap) {
  json_t *a = summarize(5, by_sample, -1);
  json_t *b = summarize(5, by_sample_less_one, -1);
  write_run("a", a);
  write_run("b", b);
  json_t *comparison = compare("a", "b");
  ck_assert_str_eq(json_string_value(json_object_get(comparison, "test")),
                   "paired-bootstrap");
  ck_assert_double_eq_tol(number(comparison, "difference"), -0.16, 1e-9);
  ck_assert_double_lt(number(comparison, "p"), 0.001);
  const json_t *interval = json_object_get(comparison, "difference_ci95");
  ck_assert_double_lt(json_number_value(json_array_get(interval, 1)), 0);
  /* Tasks that fall from 3 of 5 to 2 of 5: no longer most of them. */
  const json_t *flips = json_object_get(comparison, "flips");
  ck_assert_uint_eq(json_array_size(json_object_get(flips, "lost")), 8);
  json_decref(comparison);
  json_decref(a);
  json_decref(b);
}
END_TEST

static int never(int task, int sample) {
  (void)task, (void)sample;
  return 0;
}

START_TEST(recovery_of_nothing_is_null) {
  json_t *a = summarize(1, never, -1);
  write_run("a", a);
  json_t *comparison = compare("a", "a");
  ck_assert(json_is_null(json_object_get(comparison, "recovery_percent")));
  ck_assert_double_eq(number(comparison, "p"), 1);
  json_decref(comparison);
  json_decref(a);
}
END_TEST

START_TEST(runs_of_other_tasks_are_refused) {
  char *text;
  json_t *a = summarize(1, three_of_four, -1);
  write_run("a", a);
  json_object_del(json_object_get(a, "per_task"), "Task/7");
  write_run("b", a);
  ck_assert_llq_fails(llq_compare(test_path("a"), test_path("b"), &text),
                      LLQ_ERROR_ARGUMENT, "only one has Task/7");
  ck_assert_llq_fails(llq_compare(test_path("b"), test_path("a"), &text),
                      LLQ_ERROR_ARGUMENT, "only one has Task/7");
  json_object_set_new(a, "task_sha256", json_string("aaaa"));
  write_run("b", a);
  json_object_set_new(a, "task_sha256", json_string("bbbb"));
  write_run("a", a);
  ck_assert_llq_fails(llq_compare(test_path("a"), test_path("b"), &text),
                      LLQ_ERROR_ARGUMENT, "task sets differ");
  json_decref(a);
}
END_TEST

START_TEST(what_is_no_finished_run_is_refused) {
  char *text;
  ck_assert_llq_fails(llq_compare(test_path("none"), test_path("a"), &text),
                      LLQ_ERROR_IO, "none/result.json");
  ck_assert_llq_ok(llqi_directory_make(test_path("c")));
  char *path = llqi_path_join(test_path("c"), "result.json");
  ck_assert_llq_ok(llqi_file_write(path, "{}", 2));
  ck_assert_llq_fails(llq_compare(test_path("c"), test_path("c"), &text),
                      LLQ_ERROR_FORMAT, "per_task");
  const char *impossible = "{\"per_task\": {\"T\": {\"n\": 1, \"passed\": 2}}}";
  ck_assert_llq_ok(llqi_file_write(path, impossible, strlen(impossible)));
  ck_assert_llq_fails(llq_compare(test_path("c"), test_path("c"), &text),
                      LLQ_ERROR_FORMAT, "\"passed\" is 2");
  llqi_free(path);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("compare");
  TCase *test = tcase_create("compare");
  tcase_add_test(test, one_sample_a_task_gives_a_proportion);
  tcase_add_test(test, several_samples_a_task_give_pass_at_each_k);
  tcase_add_test(test, flips_are_named_and_tested_exactly);
  tcase_add_test(test, several_samples_are_compared_by_paired_bootstrap);
  tcase_add_test(test, recovery_of_nothing_is_null);
  tcase_add_test(test, runs_of_other_tasks_are_refused);
  tcase_add_test(test, what_is_no_finished_run_is_refused);
  suite_add_tcase(suite, test);
  return suite;
}
