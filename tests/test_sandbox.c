/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile programs: each gets the right verdict, and the machine is unharmed. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"
#include "evaluator/verdict.h"
#include "hostile.h"
#include "support.h"

static struct llqi_pool *pool;

static struct llqi_task square = {
    .task_id = (char *)"square",
    .prompt = (char *)"def f(x):\n",
    .entry_point = (char *)"f",
    .test = (char *)"def check(candidate):\n    assert candidate(2) == 4\n"
                    "    assert candidate(-3) == 9\n"};

/* Descendants whose parents are gone become this process's children, so that
   having none at the end means that nothing is left. */
static void setup(void) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static void teardown(void) {
  llqi_pool_close(pool);
  pool = NULL;
  pid_t pid = 0;
  for (int i = 0; i < 200 && pid >= 0; i++) {
    pid = waitpid(-1, NULL, WNOHANG); /* one that died with its parent */
    if (pid == 0)
      usleep(10000);
  }
  ck_assert_int_eq(pid, -1);
  ck_assert_int_eq(errno, ECHILD);
}

static void open_pool(const char *sandbox, const char *check) {
  struct llqi_pool_options options = {.n_workers = 2,
                                      .sandbox = sandbox,
                                      .check = check,
                                      .cpu_seconds = 1,
                                      .memory_bytes = 256 << 20};
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
}

static struct llqi_verdict judge(const char *program) {
  struct llqi_verdict verdict;
  ck_assert_llq_ok(llqi_pool_submit(pool, &square, LLQI_CHECK_TEST, program,
                                    strlen(program), 0));
  ck_assert_llq_ok(llqi_pool_poll(pool, -1, &verdict));
  return verdict;
}

/* Nothing of "llq-hostile" appeared outside. */
static void assert_unharmed(void) {
  static const char *const places[] = {"/",        "/usr",  "/dev",
                                       "/dev/shm", "/home", "/tmp"};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "%s/llq-hostile", places[i]);
    ck_assert_msg(access(path, F_OK) < 0, "%s appeared", path);
  }
  ck_assert_int_eq(access("/usr/bin/env", F_OK), 0);
}

static size_t count_files(void) {
  size_t n = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL)
    n++;
  closedir(directory);
  return n;
}

START_TEST(hostile_programs_get_what_they_deserve) {
  setenv("LLQ_SECRET", "1", 1);
  ck_assert_int_eq(dup2(open("/etc/passwd", O_RDONLY), 50), 50);
  size_t n_files = count_files();
  open_pool("bwrap", "isolated");
  for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
    struct llqi_verdict verdict = judge(hostile[i].program);
    const char *expected = hostile[i].verdict;
    ck_assert_msg(strncmp(verdict.text, expected, strlen(expected)) == 0,
                  "a program that %s: '%s', expected '%s'", hostile[i].name,
                  verdict.text, expected);
    ck_assert_int_eq(verdict.passed, strcmp(expected, "passed") == 0);
    if (verdict.reason == LLQI_REASON_TIME)
      ck_assert_int_eq(verdict.n_runs, 2);
    ck_assert_double_lt(verdict.cpu_seconds, 2);
  }
  assert_unharmed();
  teardown();
  ck_assert_uint_eq(count_files(), n_files);
}
END_TEST

/* The same programs get through when nothing but limits is in their way, which
   shows that they try what they say. */
START_TEST(limits_alone_do_not_isolate) {
  open_pool("rlimit", "isolated");
  for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
    if (strcmp(hostile[i].name, "reads the machine's files") == 0 ||
        strcmp(hostile[i].name, "opens sockets") == 0)
      ck_assert_int_eq(judge(hostile[i].program).reason,
                       LLQI_REASON_WRONG_ANSWER +
                           (strcmp(hostile[i].name, "opens sockets") == 0));
  ck_assert_str_eq(judge("def f(x):\n  return x * x\n").text, "passed");
  ck_assert_str_eq(judge("def f(x):\n  while True: pass\n").text, "timed out");
  ck_assert_str_eq(judge("def f(x):\n  return [0] * 10**10\n").text,
                   "memory limit");
}
END_TEST

START_TEST(the_original_check_can_be_fooled_but_does_no_harm) {
  open_pool("bwrap", "in-process");
  ck_assert_str_eq(judge("class Any:\n  def __eq__(self, o): return True\n"
                         "def f(x):\n  return Any()\n")
                       .text,
                   "passed");
  ck_assert_str_eq(judge("def f(x):\n  return x\n").text,
                   "wrong answer: AssertionError");
  ck_assert_str_eq(judge("import os\ndef f(x):\n  os._exit(0)\n").text,
                   "exited: status 0");
  ck_assert_str_eq(judge("def f(x):\n  return open('/etc/passwd')\n").text,
                   "exception: FileNotFoundError: [Errno 2] No such file or "
                   "directory: '/etc/passwd'");
  ck_assert_str_eq(judge("def f(x):\n  while True: pass\n").text, "timed out");
}
END_TEST

START_TEST(a_program_that_never_answers_meets_the_wall_limit) {
  struct llqi_pool_options options = {.n_workers = 2, .wall_seconds = 0.5};
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  struct llqi_verdict verdict =
      judge("import time\ndef f(x):\n  time.sleep(1000)\n");
  ck_assert_str_eq(verdict.text, "timed out");
  ck_assert_int_eq(verdict.n_runs, 2);
  ck_assert_double_lt(verdict.cpu_seconds, 0.4);
}
END_TEST

