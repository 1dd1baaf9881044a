/* SPDX-License-Identifier: Apache-2.0 */
/* Scoring programs that exist already: samples files of human-eval and of
   EvalPlus. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "evaluating.h"
#include "evaluator/samples.h"
#include "support.h"

static const char tasks_text[] =
    "{\"task_id\": \"T/0\", \"entry_point\": \"f\", \"prompt\": "
    "\"def f(x):\\n\", \"test\": \"def check(candidate):\\n"
    "    assert candidate(1) == 2\\n\"}\n"
    "{\"task_id\": \"T/1\", \"entry_point\": \"g\", \"prompt\": "
    "\"def g(x):\\n\", \"test\": \"def check(candidate):\\n"
    "    assert candidate(1) == 1\\n\"}\n";

static const char samples_text[] =
    "{\"task_id\": \"T/0\", \"completion\": \"    return x + 1\\n\"}\n"
    "\n"
    "{\"task_id\": \"T/1\", \"solution\": \"def g(x):\\n    return x\\n\"}\r\n"
    "{\"task_id\": \"T/0\", \"completion\": \"    return x\\n\", \"n\": 1}\n"
    "{\"task_id\": \"T/1\", \"completion\": \"    return 1\\u0000\\n\"}\n"
    "{\"task_id\": \"T/1\", \"completion\": \"    return 0\", "
    "\"solution\": \"def g(x): return 1\"}";

static const char *write_text(const char *name, const char *text) {
  static char paths[4][600];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s", test_path(name));
  ck_assert_llq_ok(llqi_file_write(path, text, strlen(text)));
  return path;
}

static int score(const char *tasks, const char *samples, int32_t n_tasks,
                 const char *directory) {
  llq_evaluator_options options = LLQ_EVALUATOR_OPTIONS_INIT;
  llq_evaluator *evaluator;
  options.task = tasks;
  options.samples = samples;
  options.directory = directory;
  options.n_tasks = n_tasks;
  options.n_workers = 2;
  int status = llq_evaluator_open_samples(&evaluator, &options);
  if (status == LLQ_OK)
    status = llq_evaluator_run(evaluator);
  llq_evaluator_close(evaluator);
  return status;
}

static int verdict_of(const char *directory, const char *task_id, int sample) {
  json_t *line = read_sample(directory, task_id, sample);
  int passed = json_is_true(json_object_get(line, "passed"));
  json_decref(line);
  return passed;
}

static void check_run(const char *directory) {
  ck_assert_int_eq(verdict_of(directory, "T/0", 0), 1);
  ck_assert_int_eq(verdict_of(directory, "T/0", 1), 0);
  ck_assert_int_eq(verdict_of(directory, "T/1", 0), 1);
  ck_assert_int_eq(verdict_of(directory, "T/1", 1), 0);
  ck_assert_int_eq(verdict_of(directory, "T/1", 2), 1);
  json_t *result = read_result(directory);
  const json_t *metrics = json_object_get(result, "metrics");
  ck_assert_double_eq_tol(json_number_value(json_object_get(metrics, "pass@1")),
                          (1.0 / 2 + 2.0 / 3) / 2, 1e-9);
  json_decref(result);
}

START_TEST(completions_and_solutions_are_scored) {
  char directory[600];
  snprintf(directory, sizeof directory, "%s", test_path("run"));
  const char *tasks = write_text("tasks.jsonl", tasks_text);
  const char *samples = write_text("samples.jsonl", samples_text);
  ck_assert_llq_ok(score(tasks, samples, 0, directory));
  check_run(directory);
  /* Once more: all is there already. */
  ck_assert_llq_ok(score(tasks, samples, 0, directory));
  check_run(directory);
}
END_TEST

START_TEST(compressed_files_are_read) {
  char directory[600], command[1300];
  snprintf(directory, sizeof directory, "%s", test_path("run"));
  const char *tasks = write_text("tasks.jsonl", tasks_text);
  const char *samples = write_text("samples.jsonl", samples_text);
  snprintf(command, sizeof command, "gzip -f '%s' '%s'", tasks, samples);
  ck_assert_int_eq(system(command), 0);
  char packed_tasks[610], packed_samples[610];
  snprintf(packed_tasks, sizeof packed_tasks, "%s.gz", tasks);
  snprintf(packed_samples, sizeof packed_samples, "%s.gz", samples);
  ck_assert_llq_ok(score(packed_tasks, packed_samples, 0, directory));
  check_run(directory);
}
END_TEST

START_TEST(programs_of_tasks_beyond_the_limit_are_left_out) {
  char directory[600];
  snprintf(directory, sizeof directory, "%s", test_path("run"));
  ck_assert_llq_ok(score(write_text("tasks.jsonl", tasks_text),
                         write_text("samples.jsonl", samples_text), 1,
                         directory));
  json_t *result = read_result(directory);
  ck_assert_int_eq(json_integer_value(json_object_get(result, "n_samples")), 2);
  json_decref(result);
}
END_TEST

static void check_refused(const char *samples, const char *message) {
  ck_assert_llq_fails(score(write_text("tasks.jsonl", tasks_text),
                            write_text("samples.jsonl", samples), 0,
                            test_path("run")),
                      LLQ_ERROR_FORMAT, message);
}

