/* SPDX-License-Identifier: Apache-2.0 */
/* Task sets: HumanEval's and HumanEval+'s files, and damaged ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "evaluator/skim.h"
#include "evaluator/tasks.h"
#include "support.h"

#define TASK(id)                                                               \
  "{\"task_id\": \"" id "\", \"prompt\": \"def f(x):\\n\", "                   \
  "\"entry_point\": \"f\", \"test\": \"def check(c): pass\"}\n"

static struct llqi_task_set *set;

static void teardown(void) {
  llqi_task_set_close(set);
  set = NULL;
}

static int open_text(const char *text) {
  const char *path = test_path("tasks.jsonl");
  ck_assert_llq_ok(llqi_file_write(path, text, strlen(text)));
  llqi_error_clear();
  return llqi_task_set_open(&set, path, 0);
}

START_TEST(humaneval_has_its_164_tasks) {
  const char *path = test_data("HumanEval.jsonl.gz");
  if (path == NULL)
    return;
  ck_assert_llq_ok(llqi_task_set_open(&set, path, 0));
  ck_assert_uint_eq(set->n_tasks, 164);
  const struct llqi_task *task = llqi_task_find(set, "HumanEval/38");
  ck_assert_ptr_nonnull(task);
  ck_assert_str_eq(task->entry_point, "decode_cyclic");
  ck_assert_ptr_nonnull(strstr(task->prompt, "def encode_cyclic"));
  ck_assert_ptr_null(task->plus_input);
  ck_assert_uint_eq(strlen(set->hash), 64);
}
END_TEST

START_TEST(humaneval_plus_keeps_its_inputs_as_text) {
  const char *path = test_data("HumanEvalPlus.jsonl.gz");
  if (path == NULL)
    return;
  ck_assert_llq_ok(llqi_task_set_open(&set, path, 0));
  ck_assert_uint_eq(set->n_tasks, 164);
  ck_assert_double_eq(llqi_task_find(set, "HumanEval/32")->atol, 1e-4);
  const struct llqi_task *task = llqi_task_find(set, "HumanEval/53");
  /* Beyond any integer of C. */
  ck_assert_ptr_nonnull(strstr(task->plus_input, "98765432101234567890"));
  ck_assert_int_eq(task->plus_input[0], '[');
  ck_assert_int_eq(task->plus_input[strlen(task->plus_input) - 1], ']');
}
END_TEST

START_TEST(a_limit_keeps_the_first_tasks) {
  ck_assert_llq_ok(open_text(TASK("a") "\n" TASK("b") TASK("c")));
  ck_assert_uint_eq(set->n_tasks, 3);
  teardown();
  ck_assert_llq_ok(llqi_task_set_open(&set, test_path("tasks.jsonl"), 2));
  ck_assert_uint_eq(set->n_tasks, 2);
  ck_assert_str_eq(set->tasks[1].task_id, "b");
  ck_assert_str_eq(set->tasks[1].canonical_solution, "");
}
END_TEST

static const struct {
  const char *text, *message;
} damaged[] = {
    {"", "no tasks"},
    {TASK("a") "{\"task_id\": 1", ":2: invalid JSON at byte 13"},
    {"[1]", "expected an object"},
    {TASK("a") TASK("b") TASK("a"), ":3: the task 'a' comes twice"},
    {"{\"task_id\": \"a\"}", "\"prompt\" is missing"},
    {"{\"task_id\": \"a\", \"task_id\": \"b\"}", "comes twice"},
    {"{\"task_id\": 7}", "\"task_id\" is not a string"},
    {"{\"task_id\": \"\\ud800\"}", "\"task_id\": "},
    {"{\"task_id\": \"a\" \"b\"}", "expected ','"},
    {"{\"x\": 1e}", "expected a digit"},
    {"{\"x\": tru}", "expected a value"},
    {"{\"x\": \"abc}", "expected the end of a string"},
    {"{} {}", "expected the end of the line"},
    {"{\"task_id\": \"a\", \"prompt\": \"\", \"entry_point\": \"f(1) or g\"}",
     "\"entry_point\" is not a name"},
};

START_TEST(errors_name_file_and_line) {
  ck_assert_llq_fails(open_text(damaged[_i].text), LLQ_ERROR_FORMAT,
                      damaged[_i].message);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "tasks.jsonl"));
  ck_assert_ptr_null(set);
}
END_TEST

START_TEST(nesting_is_limited) {
  static char text[5000];
  const char *const keys[] = {"x"};
  struct llqi_span value;
  memset(text, '[', sizeof text);
  memcpy(text, "{\"x\":", 5);
  llqi_error_clear();
  ck_assert_llq_fails(llqi_skim_object(text, sizeof text, keys, 1, &value),
                      LLQ_ERROR_FORMAT, "less nesting");
}
END_TEST

/* Every prefix of a valid line is refused, and no byte beyond it is read. */
START_TEST(truncated_lines_are_refused) {
  static const char line[] =
      "{\"a\": [1, -2.5e+3, \"\\\"\\\\\", {\"b\": null}], \"x\": NaN}";
  const char *const keys[] = {"x", "b"};
  struct llqi_span values[2];
  for (size_t n = 0; n < sizeof line - 1; n++) {
    char *part = malloc(n + 1);
    memcpy(part, line, n);
    llqi_error_clear();
    ck_assert_int_eq(llqi_skim_object(part, n, keys, 2, values),
                     LLQ_ERROR_FORMAT);
    free(part);
  }
  ck_assert_llq_ok(llqi_skim_object(line, sizeof line - 1, keys, 2, values));
  ck_assert_uint_eq(values[0].n, 3);
  ck_assert_ptr_null(values[1].at);
}
END_TEST

START_TEST(memory_may_run_out_at_any_point) {
  const char *text = TASK("a") TASK("b");
  ck_assert_llq_ok(open_text(text));
  teardown();
  for (long n = 1;; n++) {
    llqi_error_clear();
    llqi_alloc_fail_at(n, 0);
    int status = llqi_task_set_open(&set, test_path("tasks.jsonl"), 0);
    llqi_alloc_fail_at(0, 0);
    teardown();
    if (status == LLQ_OK)
      break;
    ck_assert_int_eq(status, LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 200);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("tasks");
  TCase *tcase = tcase_create("task sets");
  tcase_add_checked_fixture(tcase, NULL, teardown);
  tcase_add_test(tcase, humaneval_has_its_164_tasks);
  tcase_add_test(tcase, humaneval_plus_keeps_its_inputs_as_text);
  tcase_add_test(tcase, a_limit_keeps_the_first_tasks);
  tcase_add_loop_test(tcase, errors_name_file_and_line, 0,
                      sizeof damaged / sizeof damaged[0]);
  tcase_add_test(tcase, nesting_is_limited);
  tcase_add_test(tcase, truncated_lines_are_refused);
  tcase_add_test(tcase, memory_may_run_out_at_any_point);
  suite_add_tcase(suite, tcase);
  return suite;
}
