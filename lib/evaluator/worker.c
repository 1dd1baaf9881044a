/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "evaluator/worker.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "evaluator/message.h"
#include "evaluator/reason.h"

/* Seconds. */
enum { ENDING_MAX = 1, FINISHING_MAX = 10 };
enum { STARTS_MAX = 5 }; /* that fail in a row */
enum { CPU_TEST = 3, CPU_PLUS = 20 };
enum { MEMORY_DEFAULT = 1 << 30 };
#define MEMORY_CHECKER ((uint64_t)4 << 30)

double llqi_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void llqi_worker_init(struct llqi_worker *worker,
                      const struct llqi_worker_settings *settings) {
  *worker = (struct llqi_worker){.settings = settings};
  worker->checker = worker->program = LLQI_NO_PROCESS;
}

void llqi_worker_close(struct llqi_worker *worker) {
  struct llqi_ending ending;
  llqi_process_end(&worker->program, &ending);
  llqi_process_end(&worker->checker, &ending);
}

static double cpu_limit(const struct llqi_worker *worker) {
  if (worker->settings->cpu_seconds > 0)
    return fmin(worker->settings->cpu_seconds, 1e6);
  return worker->job->check == LLQI_CHECK_PLUS ? CPU_PLUS : CPU_TEST;
}

static double wall_limit(const struct llqi_worker *worker) {
  double wanted = worker->settings->wall_seconds;
  return wanted > 0 ? wanted : 4 * cpu_limit(worker) + 10;
}

static int has_checker(const struct llqi_worker *worker) {
  return !worker->settings->in_process || worker->job->check == LLQI_CHECK_PLUS;
}

static int is_timeout(const struct llqi_worker *worker,
                      const struct llqi_ending *ending) {
  return ending->signal == SIGXCPU ||
         (ending->signal == SIGKILL &&
          ending->cpu_seconds > 0.9 * cpu_limit(worker));
}

static void set_ending(struct llqi_worker *worker,
                       const struct llqi_ending *ending) {
  char detail[64];
  enum llqi_reason reason = LLQI_REASON_EXITED;
  detail[0] = '\0';
  if (is_timeout(worker, ending)) {
    reason = LLQI_REASON_TIME;
  } else if (ending->signal != 0) {
    reason = LLQI_REASON_CRASHED;
    snprintf(detail, sizeof detail, "signal %d", ending->signal);
  } else {
    snprintf(detail, sizeof detail, "status %d", ending->status);
  }
  llqi_verdict_set(&worker->verdict, reason, detail, strlen(detail));
}

/* Forgets a checker that did not behave; the next job starts another. */
static void drop_checker(struct llqi_worker *worker) {
  struct llqi_ending ending;
  llqi_process_end(&worker->checker, &ending);
  worker->checker_ready = 0;
  worker->is_checking = 0;
}

/* Ends the program. A check that waits for an answer is told to stop. */
static int conclude(struct llqi_worker *worker) {
  struct llqi_ending ending;
  int is_waiting = worker->stage != LLQI_STAGE_CHECKING;
  worker->verdict.wall_seconds = llqi_clock() - worker->started;
  if (worker->program.pid > 0) {
    llqi_process_end(&worker->program, &ending);
    worker->verdict.cpu_seconds = ending.cpu_seconds;
  }
  worker->stage = LLQI_STAGE_DONE;
  if (!worker->is_checking)
    return LLQ_OK;
  worker->stage = LLQI_STAGE_FINISHING;
  worker->deadline = llqi_clock() + FINISHING_MAX;
  if (is_waiting)
    LLQ_TRY(llqi_channel_send(&worker->checker.channel, 'A', NULL, 0, NULL, 0));
  return llqi_channel_pump(&worker->checker.channel);
}

static int conclude_with(struct llqi_worker *worker, enum llqi_reason reason,
                         const char *detail) {
  llqi_verdict_set(&worker->verdict, reason, detail, strlen(detail));
  return conclude(worker);
}

