/* SPDX-License-Identifier: Apache-2.0 */
/* How many programs a second the sandbox gives verdicts on.
   bench_sandbox TASKS [WORKERS [RUNS [isolated|in-process|plus
   [bwrap|rlimit]]]] runs the canonical solutions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/text.h"
#include "evaluator/tasks.h"
#include "evaluator/worker.h"

static int submit_all(struct llqi_pool *pool, const struct llqi_task_set *set,
                      enum llqi_check check) {
  for (size_t i = 0; i < set->n_tasks; i++) {
    const struct llqi_task *task = &set->tasks[i];
    struct llqi_text program = {0};
    LLQ_TRY(llqi_text_puts(&program, task->prompt));
    LLQ_TRY(llqi_text_puts(&program, task->canonical_solution));
    int status =
        llqi_pool_submit(pool, task, check, program.data, program.length, i);
    llqi_text_free(&program);
    LLQ_TRY(status);
  }
  return LLQ_OK;
}

static int run(struct llqi_pool *pool, const struct llqi_task_set *set,
               enum llqi_check check, double *rate) {
  double start = llqi_clock(), cpu = 0;
  size_t n_passed = 0;
  LLQ_TRY(submit_all(pool, set, check));
  while (llqi_pool_pending(pool) > 0) {
    struct llqi_verdict verdict;
    LLQ_TRY(llqi_pool_poll(pool, -1, &verdict));
    n_passed += (size_t)verdict.passed;
    cpu += verdict.cpu_seconds;
    if (!verdict.passed)
      printf("  %s: %s (%.2f s)\n", set->tasks[verdict.tag].task_id,
             verdict.text, verdict.cpu_seconds);
  }
  *rate = (double)set->n_tasks / (llqi_clock() - start);
  printf("  %zu of %zu passed, %.1f programs/s, %.1f ms CPU each\n", n_passed,
         set->n_tasks, *rate, 1e3 * cpu / (double)set->n_tasks);
  return LLQ_OK;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int measure(struct llqi_pool *pool, const struct llqi_task_set *set,
                   enum llqi_check check, int n_runs) {
  double rates[100];
  for (int i = 0; i < n_runs; i++)
    LLQ_TRY(run(pool, set, check, &rates[i]));
  qsort(rates, (size_t)n_runs, sizeof rates[0], compare);
  printf("median of %d: %.1f programs/s\n", n_runs, rates[n_runs / 2]);
  return LLQ_OK;
}

int main(int argc, char **argv) {
  if (argc < 2)
    return 2;
  int n_runs = argc > 3 ? atoi(argv[3]) : 5;
  n_runs = n_runs < 1 ? 1 : n_runs > 100 ? 100 : n_runs;
  const char *check = argc > 4 ? argv[4] : "isolated";
  int plus = strcmp(check, "plus") == 0;
  struct llqi_pool_options options = {.n_workers = argc > 2 ? atoi(argv[2]) : 2,
                                      .check = plus ? "isolated" : check,
                                      .sandbox = argc > 5 ? argv[5] : "bwrap"};
  struct llqi_task_set *set = NULL;
  struct llqi_pool *pool = NULL;
  int status = llqi_task_set_open(&set, argv[1], 0);
  if (status >= 0)
    status = llqi_pool_open(&pool, &options);
  if (status >= 0)
    status =
        measure(pool, set, plus ? LLQI_CHECK_PLUS : LLQI_CHECK_TEST, n_runs);
  if (status < 0)
    fprintf(stderr, "%s\n", llq_error_message());
  llqi_pool_close(pool);
  llqi_task_set_close(set);
  return status < 0;
}
