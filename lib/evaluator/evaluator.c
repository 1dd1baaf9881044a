/* SPDX-License-Identifier: Apache-2.0 */
/* An evaluation: candidates come from a model or a samples file, go through
   the pool of sandboxes, and leave as lines of samples.jsonl. */
#include "evaluator/evaluator.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "evaluator/candidate.h"
#include "evaluator/generation.h"
#include "evaluator/manifest.h"
#include "evaluator/run_directory.h"

/* Candidates in flight beyond which generation waits for verdicts. */
#define N_IN_FLIGHT_MAX 1024
/* Programs that wait for a worker: enough that none is ever idle. */
#define N_WAITING 16
#define POLL_MS 50

struct llq_evaluator {
  struct llqi_settings settings;
  struct llqi_task_set *set;
  struct llqi_run_directory directory;
  json_t *manifest;
  struct llqi_pool *pool;

  /* Where candidates come from: a model, or programs that exist. */
  struct llqi_generation generation;
  struct llqi_programs programs;
  uint32_t *samples; /* [programs.n]: each one's number within its task */
  size_t next_program;

  /* Sample j of task i is number i * stride + j. */
  size_t stride, n_total;
  unsigned char *done;

  struct llqi_candidate **candidates; /* in flight; NULL: a free place */
  size_t n_places, n_in_flight;
  struct llqi_outcomes outcomes;
  struct llqi_text lines; /* of this step */
  int broken;             /* samples.jsonl may end in a part of a line */
  json_t *result;
  struct llqi_text result_text;
};

/* Numbers the programs within their tasks; each task must have one. */
static int number_programs(llq_evaluator *e) {
  uint32_t *counts = llqi_calloc(e->set->n_tasks, sizeof *counts);
  e->samples = llqi_array(e->programs.n, sizeof *e->samples);
  int status = counts != NULL && e->samples != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  e->stride = 1;
  for (size_t i = 0; i < e->programs.n && status >= 0; i++) {
    e->samples[i] = counts[e->programs.items[i].task]++;
    if (e->samples[i] >= e->stride)
      e->stride = e->samples[i] + 1;
  }
  for (size_t i = 0; i < e->set->n_tasks && status >= 0; i++) {
    if (counts[i] == 0)
      status = llqi_fail(LLQ_ERROR_FORMAT, "%s: no program for task %s",
                         e->settings.samples, e->set->tasks[i].task_id);
  }
  llqi_free(counts);
  return status;
}

static int read_programs(llq_evaluator *e) {
  LLQ_TRY(llqi_programs_read(e->settings.samples, e->set,
                             e->settings.n_tasks_max > 0, &e->programs));
  memcpy(e->settings.samples_sha256, e->programs.sha256,
         sizeof e->programs.sha256);
  e->n_total = e->programs.n;
  return number_programs(e);
}

static int open_tasks(llq_evaluator *e) {
  LLQ_TRY(llqi_task_set_open(&e->set, e->settings.task,
                             (size_t)e->settings.n_tasks_max));
  LLQ_REQUIRE(e->set->n_tasks > 0, "%s: no tasks", e->settings.task);
  LLQ_TRY(llqi_settings_set_tasks(&e->settings, e->set));
  if (e->settings.samples != NULL) {
    LLQ_TRY(read_programs(e));
  } else {
    e->stride = (size_t)e->settings.n_samples;
    e->n_total = e->set->n_tasks * e->stride;
  }
  e->done = llqi_calloc(e->set->n_tasks, e->stride);
  return e->done != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

/* Marks a sample of an earlier part of the run as done. */
static int take_line(void *user, const json_t *line, const char *where) {
  llq_evaluator *e = user;
  struct llqi_outcome outcome;
  const char *task_id;
  LLQ_TRY(llqi_sample_read(line, where, &outcome, &task_id));
  const struct llqi_task *task = llqi_task_find(e->set, task_id);
  if (task == NULL || outcome.sample >= e->stride)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: the run has no sample %u of %s",
                     where, (unsigned)outcome.sample, task_id);
  outcome.task = (uint32_t)(task - e->set->tasks);
  unsigned char *done = &e->done[outcome.task * e->stride + outcome.sample];
  if (*done)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: sample %u of %s for a second time",
                     where, (unsigned)outcome.sample, task_id);
  *done = 1;
  return llqi_outcomes_add(&e->outcomes, &outcome);
}

static int open_pool(llq_evaluator *e) {
  const struct llqi_pool_options options = {
      .n_workers = e->settings.n_workers,
      .sandbox = e->settings.sandbox,
      .check = e->settings.check,
      .cpu_seconds = e->settings.cpu_seconds,
      .memory_bytes = e->settings.memory_bytes,
  };
  return llqi_pool_open(&e->pool, &options);
}