static int conclude_frame(struct llqi_worker *worker, char kind,
                          const char *detail, size_t n) {
  enum llqi_reason reason = LLQI_REASON_FORGED;
  if (!llqi_reason_of(kind, &reason))
    return conclude_with(worker, LLQI_REASON_FORGED, "out of turn");
  if (reason == LLQI_REASON_MEMORY)
    n = 0;
  llqi_verdict_set(&worker->verdict, reason, detail, n);
  return conclude(worker);
}

static int start_check(struct llqi_worker *worker) {
  worker->stage = LLQI_STAGE_CHECKING;
  worker->is_checking = 1;
  return llqi_send_check(&worker->checker.channel, worker->job);
}

/* The program's Python is there: limits first, then the program. */
static int confine(struct llqi_worker *worker) {
  const struct llqi_worker_settings *settings = worker->settings;
  /* The kernel's limit is coarse, and some 20 % off on a busy machine: it is
     a backstop for step_cpu(). */
  struct llqi_limits limits = {(unsigned)(1.5 * cpu_limit(worker)) + 2,
                               settings->memory_bytes};
  if (limits.memory_bytes == 0)
    limits.memory_bytes = MEMORY_DEFAULT;
  LLQ_TRY(llqi_process_confine(&worker->program, &limits));
  worker->n_failed_starts = 0;
  worker->stage = LLQI_STAGE_LOADING;
  worker->deadline = llqi_clock() + wall_limit(worker);
  worker->cpu_due = llqi_clock() + 0.5 * cpu_limit(worker);
  return llqi_send_program(&worker->program.channel, worker->job,
                           !has_checker(worker));
}

static int start_program(struct llqi_worker *worker) {
  LLQ_TRY(llqi_process_start(worker->settings->sandbox, LLQI_ROLE_CANDIDATE, -1,
                             &worker->program));
  worker->stage = LLQI_STAGE_STARTING;
  worker->started = llqi_clock();
  worker->deadline = worker->started + LLQI_START_MAX;
  return LLQ_OK;
}

int llqi_worker_start_checker(struct llqi_worker *worker, int errors) {
  worker->checker_ready = 0;
  return llqi_process_start(worker->settings->sandbox, LLQI_ROLE_CHECKER,
                            errors, &worker->checker);
}

int llqi_worker_start(struct llqi_worker *worker, struct llqi_job *job) {
  worker->job = job;
  worker->verdict =
      (struct llqi_verdict){.tag = job->tag, .n_runs = ++job->n_runs};
  if (has_checker(worker) && worker->checker.pid == 0)
    LLQ_TRY(llqi_worker_start_checker(worker, -1));
  return start_program(worker);
}

/* A sandbox that ends before its first word is no fault of the program's. */
static int start_failed(struct llqi_worker *worker,
                        struct llqi_process *process, const char *what) {
  struct llqi_ending ending;
  llqi_process_end(process, &ending);
  if (++worker->n_failed_starts >= STARTS_MAX)
    return llqi_fail(LLQ_ERROR_SANDBOX,
                     "the sandbox of %s did not start: exit status %d, "
                     "signal %d",
                     what, ending.status, ending.signal);
  if (process == &worker->program)
    return start_program(worker);
  return llqi_worker_start_checker(worker, -1);
}

static int step_loading(struct llqi_worker *worker,
                        const struct llqi_frame *frame) {
  int isolated = has_checker(worker);
  if (isolated && frame->kind == 'L')
    return start_check(worker);
  if (strchr(isolated ? "ESMQ" : "PWESMQ", frame->kind) == NULL)
    return conclude_with(worker, LLQI_REASON_FORGED, "out of turn");
  return conclude_frame(worker, frame->kind, frame->bytes, frame->n);
}

