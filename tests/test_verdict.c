/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts on honest programs: HumanEval's solutions, whole and damaged. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "base/text.h"
#include "evaluator/tasks.h"
#include "evaluator/verdict.h"
#include "support.h"

static struct llqi_task_set *set;
static struct llqi_pool *pool;

static void teardown(void) {
  llqi_pool_close(pool);
  llqi_task_set_close(set);
  pool = NULL;
  set = NULL;
}

static struct llqi_task square = {
    .task_id = (char *)"square",
    .prompt = (char *)"def f(x):\n    \"\"\" x squared \"\"\"\n",
    .entry_point = (char *)"f",
    .test = (char *)"def check(candidate):\n    assert candidate(2) == 4\n"
                    "    assert candidate(-3) == 9\n"};

static void submit(const struct llqi_task *task, enum llqi_check check,
                   const char *body, const char *end, uint64_t tag) {
  struct llqi_text program = {0};
  ck_assert_llq_ok(
      llqi_text_printf(&program, "%s%s%s", task->prompt, body, end));
  ck_assert_llq_ok(
      llqi_pool_submit(pool, task, check, program.data, program.length, tag));
  llqi_text_free(&program);
}

static struct llqi_verdict await(void) {
  struct llqi_verdict verdict;
  ck_assert_llq_ok(llqi_pool_poll(pool, -1, &verdict));
  return verdict;
}

static struct llqi_verdict judge(const char *body) {
  submit(&square, LLQI_CHECK_TEST, body, "", 0);
  return await();
}

/* Submits every solution with an end of its own. */
static void submit_all(enum llqi_check check, const char *format) {
  char end[400];
  for (size_t i = 0; i < set->n_tasks; i++) {
    const struct llqi_task *task = &set->tasks[i];
    const char *name = task->entry_point;
    snprintf(end, sizeof end, format, name, name, name);
    submit(task, check, task->canonical_solution, end, i);
  }
}

static void assert_all(int passed) {
  size_t n = llqi_pool_pending(pool);
  ck_assert_uint_eq(n, 164);
  for (; n > 0; n--) {
    struct llqi_verdict verdict = await();
    ck_assert_msg(verdict.passed == passed, "%s: %s",
                  set->tasks[verdict.tag].task_id, verdict.text);
    ck_assert_int_eq(verdict.reason == LLQI_REASON_PASSED, passed);
    ck_assert_double_gt(verdict.cpu_seconds, 0);
  }
}

/* The same names as in the original, other results. */
static const char *const damages[] = {
    "\ndef %s(*args):\n    return None # %s %s\n",
    "\ndef %s(*args, solve=%s): # %s\n    return [solve(*args)]\n",
};

static const char *const checks[] = {"isolated", "in-process"};

START_TEST(humaneval_solutions_pass_and_damaged_ones_fail) {
  const char *path = test_data("HumanEval.jsonl.gz");
  if (path == NULL)
    return;
  struct llqi_pool_options options = {.n_workers = 2, .check = checks[_i]};
  ck_assert_llq_ok(llqi_task_set_open(&set, path, 0));
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  submit_all(LLQI_CHECK_TEST, "# %s %s %s");
  assert_all(1);
  for (int i = 0; i < 2; i++) {
    submit_all(LLQI_CHECK_TEST, damages[i]);
    assert_all(0);
  }
}
END_TEST

START_TEST(humaneval_plus_is_checked_against_the_solutions) {
  const char *path = test_data("HumanEvalPlus.jsonl.gz");
  if (path == NULL)
    return;
  struct llqi_pool_options options = {.n_workers = 2};
  ck_assert_llq_ok(llqi_task_set_open(&set, path, 36));
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  static const char *const some[] = {"HumanEval/2", "HumanEval/13",
                                     "HumanEval/32", "HumanEval/35"};
  for (size_t i = 0; i < 4; i++) {
    const struct llqi_task *task = llqi_task_find(set, some[i]);
    submit(task, LLQI_CHECK_PLUS, task->canonical_solution, "", 0);
    submit(task, LLQI_CHECK_PLUS, "    return None\n", "", 1);
  }
  for (size_t i = 0; i < 8; i++) {
    struct llqi_verdict verdict = await();
    ck_assert_msg(
        verdict.reason ==
            (verdict.tag == 0 ? LLQI_REASON_PASSED : LLQI_REASON_WRONG_ANSWER),
        "%s", verdict.text);
  }
}
END_TEST

