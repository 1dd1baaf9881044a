/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluations from a model to result.json: what they write, and that neither
   the batch nor an end at any moment changes it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "evaluating.h"
#include "support.h"

#define N_TOTAL (4 * N_SMALL_TASKS)

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

static void check_same_result(const char *a, const char *b) {
  json_t *first = read_result(a), *second = read_result(b);
  ck_assert_msg(json_equal(first, second), "%s and %s differ", a, b);
  json_decref(first);
  json_decref(second);
}

static json_int_t whole(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  ck_assert_msg(json_is_integer(value), "%s is no integer", key);
  return json_integer_value(value);
}

START_TEST(a_run_leaves_manifest_samples_and_result) {
  llq_evaluator_options options = small_evaluation("run");
  evaluate(backend, model, &options);
  json_t *result = read_result(options.directory);
  ck_assert_int_eq(whole(result, "n_tasks"), N_SMALL_TASKS);
  ck_assert_int_eq(whole(result, "n_samples"), N_TOTAL);
  json_int_t n_passed = 0;
  for (int i = 0; i < N_SMALL_TASKS; i++) {
    char task_id[20];
    snprintf(task_id, sizeof task_id, "Small/%d", i);
    for (int j = 0; j < 4; j++) {
      json_t *line = read_sample(options.directory, task_id, j);
      n_passed += json_is_true(json_object_get(line, "passed"));
      ck_assert_uint_ge(json_array_size(json_object_get(line, "ids")), 1);
      ck_assert_int_eq(whole(line, "seed"), 11);
      ck_assert(json_is_string(json_object_get(line, "completion")));
      ck_assert(json_is_string(json_object_get(line, "reason")));
      ck_assert(json_is_number(json_object_get(line, "cpu_seconds")));
      ck_assert(json_is_number(json_object_get(line, "min_margin")));
      json_decref(line);
    }
  }
  const json_t *metrics = json_object_get(result, "metrics");
  ck_assert_double_eq_tol(json_number_value(json_object_get(metrics, "pass@1")),
                          (double)n_passed / N_TOTAL, 1e-9);
  ck_assert_int_gt(n_passed, 0);
  ck_assert_int_lt(n_passed, N_TOTAL);
  json_decref(result);
}
END_TEST

START_TEST(prompt_ids_begin_with_bos_and_give_the_prompt) {
  llq_evaluator_options options = small_evaluation("run");
  options.n_tasks = 1;
  options.n_samples = 1;
  evaluate(backend, model, &options);
  json_t *line = read_sample(options.directory, "Small/0", 0);
  const json_t *ids = json_object_get(line, "prompt_ids");
  ck_assert_int_eq(json_integer_value(json_array_get(ids, 0)), 260);
  ck_assert_int_eq(json_integer_value(json_array_get(ids, 1)), 'd');
  ck_assert_str_eq(json_string_value(json_object_get(line, "prompt")),
                   "def f(x):\n    return x + 0\n# 0");
  json_decref(line);
}
END_TEST

/* NULL: the manifest has none. */
static void expect_kv_cache(const char *directory, const char *expected) {
  char path[600];
  json_t *manifest;
  snprintf(path, sizeof path, "%s/manifest.json", directory);
  ck_assert_llq_ok(llqi_json_read(path, &manifest));
  const json_t *run = json_object_get(manifest, "run");
  const char *found = json_string_value(json_object_get(run, "kv_cache"));
  ck_assert_pstr_eq(found, expected);
  json_decref(manifest);
}

START_TEST(the_manifest_says_how_keys_and_values_are_kept) {
  llq_evaluator_options plain = small_evaluation("plain");
  llq_evaluator_options coded = small_evaluation("coded");
  llq_evaluator *evaluator;
  plain.n_tasks = coded.n_tasks = 1;
  coded.kv_cache = "fp8";
  evaluate(backend, model, &plain);
  evaluate(backend, model, &coded);
  expect_kv_cache(plain.directory, NULL);
  expect_kv_cache(coded.directory, "fp8");
  coded.kv_cache = NULL; /* another run, not this one's continuation */
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &coded),
                      LLQ_ERROR_STATE, "");
  coded.kv_cache = "int8";
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &coded),
                      LLQ_ERROR_ARGUMENT, "has no scales for it");
}
END_TEST