/* Returns 1 if a frame was there. */
static int step_program(struct llqi_worker *worker) {
  struct llqi_frame frame;
  int found = llqi_channel_next(&worker->program.channel, &frame);
  if (found < 0)
    LLQ_TRY(conclude_with(worker, LLQI_REASON_OUTPUT, ""));
  else if (found == 0)
    return 0;
  else if (worker->stage == LLQI_STAGE_STARTING)
    LLQ_TRY(confine(worker));
  else if (worker->stage == LLQI_STAGE_LOADING)
    LLQ_TRY(step_loading(worker, &frame));
  else {
    worker->stage = LLQI_STAGE_CHECKING;
    LLQ_TRY(llqi_channel_send(&worker->checker.channel, frame.kind, frame.bytes,
                              frame.n, NULL, 0));
  }
  return 1;
}

/* The program has hung up: how it ended is known soon, or it is ended. */
static int step_ending(struct llqi_worker *worker) {
  struct llqi_ending ending;
  if (llqi_process_has_ended(&worker->program)) {
    llqi_process_end(&worker->program, &ending);
    worker->verdict.cpu_seconds = ending.cpu_seconds;
    set_ending(worker, &ending);
    return conclude(worker);
  }
  if (llqi_clock() < worker->deadline)
    return LLQ_OK;
  return conclude_with(worker, LLQI_REASON_EXITED, "closed its channel");
}

static int hung_up(struct llqi_worker *worker) {
  if (worker->stage == LLQI_STAGE_STARTING)
    return start_failed(worker, &worker->program, "a program");
  worker->stage = LLQI_STAGE_ENDING;
  worker->deadline = fmin(worker->deadline, llqi_clock() + ENDING_MAX);
  return LLQ_OK;
}

static int step_verdict(struct llqi_worker *worker,
                        const struct llqi_frame *frame) {
  if (worker->stage != LLQI_STAGE_CHECKING || frame->n == 0)
    return LLQ_OK;
  return conclude_frame(worker, frame->bytes[0], frame->bytes + 1,
                        frame->n - 1);
}

/* The check's process has ended; one without a verdict was ended. */
static int step_done(struct llqi_worker *worker,
                     const struct llqi_frame *frame) {
  int signal = frame->n > 0 ? frame->bytes[0] : 0;
  worker->is_checking = 0;
  if (worker->stage == LLQI_STAGE_FINISHING)
    worker->stage = LLQI_STAGE_DONE;
  else if (signal == SIGKILL || signal == SIGXCPU)
    return conclude_with(worker, LLQI_REASON_TIME, "in the check");
  else if (worker->stage != LLQI_STAGE_DONE)
    return conclude_with(worker, LLQI_REASON_CHECK, "its process ended");
  return LLQ_OK;
}

static int step_call(struct llqi_worker *worker,
                     const struct llqi_frame *frame) {
  if (worker->stage != LLQI_STAGE_CHECKING)
    return LLQ_OK;
  worker->stage = LLQI_STAGE_CALLING;
  return llqi_channel_send(&worker->program.channel, frame->kind, frame->bytes,
                           frame->n, NULL, 0);
}

int llqi_worker_step_checker(struct llqi_worker *worker) {
  struct llqi_frame frame;
  int found = llqi_channel_next(&worker->checker.channel, &frame);
  if (found == 0)
    return 0;
  if (found < 0)
    LLQ_TRY(llqi_fail(LLQ_ERROR_SANDBOX, "the checker sent too much"));
  else if (frame.kind == 'H') {
    struct llqi_limits limits = {0, MEMORY_CHECKER};
    LLQ_TRY(llqi_process_confine(&worker->checker, &limits));
    worker->checker_ready = 1;
  } else if (frame.kind == 'C')
    LLQ_TRY(step_call(worker, &frame));
  else if (frame.kind == 'V')
    LLQ_TRY(step_verdict(worker, &frame));
  else if (frame.kind == 'D')
    LLQ_TRY(step_done(worker, &frame));
  return 1;
}

static int checker_hung_up(struct llqi_worker *worker) {
  if (!worker->checker_ready)
    return start_failed(worker, &worker->checker, "a check");
  drop_checker(worker);
  if (worker->stage == LLQI_STAGE_FINISHING)
    worker->stage = LLQI_STAGE_DONE;
  else if (worker->stage > LLQI_STAGE_LOADING &&
           worker->stage < LLQI_STAGE_FINISHING)
    return conclude_with(worker, LLQI_REASON_CHECK, "its process ended");
  return LLQ_OK;
}