static const struct {
  const char *body;
  enum llqi_reason reason;
  const char *text;
} programs[] = {
    {"    return x * x\n", LLQI_REASON_PASSED, "passed"},
    {"    print('a word')\n    return x * x\n", LLQI_REASON_PASSED, "passed"},
    {"    return x + x\n", LLQI_REASON_WRONG_ANSWER,
     "wrong answer: f(-3) returned -6"},
    {"    return 'a\\nb\\x1b[31m'\n", LLQI_REASON_WRONG_ANSWER,
     "wrong answer: f(2) returned 'a\\nb\\x1b[31m'"},
    {"    return x.y\n", LLQI_REASON_EXCEPTION,
     "exception: AttributeError: 'int' object has no attribute 'y'"},
    {"    raise ValueError('\\x1b[31m \\u00e9')\n", LLQI_REASON_EXCEPTION,
     "exception: ValueError: ?[31m ??"},
    {"    return x *\n", LLQI_REASON_SYNTAX, "syntax error: SyntaxError: "},
    {"    return x * x\ndel f\n", LLQI_REASON_EXCEPTION,
     "exception: NameError: name 'f' is not defined"},
    {"    return x * x\nf = 5\n", LLQI_REASON_EXCEPTION,
     "exception: TypeError: "},
    {"    return x * x\nimport numpy_is_not_here\n", LLQI_REASON_EXCEPTION,
     "exception: ModuleNotFoundError: "},
    {"    return x * x\nif __name__ == '__main__':\n    1 / 0\n",
     LLQI_REASON_PASSED, "passed"},
    {"    yield x * x\n", LLQI_REASON_NOT_PLAIN, "not plain data: generator"},
};

START_TEST(reasons_are_told_apart) {
  struct llqi_pool_options options = {.n_workers = 1};
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
    struct llqi_verdict verdict = judge(programs[i].body);
    ck_assert_msg(verdict.reason == programs[i].reason &&
                      strncmp(verdict.text, programs[i].text,
                              strlen(programs[i].text)) == 0,
                  "'%s', expected '%s' for\n%s", verdict.text, programs[i].text,
                  programs[i].body);
  }
}
END_TEST

START_TEST(plain_data_keeps_type_and_value) {
  struct llqi_task echo = square;
  echo.test =
      (char *)"def same(a, b):\n"
              "    if isinstance(a, (list, tuple)):\n"
              "        return (type(a) is type(b) and len(a) == len(b)\n"
              "                and all(map(same, a, b)))\n"
              "    return type(a) is type(b) and (repr(a) == repr(b) or a == "
              "b)\n"
              "def check(candidate):\n"
              "    for value in (None, True, False, 0, -1, 255, -256, "
              "10**5000,\n"
              "                  -2**63, 0.1, -0.0, 5e-324, float('nan'),\n"
              "                  -float('inf'), 1-2j, '', "
              "'a\\0\\u00e9\\U0001f600',\n"
              "                  '\\ud800', b'\\0\\xff', [], [[1], (2, "
              "[3.5])],\n"
              "                  {}, {1: [2], (3,): {'a': None}}, {1, 2}, "
              "set(),\n"
              "                  frozenset([frozenset()]), range(5, 1, -2)):\n"
              "        assert same(candidate(value), value), value\n"
              "        assert same(candidate([value]), [value]), value\n";
  struct llqi_pool_options options = {.n_workers = 1};
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  submit(&echo, LLQI_CHECK_TEST, "    return x\n", "", 0);
  ck_assert_str_eq(await().text, "passed");
}
END_TEST