static int open_parts(llq_evaluator *e, llq_backend *backend, llq_model *model,
                      const llq_evaluator_options *options) {
  LLQ_TRY(llqi_settings_make(&e->settings, options, backend, model));
  LLQ_TRY(open_tasks(e));
  LLQ_TRY(llqi_manifest_make(&e->settings, backend, model, &e->manifest));
  LLQ_TRY(open_pool(e));
  LLQ_TRY(llqi_run_directory_open(&e->directory, e->settings.directory,
                                  e->manifest));
  LLQ_TRY(llqi_run_directory_load(&e->directory, take_line, e));
  if (model == NULL || e->outcomes.n == e->n_total)
    return LLQ_OK;
  return llqi_generation_open(&e->generation, backend, model, &e->settings,
                              e->set, e->done);
}

static int open_any(llq_evaluator **out, llq_backend *backend, llq_model *model,
                    const llq_evaluator_options *options) {
  *out = NULL;
  llq_evaluator *e = llqi_calloc(1, sizeof *e);
  if (e == NULL)
    return LLQ_ERROR_MEMORY;
  int status = open_parts(e, backend, model, options);
  if (status < 0)
    llq_evaluator_close(e);
  else
    *out = e;
  return status;
}

int llq_evaluator_open(llq_evaluator **out, llq_backend *backend,
                       llq_model *model, const llq_evaluator_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL && backend != NULL && model != NULL,
              "llq_evaluator_open: NULL argument");
  return open_any(out, backend, model, options);
}

int llq_evaluator_open_samples(llq_evaluator **out,
                               const llq_evaluator_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL, "llq_evaluator_open_samples: NULL argument");
  return open_any(out, NULL, NULL, options);
}

void llq_evaluator_close(llq_evaluator *e) {
  if (e == NULL)
    return;
  llqi_pool_close(e->pool);
  for (size_t i = 0; i < e->n_places; i++)
    llqi_candidate_free(e->candidates[i]);
  llqi_free(e->candidates);
  llqi_generation_close(&e->generation);
  llqi_programs_free(&e->programs);
  llqi_free(e->samples);
  llqi_free(e->done);
  llqi_outcomes_free(&e->outcomes);
  llqi_text_free(&e->lines);
  llqi_text_free(&e->result_text);
  json_decref(e->result);
  json_decref(e->manifest);
  llqi_run_directory_close(&e->directory);
  llqi_task_set_close(e->set);
  llqi_settings_free(&e->settings);
  llqi_free(e);
}

/* Puts a candidate, which it owns, in flight. */
static int take_candidate(void *user, struct llqi_candidate *candidate) {
  llq_evaluator *e = user;
  size_t place = 0;
  while (place < e->n_places && e->candidates[place] != NULL)
    place++;
  if (place == e->n_places) {
    size_t n = e->n_places * 2 + 16;
    struct llqi_candidate **candidates =
        llqi_resize(e->candidates, n, sizeof(struct llqi_candidate *));
    if (candidates == NULL) {
      llqi_candidate_free(candidate);
      return LLQ_ERROR_MEMORY;
    }
    memset(candidates + e->n_places, 0, (n - e->n_places) * sizeof *candidates);
    e->candidates = candidates;
    e->n_places = n;
  }
  e->candidates[place] = candidate;
  e->n_in_flight++;
  return LLQ_OK;
}

static int take_programs(llq_evaluator *e) {
  for (; e->next_program < e->programs.n && e->n_in_flight < 2 * N_WAITING;
       e->next_program++) {
    const struct llqi_program *program = &e->programs.items[e->next_program];
    uint32_t sample = e->samples[e->next_program];
    struct llqi_candidate *candidate;
    if (e->done[program->task * e->stride + sample])
      continue;
    LLQ_TRY(llqi_candidate_read(&candidate, &e->set->tasks[program->task],
                                program));
    candidate->sample = sample;
    LLQ_TRY(take_candidate(e, candidate));
  }
  return LLQ_OK;
}

static int is_generating(const llq_evaluator *e) {
  return e->generation.generator != NULL &&
         !llqi_generation_ended(&e->generation);
}

static int make_candidates(llq_evaluator *e) {
  if (e->settings.samples != NULL)
    return take_programs(e);
  if (is_generating(e) && e->n_in_flight < N_IN_FLIGHT_MAX)
    return llqi_generation_step(&e->generation, take_candidate, e);
  return LLQ_OK;
}

static int submit_checks(llq_evaluator *e) {
  for (size_t i = 0; i < e->n_places && llqi_pool_waiting(e->pool) < N_WAITING;
       i++) {
    if (e->candidates[i] != NULL && !e->candidates[i]->submitted)
      LLQ_TRY(llqi_candidate_submit(e->candidates[i], e->pool, i));
  }
  return LLQ_OK;
}