START_TEST(results_do_not_depend_on_the_batch) {
  llq_evaluator_options one = small_evaluation("one");
  llq_evaluator_options many = small_evaluation("many");
  one.n_sequences = 1;
  many.n_sequences = 7;
  evaluate(backend, model, &one);
  evaluate(backend, model, &many);
  check_same_result(one.directory, many.directory);
  for (int j = 0; j < 4; j++) {
    json_t *a = read_sample(one.directory, "Small/3", j);
    json_t *b = read_sample(many.directory, "Small/3", j);
    ck_assert(json_equal(json_object_get(a, "ids"), json_object_get(b, "ids")));
    json_decref(a);
    json_decref(b);
  }
}
END_TEST

START_TEST(an_evaluation_can_be_left_at_any_step) {
  llq_evaluator_options options = small_evaluation("left");
  llq_evaluator_options straight = small_evaluation("straight");
  llq_progress progress = LLQ_PROGRESS_INIT;
  llq_evaluator *evaluator;
  const char *json;
  int status = LLQ_MORE;
  uint64_t done = 0;
  for (int n_steps = 1; status == LLQ_MORE; n_steps += 5) {
    ck_assert_llq_ok(llq_evaluator_open(&evaluator, backend, model, &options));
    for (int i = 0; i < n_steps && status == LLQ_MORE; i++)
      status = llq_evaluator_step(evaluator, &progress);
    ck_assert_uint_ge(progress.done, done);
    done = progress.done;
    ck_assert_int_eq(llq_evaluator_result(evaluator, &json),
                     status == LLQ_OK ? LLQ_OK : LLQ_ERROR_STATE);
    llq_evaluator_close(evaluator);
  }
  ck_assert_llq_ok(status);
  ck_assert_uint_eq(progress.done, progress.total);
  evaluate(backend, model, &straight);
  check_same_result(options.directory, straight.directory);
}
END_TEST

/* Evaluates in a process of its own: it shares no threads with this one. */
static pid_t start(const char *name) {
  fflush(stdout);
  pid_t child = fork();
  if (child != 0)
    return child;
  llq_backend *own_backend;
  llq_backend_options backend_options = LLQ_BACKEND_OPTIONS_INIT;
  backend_options.n_threads = 1;
  llq_evaluator *evaluator;
  llq_evaluator_options options = small_evaluation(name);
  if (llq_backend_open(&own_backend, "cpu", &backend_options) < 0)
    _exit(2);
  llq_model *own_model = writing_model();
  if (llq_evaluator_open(&evaluator, own_backend, own_model, &options) < 0) {
    fprintf(stderr, "# %s\n", llq_error_message());
    _exit(3);
  }
  _exit(llq_evaluator_run(evaluator) == LLQ_OK ? 0 : 4);
}

/* How the child ended: its exit status, or -1 if it was killed. */
static int wait_for(pid_t child) {
  int status;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

START_TEST(a_run_that_is_killed_at_any_moment_gives_the_same_result) {
  double begin = now();
  ck_assert_int_eq(wait_for(start("whole")), 0);
  double whole = now() - begin;
  int n_killed = 0, status = -1;
  for (int i = 0; status != 0; i++) {
    pid_t child = start("killed");
    double delay = whole * (0.3 + 0.1 * i) * llqi_uniform(5, 0, (uint64_t)i);
    usleep((useconds_t)(1e6 * delay));
    kill(child, SIGKILL);
    status = wait_for(child);
    ck_assert_msg(status <= 0, "the evaluation failed with %d", status);
    n_killed += status < 0;
  }
  printf("# killed %d times\n", n_killed);
  ck_assert_int_gt(n_killed, 2);
  check_same_result(test_path("whole"), test_path("killed"));
}
END_TEST

START_TEST(a_directory_of_another_run_is_refused) {
  llq_evaluator_options options = small_evaluation("run");
  llq_evaluator *evaluator;
  evaluate(backend, model, &options);
  options.seed = 12;
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &options),
                      LLQ_ERROR_STATE, "its \"seed\" is 11, not 12");
  ck_assert_ptr_null(evaluator);
  options.seed = 11;
  options.protocol = "evalplus";
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &options),
                      LLQ_ERROR_STATE, "\"protocol\"");
}
END_TEST