START_TEST(checks_see_the_exceptions_and_the_helpers) {
  struct llqi_task task = square;
  task.prompt = (char *)"def helper():\n    return 7\n\ndef f(x):\n";
  task.test = (char *)"def check(candidate):\n"
                      "    try:\n        candidate(helper())\n"
                      "    except KeyError as error:\n        return\n"
                      "    assert False\n";
  struct llqi_pool_options options = {.n_workers = 1};
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  submit(&task, LLQI_CHECK_TEST, "    return {}[x]\n", "", 0);
  ck_assert_str_eq(await().text, "passed");
  submit(&task, LLQI_CHECK_TEST, "    return x\n", "", 0);
  ck_assert_str_eq(await().text, "wrong answer: f(7) returned 7");
}
END_TEST

START_TEST(a_broken_check_is_not_the_programs_fault) {
  struct llqi_task task = square;
  struct llqi_pool_options options = {.n_workers = 1};
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  static const char *const tests[] = {
      "def chek(candidate): pass\n",
      "def check(candidate)\n",
      "import nothing",
      "def check(candidate): candidate(object())\n",
      "import os\ndef check(candidate): os._exit(0)\n",
      "import os\ndef check(candidate): os.kill(1, 15); os.abort()\n"};
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    task.test = (char *)tests[i];
    submit(&task, LLQI_CHECK_TEST, "    return x * x\n", "", 0);
    ck_assert_int_eq(await().reason, LLQI_REASON_CHECK);
  }
  ck_assert_str_eq(judge("    return x * x\n").text, "passed");
}
END_TEST

START_TEST(polling_does_not_wait_when_told_so) {
  struct llqi_pool_options options = {.n_workers = 2};
  struct llqi_verdict verdict;
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  ck_assert_int_eq(llqi_pool_poll(pool, -1, &verdict), LLQ_MORE);
  for (uint64_t i = 0; i < 5; i++)
    submit(&square, LLQI_CHECK_TEST, "    return x * x\n", "", i);
  ck_assert_int_eq(llqi_pool_poll(pool, 0, &verdict), LLQ_MORE);
  ck_assert_uint_eq(llqi_pool_pending(pool), 5);
  ck_assert_uint_eq(llqi_pool_waiting(pool), 3);
  unsigned seen = 0;
  while (llqi_pool_pending(pool) > 0)
    if (llqi_pool_poll(pool, 10, &verdict) == LLQ_OK)
      seen |= 1u << verdict.tag;
  ck_assert_uint_eq(seen, 31);
}
END_TEST

START_TEST(memory_may_run_out_at_any_point) {
  struct llqi_pool_options options = {.n_workers = 1};
  for (long n = 1;; n++) {
    struct llqi_verdict verdict;
    llqi_error_clear();
    llqi_alloc_fail_at(n, 0);
    int status = llqi_pool_open(&pool, &options);
    if (status >= 0)
      status =
          llqi_pool_submit(pool, &square, LLQI_CHECK_TEST, "f = abs", 7, 0);
    if (status >= 0)
      status = llqi_pool_poll(pool, -1, &verdict);
    llqi_alloc_fail_at(0, 0);
    teardown();
    if (status == LLQ_OK)
      break;
    ck_assert_int_eq(status, LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 300);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("verdict");
  TCase *tcase = tcase_create("verdicts");
  tcase_set_timeout(tcase, 600);
  tcase_add_checked_fixture(tcase, NULL, teardown);
  tcase_add_loop_test(tcase, humaneval_solutions_pass_and_damaged_ones_fail, 0,
                      2);
  tcase_add_test(tcase, humaneval_plus_is_checked_against_the_solutions);
  tcase_add_test(tcase, reasons_are_told_apart);
  tcase_add_test(tcase, plain_data_keeps_type_and_value);
  tcase_add_test(tcase, checks_see_the_exceptions_and_the_helpers);
  tcase_add_test(tcase, a_broken_check_is_not_the_programs_fault);
  tcase_add_test(tcase, polling_does_not_wait_when_told_so);
  tcase_add_test(tcase, memory_may_run_out_at_any_point);
  suite_add_tcase(suite, tcase);
  return suite;
}
