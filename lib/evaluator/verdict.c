/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/verdict.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/status.h"
#include "evaluator/worker.h"

enum { WORKERS_MAX = 256, EVENTS_EACH = 4 };

struct queue {
  struct llqi_job *first, **last;
  size_t n;
};

struct llqi_pool {
  struct llqi_sandbox *sandbox;
  struct llqi_worker_settings settings;
  struct llqi_worker *workers;
  struct pollfd *events;
  int n_workers, n_running;
  int next;             /* the worker whose verdict goes out first */
  int is_alone;         /* one program runs, again and alone */
  struct queue waiting; /* for a worker */
  struct queue again;   /* timed out once; run alone when all else is done */
};

static void put(struct queue *queue, struct llqi_job *job) {
  job->next = NULL;
  *(queue->n > 0 ? queue->last : &queue->first) = job;
  queue->last = &job->next;
  queue->n++;
}

static struct llqi_job *take(struct queue *queue) {
  struct llqi_job *job = queue->n > 0 ? queue->first : NULL;
  if (job != NULL) {
    queue->first = job->next;
    queue->n--;
  }
  return job;
}

static void free_job(struct llqi_job *job) {
  if (job == NULL)
    return;
  llqi_text_free(&job->program);
  llqi_free(job);
}

static int count_workers(int wanted) {
  long n = wanted > 0 ? wanted : sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (int)n;
}

static int check_options(const struct llqi_pool_options *options,
                         struct llqi_worker_settings *settings) {
  const char *check = options->check != NULL ? options->check : "isolated";
  settings->in_process = strcmp(check, "in-process") == 0;
  LLQ_REQUIRE(settings->in_process || strcmp(check, "isolated") == 0,
              "check: expected \"isolated\" or \"in-process\", found \"%s\"",
              check);
  LLQ_REQUIRE(isfinite(options->cpu_seconds) && options->cpu_seconds >= 0,
              "cpu_seconds: expected 0 or more, found %g",
              options->cpu_seconds);
  LLQ_REQUIRE(isfinite(options->wall_seconds) && options->wall_seconds >= 0,
              "wall_seconds: expected 0 or more, found %g",
              options->wall_seconds);
  settings->cpu_seconds = options->cpu_seconds;
  settings->wall_seconds = options->wall_seconds;
  settings->memory_bytes = options->memory_bytes;
  return LLQ_OK;
}

static int fill_pool(struct llqi_pool *pool,
                     const struct llqi_pool_options *options) {
  LLQ_TRY(check_options(options, &pool->settings));
  int n = count_workers(options->n_workers);
  pool->workers = llqi_calloc((size_t)n, sizeof *pool->workers);
  pool->events = llqi_calloc((size_t)n * EVENTS_EACH, sizeof *pool->events);
  if (pool->workers == NULL || pool->events == NULL)
    return LLQ_ERROR_MEMORY;
  pool->n_workers = n;
  for (int i = 0; i < n; i++)
    llqi_worker_init(&pool->workers[i], &pool->settings);
  LLQ_TRY(llqi_sandbox_open(&pool->sandbox, options->sandbox, options->bwrap,
                            options->python));
  pool->settings.sandbox = pool->sandbox;
  return llqi_worker_prove(&pool->workers[0]);
}

int llqi_pool_open(struct llqi_pool **out,
                   const struct llqi_pool_options *options) {
  *out = NULL;
  struct llqi_pool *pool = llqi_calloc(1, sizeof *pool);
  if (pool == NULL)
    return LLQ_ERROR_MEMORY;
  int status = fill_pool(pool, options);
  if (status < 0)
    llqi_pool_close(pool);
  else
    *out = pool;
  return status;
}

void llqi_pool_close(struct llqi_pool *pool) {
  if (pool == NULL)
    return;
  for (int i = 0; i < pool->n_workers; i++) {
    llqi_worker_close(&pool->workers[i]);
    free_job(pool->workers[i].job);
  }
  while (pool->waiting.n > 0)
    free_job(take(&pool->waiting));
  while (pool->again.n > 0)
    free_job(take(&pool->again));
  llqi_sandbox_close(pool->sandbox);
  llqi_free(pool->workers);
  llqi_free(pool->events);
  llqi_free(pool);
}