/* A fast program with a slow neighbour is done long before it. */
START_TEST(timeouts_run_again_when_the_others_are_done) {
  static const char loop[] = "def f(x):\n  while True: pass\n";
  static const char fast[] = "def f(x):\n  return x * x\n";
  struct llqi_verdict verdict;
  open_pool("bwrap", "isolated");
  for (uint64_t i = 0; i < 3; i++)
    ck_assert_llq_ok(llqi_pool_submit(pool, &square, LLQI_CHECK_TEST, loop,
                                      sizeof loop - 1, 100));
  for (uint64_t i = 0; i < 20; i++)
    ck_assert_llq_ok(llqi_pool_submit(pool, &square, LLQI_CHECK_TEST, fast,
                                      sizeof fast - 1, i));
  for (int i = 0; i < 23; i++) {
    ck_assert_llq_ok(llqi_pool_poll(pool, -1, &verdict));
    ck_assert_int_eq(verdict.passed, i < 20);
    ck_assert_int_eq(verdict.n_runs, i < 20 ? 1 : 2);
  }
  ck_assert_int_eq(llqi_pool_poll(pool, -1, &verdict), LLQ_MORE);
}
END_TEST

START_TEST(closing_ends_what_runs) {
  static const char loop[] = "def f(x):\n  while True: pass\n";
  struct llqi_verdict verdict;
  open_pool("bwrap", "isolated");
  for (int i = 0; i < 5; i++)
    ck_assert_llq_ok(llqi_pool_submit(pool, &square, LLQI_CHECK_TEST, loop,
                                      sizeof loop - 1, 0));
  ck_assert_int_eq(llqi_pool_poll(pool, 100, &verdict), LLQ_MORE);
  teardown();
}
END_TEST

static const char *write_script(const char *name, const char *text) {
  const char *path = test_path(name);
  ck_assert_llq_ok(llqi_file_write(path, text, strlen(text)));
  ck_assert_int_eq(chmod(path, 0755), 0);
  llqi_error_clear();
  return path;
}

START_TEST(no_isolation_is_an_error_that_says_why) {
  struct llqi_pool_options options = {.bwrap = "/nowhere/bwrap"};
  llqi_error_clear();
  ck_assert_llq_fails(llqi_pool_open(&pool, &options), LLQ_ERROR_SANDBOX,
                      "bubblewrap: /nowhere/bwrap: No such file");
  options.bwrap = write_script(
      "bwrap", "#!/bin/sh\necho 'bwrap: No permissions to create a new "
               "namespace' >&2\nexit 1\n");
  ck_assert_llq_fails(
      llqi_pool_open(&pool, &options), LLQ_ERROR_SANDBOX,
      "No permissions to create a new namespace (exit status 1");
  options = (struct llqi_pool_options){.python = "/nowhere/python3"};
  llqi_error_clear();
  ck_assert_llq_fails(llqi_pool_open(&pool, &options), LLQ_ERROR_SANDBOX,
                      "/nowhere/python3");
  options = (struct llqi_pool_options){.sandbox = "none"};
  llqi_error_clear();
  ck_assert_llq_fails(llqi_pool_open(&pool, &options), LLQ_ERROR_ARGUMENT,
                      "expected \"bwrap\" or \"rlimit\", found \"none\"");
}
END_TEST

/* The sandbox was there, and is gone: not a program's fault. */
START_TEST(isolation_that_goes_away_is_an_error) {
  char text[512];
  const char *flag = test_path("gone");
  snprintf(text, sizeof text,
           "#!/bin/sh\n[ -e %s ] && exit 7\nexec %s \"$@\"\n", flag, LLQ_BWRAP);
  struct llqi_pool_options options = {.n_workers = 1,
                                      .bwrap = write_script("bwrap2", text)};
  struct llqi_verdict verdict;
  ck_assert_llq_ok(llqi_pool_open(&pool, &options));
  ck_assert_str_eq(judge("def f(x):\n  return x * x\n").text, "passed");
  write_script("gone", "");
  ck_assert_llq_ok(llqi_pool_submit(pool, &square, LLQI_CHECK_TEST, "", 0, 0));
  ck_assert_llq_fails(llqi_pool_poll(pool, -1, &verdict), LLQ_ERROR_SANDBOX,
                      "did not start: exit status 7");
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("sandbox");
  TCase *tcase = tcase_create("hostile programs");
  tcase_set_timeout(tcase, 600);
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, hostile_programs_get_what_they_deserve);
  tcase_add_test(tcase, limits_alone_do_not_isolate);
  tcase_add_test(tcase, the_original_check_can_be_fooled_but_does_no_harm);
  tcase_add_test(tcase, a_program_that_never_answers_meets_the_wall_limit);
  tcase_add_test(tcase, timeouts_run_again_when_the_others_are_done);
  tcase_add_test(tcase, closing_ends_what_runs);
  tcase_add_test(tcase, no_isolation_is_an_error_that_says_why);
  tcase_add_test(tcase, isolation_that_goes_away_is_an_error);
  suite_add_tcase(suite, tcase);
  return suite;
}
