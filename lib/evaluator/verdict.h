/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts on programs: a pool of sandboxes that run them. */
#ifndef LLQI_EVALUATOR_VERDICT_H
#define LLQI_EVALUATOR_VERDICT_H

#include <stddef.h>
#include <stdint.h>

#include "evaluator/tasks.h"

enum llqi_reason {
  LLQI_REASON_PASSED,
  LLQI_REASON_WRONG_ANSWER, /* the check refused what the program returned */
  LLQI_REASON_NOT_PLAIN,    /* it returned an object that is not plain data */
  LLQI_REASON_EXCEPTION,    /* it raised */
  LLQI_REASON_SYNTAX,       /* it does not compile */
  LLQI_REASON_TIME,         /* timed out, also when run again alone */
  LLQI_REASON_MEMORY,       /* MemoryError */
  LLQI_REASON_OUTPUT,       /* it returned more than the limit */
  LLQI_REASON_EXITED,       /* its process ended by itself, or SystemExit */
  LLQI_REASON_CRASHED,      /* its process was ended by a signal */
  LLQI_REASON_FORGED,       /* it wrote to the channel out of turn */
  LLQI_REASON_CHECK,        /* the task's own check is broken */
};

/* The reason in words, as verdicts begin: "passed", "wrong answer", ... */
const char *llqi_reason_name(enum llqi_reason reason);

struct llqi_verdict {
  uint64_t tag; /* as given to llqi_pool_submit */
  int passed;
  enum llqi_reason reason;
  char text[160];      /* UTF-8: the reason's name, and for some ": <detail>",
                          such as "exception: TypeError" */
  double cpu_seconds;  /* of the program's process, measured from outside */
  double wall_seconds; /* from its start to the verdict */
  int n_runs;          /* 2 when it was run again alone */
};

/* What to check a program against. */
enum llqi_check {
  LLQI_CHECK_TEST, /* the task's check(candidate) */
  LLQI_CHECK_PLUS, /* HumanEval+'s base and plus inputs, against the canonical
                      solution, by EvalPlus's rules */
};

/* Zero means the default. */
struct llqi_pool_options {
  int n_workers;         /* 0 = as many as cores */
  const char *sandbox;   /* "bwrap" (NULL) or "rlimit" */
  const char *check;     /* "isolated" (NULL) or "in-process" */
  double cpu_seconds;    /* of one program; 0 = the task's default: 3, for
                            plus inputs 20 */
  double wall_seconds;   /* the backstop; 0 = 4 * cpu_seconds + 10 */
  uint64_t memory_bytes; /* address space of one program; 0 = 1 GiB */
  const char *bwrap;     /* programs to use; NULL = those found by configure */
  const char *python;
};

struct llqi_pool;

/* Opens the sandboxes that check, which shows that isolation works here.
   LLQ_ERROR_SANDBOX says why it does not. */
int llqi_pool_open(struct llqi_pool **out,
                   const struct llqi_pool_options *options);

/* Queues a whole program (prompt and completion joined as the protocol says).
   Copies the program; the task must outlive the verdict. */
int llqi_pool_submit(struct llqi_pool *pool, const struct llqi_task *task,
                     enum llqi_check check, const char *program, size_t n,
                     uint64_t tag);

/* Programs submitted whose verdict was not given out yet. */
size_t llqi_pool_pending(const struct llqi_pool *pool);

/* Programs that wait for a free worker: submit more when this is low. */
size_t llqi_pool_waiting(const struct llqi_pool *pool);

/* Moves all running checks on, and gives out one verdict, in no fixed order.
   Waits at most timeout_ms (0 = not at all, -1 = until there is one).
   LLQ_OK: *verdict is filled in; LLQ_MORE: none is ready, or none pending. */
int llqi_pool_poll(struct llqi_pool *pool, int timeout_ms,
                   struct llqi_verdict *verdict);

/* Ends everything that runs, and waits until it is gone. */
void llqi_pool_close(struct llqi_pool *pool);

#endif