int llqi_pool_submit(struct llqi_pool *pool, const struct llqi_task *task,
                     enum llqi_check check, const char *program, size_t n,
                     uint64_t tag) {
  LLQ_REQUIRE(check == LLQI_CHECK_TEST ||
                  (task->base_input != NULL && task->plus_input != NULL),
              "%s has no plus inputs", task->task_id);
  struct llqi_job *job = llqi_calloc(1, sizeof *job);
  if (job == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_text_append(&job->program, program, n);
  if (status < 0) {
    free_job(job);
    return status;
  }
  job->task = task;
  job->check = check;
  job->tag = tag;
  put(&pool->waiting, job);
  return LLQ_OK;
}

size_t llqi_pool_waiting(const struct llqi_pool *pool) {
  return pool->waiting.n;
}

size_t llqi_pool_pending(const struct llqi_pool *pool) {
  return pool->waiting.n + pool->again.n + (size_t)pool->n_running;
}

static int start_one(struct llqi_pool *pool, struct llqi_job *job) {
  int i = 0;
  while (pool->workers[i].stage != LLQI_STAGE_IDLE)
    i++;
  pool->n_running++;
  return llqi_worker_start(&pool->workers[i], job);
}

static int start_waiting(struct llqi_pool *pool) {
  while (!pool->is_alone && pool->waiting.n > 0 &&
         pool->n_running < pool->n_workers)
    LLQ_TRY(start_one(pool, take(&pool->waiting)));
  if (pool->n_running == 0 && pool->again.n > 0) {
    pool->is_alone = 1;
    return start_one(pool, take(&pool->again));
  }
  return LLQ_OK;
}

/* Takes a worker's job back: to run again, or for good. 1 = for good. */
static int take_verdict(struct llqi_pool *pool, struct llqi_worker *worker,
                        struct llqi_verdict *verdict) {
  struct llqi_job *job = worker->job;
  worker->stage = LLQI_STAGE_IDLE;
  worker->job = NULL;
  pool->n_running--;
  pool->is_alone = 0;
  if (worker->verdict.reason == LLQI_REASON_TIME && job->n_runs < 2) {
    put(&pool->again, job);
    return 0;
  }
  *verdict = worker->verdict;
  free_job(job);
  return 1;
}

static int step_all(struct llqi_pool *pool) {
  for (int i = 0; i < pool->n_workers; i++)
    LLQ_TRY(llqi_worker_step(&pool->workers[i]));
  return LLQ_OK;
}

/* 1 if there was one. */
static int find_verdict(struct llqi_pool *pool, struct llqi_verdict *verdict) {
  for (int k = 0; k < pool->n_workers; k++) {
    struct llqi_worker *worker = &pool->workers[pool->next];
    pool->next = (pool->next + 1) % pool->n_workers;
    if (worker->stage == LLQI_STAGE_DONE && take_verdict(pool, worker, verdict))
      return 1;
  }
  return 0;
}

static void wait_for_events(struct llqi_pool *pool, double until) {
  int n = 0;
  for (int i = 0; i < pool->n_workers; i++) {
    const struct llqi_worker *worker = &pool->workers[i];
    if (worker->stage == LLQI_STAGE_IDLE)
      continue;
    n += llqi_worker_events(worker, pool->events + n);
    until = fmin(until, llqi_worker_due(worker));
  }
  double ms = ceil(1e3 * (until - llqi_clock()));
  poll(pool->events, (nfds_t)n, (int)fmax(0, fmin(ms, 1e6)));
}

int llqi_pool_poll(struct llqi_pool *pool, int timeout_ms,
                   struct llqi_verdict *verdict) {
  double until = timeout_ms < 0 ? HUGE_VAL : llqi_clock() + 1e-3 * timeout_ms;
  for (;;) {
    LLQ_TRY(start_waiting(pool));
    LLQ_TRY(step_all(pool));
    if (find_verdict(pool, verdict)) {
      LLQ_TRY(start_waiting(pool));
      return LLQ_OK;
    }
    if (llqi_pool_pending(pool) == 0 || llqi_clock() >= until)
      return LLQ_MORE;
    if (pool->n_running > 0)
      wait_for_events(pool, until);
  }
}