START_TEST(a_wrong_samples_file_is_refused_by_its_line) {
  check_refused("{\"task_id\": \"T/0\", \"completion\": \"\"}\n",
                "no program for task T/1");
  check_refused("{\"task_id\": \"T/9\", \"completion\": \"\"}\n",
                "samples.jsonl:1: no task T/9");
  check_refused("\n{\"task_id\": \"T/0\"}\n",
                "samples.jsonl:2: neither \"completion\" nor \"solution\"");
  check_refused("{\"task_id\": \"T/0\", \"completion\": 3}\n",
                "\"completion\" is not a string");
  check_refused("{\"task_id\": \"T/0\", \"completion\": \"\"\n",
                "samples.jsonl:1: line 1");
}
END_TEST

START_TEST(all_canonical_solutions_of_humaneval_pass) {
  const char *packed = test_data("HumanEval.jsonl.gz");
  if (packed == NULL)
    return;
  char tasks[1024], directory[600], *text;
  size_t n;
  snprintf(tasks, sizeof tasks, "%s", packed);
  snprintf(directory, sizeof directory, "%s", test_path("run"));
  ck_assert_llq_ok(llqi_file_read_gzip(tasks, 1 << 24, &text, &n));
  FILE *file = fopen(test_path("samples.jsonl"), "w");
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    json_t *task;
    ck_assert_llq_ok(llqi_json_parse("task", line, strlen(line), &task));
    json_object_set(task, "completion",
                    json_object_get(task, "canonical_solution"));
    char *sample = json_dumps(task, JSON_COMPACT);
    fprintf(file, "%s\n", sample);
    free(sample);
    json_decref(task);
  }
  fclose(file);
  llqi_free(text);
  ck_assert_llq_ok(score(tasks, test_path("samples.jsonl"), 0, directory));
  json_t *result = read_result(directory);
  const json_t *verdicts = json_object_get(result, "verdicts");
  ck_assert_int_eq(json_integer_value(json_object_get(verdicts, "passed")),
                   164);
  json_decref(result);
}
END_TEST

START_TEST(a_line_says_what_the_summary_needs) {
  const struct llqi_verdict verdict = {.reason = LLQI_REASON_WRONG_ANSWER,
                                       .text = "wrong answer: 3",
                                       .cpu_seconds = 0.25,
                                       .n_runs = 1};
  const struct llqi_verdict raw = {.passed = 1, .text = "passed"};
  const int32_t ids[] = {1, 2, 3};
  const struct llqi_sample sample = {.task_id = "T/7",
                                     .sample = 4,
                                     .completion = "a\xff\0b",
                                     .n_bytes = 4,
                                     .solution = "x",
                                     .verdict = &verdict,
                                     .raw = &raw,
                                     .generated = 1,
                                     .seed = 9,
                                     .prompt = "p",
                                     .ids = ids,
                                     .n_ids = 3,
                                     .stop = "string",
                                     .min_margin = 0.5,
                                     .seconds = 2};
  struct llqi_text line = {0};
  struct llqi_outcome outcome;
  const char *task_id;
  json_t *json;
  ck_assert_llq_ok(llqi_sample_write(&sample, &line));
  ck_assert_int_eq(line.data[line.length - 1], '\n');
  ck_assert_llq_ok(llqi_json_parse("line", line.data, line.length, &json));
  ck_assert_llq_ok(llqi_sample_read(json, "line", &outcome, &task_id));
  ck_assert_str_eq(task_id, "T/7");
  ck_assert_uint_eq(outcome.sample, 4);
  ck_assert_int_eq(outcome.passed, 0);
  ck_assert_int_eq(outcome.passed_raw, 1);
  ck_assert_int_eq(outcome.passed_base, -1);
  ck_assert_str_eq(outcome.verdict, "wrong answer");
  ck_assert_str_eq(outcome.stop, "string");
  ck_assert_uint_eq(outcome.n_tokens, 3);
  ck_assert_double_eq(outcome.cpu_seconds, 0.25);
  ck_assert_double_eq(outcome.min_margin, 0.5);
  const json_t *completion = json_object_get(json, "completion");
  ck_assert_uint_eq(json_string_length(completion), 6);
  ck_assert_mem_eq(json_string_value(completion), "a\xef\xbf\xbd\0b", 6);
  json_decref(json);
  llqi_text_free(&line);
}
END_TEST

static void remove_runs(void) {
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'/*", test_directory());
  ck_assert_int_eq(system(command), 0);
}

Suite *test_suite(void) {
  Suite *suite = suite_create("score");
  TCase *test = tcase_create("score");
  tcase_add_checked_fixture(test, NULL, remove_runs);
  tcase_set_timeout(test, 120);
  tcase_add_test(test, completions_and_solutions_are_scored);
  tcase_add_test(test, compressed_files_are_read);
  tcase_add_test(test, programs_of_tasks_beyond_the_limit_are_left_out);
  tcase_add_test(test, a_wrong_samples_file_is_refused_by_its_line);
  tcase_add_test(test, all_canonical_solutions_of_humaneval_pass);
  tcase_add_test(test, a_line_says_what_the_summary_needs);
  suite_add_tcase(suite, test);
  return suite;
}