START_TEST(post_processing_keeps_both_verdicts) {
  llq_evaluator_options options = small_evaluation("run");
  options.protocol = "evalplus";
  evaluate(backend, model, &options);
  json_t *result = read_result(options.directory);
  const json_t *metrics = json_object_get(result, "metrics");
  ck_assert(json_is_number(json_object_get(metrics, "pass@1_raw")));
  json_t *line = read_sample(options.directory, "Small/1", 0);
  ck_assert(json_is_object(json_object_get(line, "raw")));
  ck_assert_str_eq(json_string_value(json_object_get(line, "prompt")),
                   "def f(x):\n    return x + 1\n# 1\n");
  ck_assert_ptr_nonnull(strstr(
      json_string_value(json_object_get(line, "solution")), "return x + 1"));
  json_decref(line);
  json_decref(result);
}
END_TEST

START_TEST(a_prompt_longer_than_the_context_fails_its_task_alone) {
  llq_evaluator_options options = small_evaluation("run");
  options.n_samples = 2;
  options.n_context = 20;
  evaluate(backend, model, &options);
  json_t *line = read_sample(options.directory, "Small/5", 1);
  ck_assert_str_eq(json_string_value(json_object_get(line, "stop")), "context");
  json_decref(line);
}
END_TEST

static int evaluate_short_of_memory(const llq_evaluator_options *options,
                                    long n) {
  llq_evaluator *evaluator;
  llqi_alloc_fail_at(n, 0);
  int status = llq_evaluator_open(&evaluator, backend, model, options);
  if (status == LLQ_OK)
    status = llq_evaluator_run(evaluator);
  llqi_alloc_fail_at(0, 0);
  llq_evaluator_close(evaluator);
  return status;
}

START_TEST(memory_that_runs_out_at_any_point_spoils_nothing) {
  llq_evaluator_options options = small_evaluation("short");
  llq_evaluator_options enough = small_evaluation("enough");
  options.n_samples = enough.n_samples = 2;
  int status = LLQ_ERROR_MEMORY;
  for (long n = 1; status != LLQ_OK; n += 1 + n / 12) {
    status = evaluate_short_of_memory(&options, n);
    ck_assert_msg(status == LLQ_OK || status == LLQ_ERROR_MEMORY,
                  "allocation %ld: %s: %s", n, llq_status_name(status),
                  llq_error_message());
  }
  evaluate(backend, model, &enough);
  check_same_result(options.directory, enough.directory);
}
END_TEST

START_TEST(wrong_options_are_named) {
  llq_evaluator_options options = small_evaluation("run");
  llq_evaluator *evaluator;
  options.top_p = 2;
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &options),
                      LLQ_ERROR_ARGUMENT, "top_p is 2");
  options = small_evaluation("run");
  options.sandbox = "none";
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &options),
                      LLQ_ERROR_ARGUMENT, "sandbox \"none\"");
  options = small_evaluation("run");
  options.task = test_path("absent.jsonl");
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &options),
                      LLQ_ERROR_IO, "absent.jsonl");
  options = small_evaluation("no/such/place");
  ck_assert_llq_fails(llq_evaluator_open(&evaluator, backend, model, &options),
                      LLQ_ERROR_IO, "no/such/place");
}
END_TEST

static void remove_runs(void) {
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'/*", test_directory());
  ck_assert_int_eq(system(command), 0);
}

Suite *test_suite(void) {
  Suite *suite = suite_create("evaluator");
  TCase *test = tcase_create("evaluator");
  tcase_add_checked_fixture(test, set_up, tear_down);
  tcase_add_checked_fixture(test, NULL, remove_runs);
  tcase_set_timeout(test, 120);
  tcase_add_test(test, a_run_leaves_manifest_samples_and_result);
  tcase_add_test(test, the_manifest_says_how_keys_and_values_are_kept);
  tcase_add_test(test, prompt_ids_begin_with_bos_and_give_the_prompt);
  tcase_add_test(test, results_do_not_depend_on_the_batch);
  tcase_add_test(test, an_evaluation_can_be_left_at_any_step);
  tcase_add_test(test, a_directory_of_another_run_is_refused);
  tcase_add_test(test, post_processing_keeps_both_verdicts);
  tcase_add_test(test, a_prompt_longer_than_the_context_fails_its_task_alone);
  tcase_add_test(test, memory_that_runs_out_at_any_point_spoils_nothing);
  tcase_add_test(test, wrong_options_are_named);
  suite_add_tcase(suite, test);
  TCase *killed = tcase_create("killed");
  tcase_add_checked_fixture(killed, NULL, remove_runs);
  tcase_set_timeout(killed, 300);
  tcase_add_test(killed,
                 a_run_that_is_killed_at_any_moment_gives_the_same_result);
  suite_add_tcase(suite, killed);
  return suite;
}
