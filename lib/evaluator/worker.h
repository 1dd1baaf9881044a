/* SPDX-License-Identifier: Apache-2.0 */
/* One check at a time: a fresh sandbox for each program, and a lasting one in
   which the tasks' own checks run. Messages between them pass through here. */
#ifndef LLQI_EVALUATOR_WORKER_H
#define LLQI_EVALUATOR_WORKER_H

#include <poll.h>

#include "evaluator/sandbox.h"
#include "evaluator/verdict.h"

struct llqi_job {
  struct llqi_job *next;
  const struct llqi_task *task;
  enum llqi_check check;
  struct llqi_text program;
  uint64_t tag;
  int n_runs;
};

/* Seconds. Starting takes some 20 ms; much more means a machine in trouble. */
enum { LLQI_START_MAX = 60 };

/* What all workers of a pool share. */
struct llqi_worker_settings {
  const struct llqi_sandbox *sandbox;
  int in_process;
  double cpu_seconds, wall_seconds; /* 0 = the default */
  uint64_t memory_bytes;
};

enum llqi_stage {
  LLQI_STAGE_IDLE,
  LLQI_STAGE_STARTING,  /* the program's sandbox starts */
  LLQI_STAGE_LOADING,   /* the program runs its top level */
  LLQI_STAGE_CHECKING,  /* the check computes */
  LLQI_STAGE_CALLING,   /* the program answers a call */
  LLQI_STAGE_ENDING,    /* the program hung up: how did it end? */
  LLQI_STAGE_FINISHING, /* there is a verdict; the checker gets ready */
  LLQI_STAGE_DONE       /* the verdict may be taken */
};

struct llqi_worker {
  const struct llqi_worker_settings *settings;
  struct llqi_process checker, program;
  enum llqi_stage stage;
  struct llqi_job *job; /* lent by the pool */
  int checker_ready;    /* it has said hello */
  int is_checking;      /* it has the job, and is not done with it */
  int n_failed_starts;  /* in a row */
  double started;
  double deadline; /* of this stage, or of the program as a whole */
  double cpu_due;  /* when to look at the program's CPU time */
  struct llqi_verdict verdict;
};

/* Seconds on a clock that only goes forward. */
double llqi_clock(void);

void llqi_worker_init(struct llqi_worker *worker,
                      const struct llqi_worker_settings *settings);

/* Starts the checker and waits until it says hello. Fails with what went wrong
   in the sandbox's own words. */
int llqi_worker_prove(struct llqi_worker *worker);

/* The checker alone. errors: for its standard error, or -1.
   The step returns 1 if a frame was there. */
int llqi_worker_start_checker(struct llqi_worker *worker, int errors);
int llqi_worker_step_checker(struct llqi_worker *worker);

int llqi_worker_start(struct llqi_worker *worker, struct llqi_job *job);

/* Does all that can be done now. */
int llqi_worker_step(struct llqi_worker *worker);

/* Adds what to poll for to events[]; returns how many, at most 4. */
int llqi_worker_events(const struct llqi_worker *worker, struct pollfd *events);

/* When to step it even if no event comes. */
double llqi_worker_due(const struct llqi_worker *worker);

void llqi_worker_close(struct llqi_worker *worker);

#endif
