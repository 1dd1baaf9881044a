/* SPDX-License-Identifier: Apache-2.0 */
/* Runs on disk: entered again, cut off, damaged, of another run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "evaluator/run_directory.h"
#include "support.h"

static json_t *manifest(int seed) {
  return json_pack("{s:{s:i, s:f}, s:s}", "run", "seed", seed, "temperature",
                   0.1 + 0.2, "started", seed == 1 ? "now" : "then");
}

static int enter(struct llqi_run_directory *run, int seed) {
  json_t *json = manifest(seed);
  llqi_error_clear();
  int status = llqi_run_directory_open(run, test_path("run"), json);
  json_decref(json);
  return status;
}

static void fill(const char *text) {
  char *path = llqi_path_join(test_path("run"), "samples.jsonl");
  ck_assert_llq_ok(llqi_file_write(path, text, strlen(text)));
  llqi_free(path);
}

static int count(void *user, const json_t *line, const char *where) {
  (void)where;
  *(int *)user += (int)json_integer_value(json_object_get(line, "x"));
  return LLQ_OK;
}

START_TEST(lines_that_were_appended_are_there_again) {
  struct llqi_run_directory run;
  int sum = 0;
  ck_assert_llq_ok(enter(&run, 1));
  ck_assert_llq_ok(llqi_run_directory_load(&run, count, &sum));
  ck_assert_int_eq(sum, 0);
  const char lines[] = "{\"x\": 1}\n{\"x\": 2}\n";
  ck_assert_llq_ok(llqi_run_directory_append(&run, lines, strlen(lines)));
  ck_assert_llq_ok(llqi_run_directory_append(&run, NULL, 0));
  llqi_run_directory_close(&run);
  ck_assert_llq_ok(enter(&run, 1));
  ck_assert_llq_ok(llqi_run_directory_load(&run, count, &sum));
  ck_assert_int_eq(sum, 3);
  llqi_run_directory_close(&run);
}
END_TEST

START_TEST(a_line_that_was_cut_off_is_dropped) {
  struct llqi_run_directory run;
  static const char *const ends[] = {"{\"x\": 3", "{", "\0\0", "{\"x\": 3}"};
  for (size_t i = 0; i < 4; i++) {
    int sum = 0;
    char text[100];
    ck_assert_llq_ok(enter(&run, 1));
    snprintf(text, sizeof text, "{\"x\": 1}\n{\"x\": 2}\n%s", ends[i]);
    fill(text);
    ck_assert_llq_ok(llqi_run_directory_load(&run, count, &sum));
    ck_assert_int_eq(sum, 3);
    ck_assert_llq_ok(llqi_run_directory_append(&run, "{\"x\": 4}\n", 9));
    sum = 0;
    ck_assert_llq_ok(llqi_run_directory_load(&run, count, &sum));
    ck_assert_int_eq(sum, 7);
    llqi_run_directory_close(&run);
  }
}
END_TEST

START_TEST(a_damaged_line_is_named) {
  struct llqi_run_directory run;
  int sum = 0;
  ck_assert_llq_ok(enter(&run, 1));
  fill("{\"x\": 1}\n{\"x\": \n{\"x\": 2}\n");
  ck_assert_llq_fails(llqi_run_directory_load(&run, count, &sum),
                      LLQ_ERROR_FORMAT, "samples.jsonl:2");
  llqi_run_directory_close(&run);
}
END_TEST

START_TEST(another_run_is_refused_by_what_differs) {
  struct llqi_run_directory run;
  ck_assert_llq_ok(enter(&run, 1));
  llqi_run_directory_close(&run);
  ck_assert_llq_fails(enter(&run, 2), LLQ_ERROR_STATE,
                      "its \"seed\" is 1, not 2");
  json_t *more = manifest(1);
  json_object_set_new(json_object_get(more, "run"), "top_p", json_real(0.5));
  llqi_error_clear();
  ck_assert_llq_fails(llqi_run_directory_open(&run, test_path("run"), more),
                      LLQ_ERROR_STATE, "its \"top_p\" is absent, not 0.5");
  json_decref(more);
  ck_assert_llq_ok(enter(&run, 1));
  llqi_run_directory_close(&run);
}
END_TEST

START_TEST(samples_without_a_manifest_are_no_run) {
  struct llqi_run_directory run;
  ck_assert_llq_ok(llqi_directory_make(test_path("run")));
  fill("{}\n");
  ck_assert_llq_fails(enter(&run, 1), LLQ_ERROR_STATE, "no manifest.json");
}
END_TEST

START_TEST(two_processes_do_not_share_a_run) {
  struct llqi_run_directory run, second;
  ck_assert_llq_ok(enter(&run, 1));
  pid_t child = fork();
  if (child == 0)
    _exit(enter(&second, 1) == LLQ_ERROR_STATE ? 0 : 1);
  int status;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_int_eq(status, 0);
  llqi_run_directory_close(&run);
  ck_assert_llq_ok(enter(&run, 1));
  llqi_run_directory_close(&run);
}
END_TEST

static void remove_run(void) {
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'", test_path("run"));
  ck_assert_int_eq(system(command), 0);
}

Suite *test_suite(void) {
  Suite *suite = suite_create("run_directory");
  TCase *test = tcase_create("run_directory");
  tcase_add_checked_fixture(test, NULL, remove_run);
  tcase_add_test(test, lines_that_were_appended_are_there_again);
  tcase_add_test(test, a_line_that_was_cut_off_is_dropped);
  tcase_add_test(test, a_damaged_line_is_named);
  tcase_add_test(test, another_run_is_refused_by_what_differs);
  tcase_add_test(test, samples_without_a_manifest_are_no_run);
  tcase_add_test(test, two_processes_do_not_share_a_run);
  suite_add_tcase(suite, test);
  return suite;
}