static int take_verdict(llq_evaluator *e, const struct llqi_verdict *verdict) {
  size_t place = (size_t)(verdict->tag / 4);
  struct llqi_candidate *candidate = e->candidates[place];
  struct llqi_outcome outcome;
  if (!llqi_candidate_take(candidate, verdict))
    return LLQ_OK;
  LLQ_TRY(llqi_candidate_write(candidate, &e->settings, &e->lines, &outcome));
  LLQ_TRY(llqi_outcomes_add(&e->outcomes, &outcome));
  llqi_candidate_free(candidate);
  e->candidates[place] = NULL;
  e->n_in_flight--;
  return LLQ_OK;
}

/* Takes the verdicts that are there, waiting for the first if there is nothing
   else to do. */
static int collect_verdicts(llq_evaluator *e) {
  struct llqi_verdict verdict;
  int wait = is_generating(e) && e->n_in_flight < N_IN_FLIGHT_MAX ? 0 : POLL_MS;
  while (llqi_pool_pending(e->pool) > 0) {
    int status = llqi_pool_poll(e->pool, wait, &verdict);
    if (status != LLQ_OK)
      return status < 0 ? status : LLQ_OK;
    LLQ_TRY(take_verdict(e, &verdict));
    LLQ_TRY(submit_checks(e));
    wait = 0;
  }
  return LLQ_OK;
}

static int flush(llq_evaluator *e) {
  int status =
      llqi_run_directory_append(&e->directory, e->lines.data, e->lines.length);
  e->broken = status < 0;
  llqi_text_clear(&e->lines);
  return status;
}

static int summarize(llq_evaluator *e, json_t *result) {
  const char **task_ids = llqi_array(e->set->n_tasks, sizeof *task_ids);
  if (task_ids == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < e->set->n_tasks; i++)
    task_ids[i] = e->set->tasks[i].task_id;
  int status =
      llqi_metrics_summarize(&e->outcomes, task_ids, e->set->n_tasks, result);
  llqi_free(task_ids);
  return status;
}

static int finish(llq_evaluator *e) {
  json_t *result =
      json_pack("{s:O?, s:O?, s:s, s:s, s:O?, s:O?}", "model",
                json_object_get(e->manifest, "model"), "task",
                json_object_get(e->manifest, "task"), "task_sha256",
                e->settings.task_sha256, "sandbox", e->settings.sandbox,
                "device", json_object_get(e->manifest, "device"), "run",
                json_object_get(e->manifest, "run"));
  if (result == NULL)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: result.json");
  int status = summarize(e, result);
  if (status >= 0)
    status = llqi_run_directory_finish(&e->directory, result);
  if (status >= 0)
    status = llqi_json_dump(result, JSON_INDENT(2) | JSON_REAL_PRECISION(10),
                            &e->result_text);
  if (status < 0)
    json_decref(result);
  else
    e->result = result;
  return status;
}

static int step(llq_evaluator *e) {
  if (e->result != NULL)
    return LLQ_OK;
  if (e->broken)
    return llqi_fail(LLQ_ERROR_STATE,
                     "%s: could not be written to; open it again to continue",
                     e->settings.directory);
  LLQ_TRY(make_candidates(e));
  LLQ_TRY(submit_checks(e));
  LLQ_TRY(collect_verdicts(e));
  LLQ_TRY(flush(e));
  if (e->outcomes.n < e->n_total)
    return LLQ_MORE;
  return finish(e);
}

static int report(const llq_evaluator *e, llq_progress *progress) {
  llq_progress now = LLQ_PROGRESS_INIT;
  if (progress == NULL)
    return LLQ_OK;
  now.done = e->outcomes.n;
  now.total = e->n_total;
  now.unit = "verdicts";
  snprintf(now.what, sizeof now.what, "%s",
           is_generating(e) ? "generating and checking" : "checking");
  return llqi_struct_return(progress, &now, sizeof now, "llq_progress");
}

int llq_evaluator_step(llq_evaluator *evaluator, llq_progress *progress) {
  llqi_error_clear();
  LLQ_REQUIRE(evaluator != NULL, "llq_evaluator_step: NULL evaluator");
  int status = step(evaluator);
  if (status >= 0)
    LLQ_TRY(report(evaluator, progress));
  return status;
}

int llq_evaluator_run(llq_evaluator *evaluator) {
  int status;
  do
    status = llq_evaluator_step(evaluator, NULL);
  while (status == LLQ_MORE);
  return status;
}

const json_t *llqi_evaluator_result(const llq_evaluator *evaluator) {
  return evaluator->result;
}

int llq_evaluator_result(const llq_evaluator *evaluator, const char **json) {
  llqi_error_clear();
  LLQ_REQUIRE(evaluator != NULL && json != NULL,
              "llq_evaluator_result: NULL argument");
  *json = NULL;
  if (evaluator->result == NULL)
    return llqi_fail(LLQ_ERROR_STATE, "the evaluation has not finished");
  *json = evaluator->result_text.data;
  return LLQ_OK;
}