static int step_deadline(struct llqi_worker *worker) {
  if (worker->stage == LLQI_STAGE_STARTING)
    return start_failed(worker, &worker->program, "a program");
  if (worker->stage == LLQI_STAGE_FINISHING) {
    drop_checker(worker);
    worker->stage = LLQI_STAGE_DONE;
    return LLQ_OK;
  }
  if (worker->stage == LLQI_STAGE_CHECKING)
    drop_checker(worker);
  return conclude_with(worker, LLQI_REASON_TIME, "");
}

static int runs_program(const struct llqi_worker *worker) {
  return worker->stage == LLQI_STAGE_LOADING ||
         worker->stage == LLQI_STAGE_CHECKING ||
         worker->stage == LLQI_STAGE_CALLING;
}

/* Looks again after half of what is left, since threads may use it faster
   than the clock goes. */
static int step_cpu(struct llqi_worker *worker) {
  double now = llqi_clock();
  if (now < worker->cpu_due)
    return LLQ_OK;
  double left = cpu_limit(worker) - llqi_process_cpu(&worker->program);
  worker->cpu_due = now + fmax(0.5 * left, 5e-3);
  if (left > 0)
    return LLQ_OK;
  if (worker->stage == LLQI_STAGE_CHECKING)
    drop_checker(worker);
  return conclude_with(worker, LLQI_REASON_TIME, "");
}

double llqi_worker_due(const struct llqi_worker *worker) {
  return runs_program(worker) ? fmin(worker->deadline, worker->cpu_due)
                              : worker->deadline;
}

static int awaits_program(const struct llqi_worker *worker) {
  return worker->stage == LLQI_STAGE_STARTING ||
         worker->stage == LLQI_STAGE_LOADING ||
         worker->stage == LLQI_STAGE_CALLING;
}

/* The program is not told to start its check before the checker is there:
   its job waits in the channel. */
static int step_frames(struct llqi_worker *worker) {
  int found = 1;
  while (found > 0 && worker->stage != LLQI_STAGE_DONE) {
    LLQ_TRY(llqi_channel_pump(&worker->program.channel));
    LLQ_TRY(llqi_channel_pump(&worker->checker.channel));
    found = llqi_worker_step_checker(worker);
    LLQ_TRY(found);
    if (!awaits_program(worker))
      continue;
    int more = step_program(worker);
    LLQ_TRY(more);
    found += more;
  }
  return LLQ_OK;
}

int llqi_worker_step(struct llqi_worker *worker) {
  if (worker->stage == LLQI_STAGE_IDLE || worker->stage == LLQI_STAGE_DONE)
    return LLQ_OK;
  LLQ_TRY(step_frames(worker));
  if (worker->checker.pid > 0 && worker->checker.channel.closed)
    LLQ_TRY(checker_hung_up(worker));
  if (awaits_program(worker) && worker->program.channel.closed)
    LLQ_TRY(hung_up(worker));
  if (worker->stage == LLQI_STAGE_ENDING)
    return step_ending(worker);
  if (runs_program(worker))
    LLQ_TRY(step_cpu(worker));
  if (worker->stage != LLQI_STAGE_DONE && llqi_clock() > worker->deadline)
    return step_deadline(worker);
  return LLQ_OK;
}

int llqi_worker_events(const struct llqi_worker *worker,
                       struct pollfd *events) {
  const struct llqi_process *both[2] = {&worker->program, &worker->checker};
  int n = 0;
  for (int i = 0; i < 2; i++) {
    short wanted = llqi_channel_events(&both[i]->channel);
    if (wanted != 0)
      events[n++] = (struct pollfd){both[i]->channel.fd, wanted, 0};
  }
  if (worker->stage == LLQI_STAGE_ENDING)
    events[n++] = (struct pollfd){worker->program.pidfd, POLLIN, 0};
  return n;
}
