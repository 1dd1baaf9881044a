/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "evaluator/statistics.h"

#define BOOTSTRAP_SEED 1

/* The verdicts that a sample can have. */
enum kind { MAIN, RAW, BASE, N_KINDS };
static const char *const suffixes[N_KINDS] = {"", "_raw", "_base"};

/* Sums over the samples of a task. */
struct task_sums {
  uint64_t n, passed[N_KINDS];
  int has[N_KINDS];
  double min_margin;
};

int llqi_outcomes_add(struct llqi_outcomes *outcomes,
                      const struct llqi_outcome *outcome) {
  if (outcomes->n == outcomes->capacity) {
    size_t capacity = outcomes->capacity * 2 + 64;
    struct llqi_outcome *items =
        llqi_resize(outcomes->items, capacity, sizeof *items);
    if (items == NULL)
      return LLQ_ERROR_MEMORY;
    outcomes->items = items;
    outcomes->capacity = capacity;
  }
  outcomes->items[outcomes->n++] = *outcome;
  return LLQ_OK;
}

void llqi_outcomes_free(struct llqi_outcomes *outcomes) {
  llqi_free(outcomes->items);
  *outcomes = (struct llqi_outcomes){0};
}

json_t *llqi_json_number(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

/* Puts a value, which it takes, into an object. */
static int set(json_t *object, const char *key, json_t *value) {
  if (json_object_set_new(object, key, value) == 0)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: \"%s\" of a result", key);
}

static json_t *interval_json(struct llqi_interval interval) {
  return json_pack("[f, f]", interval.low, interval.high);
}

static struct task_sums *sum_tasks(const struct llqi_outcomes *outcomes,
                                   size_t n_tasks) {
  struct task_sums *sums = llqi_calloc(n_tasks, sizeof *sums);
  if (sums == NULL)
    return NULL;
  for (size_t i = 0; i < n_tasks; i++)
    sums[i].min_margin = INFINITY;
  for (size_t i = 0; i < outcomes->n; i++) {
    const struct llqi_outcome *outcome = &outcomes->items[i];
    struct task_sums *task = &sums[outcome->task];
    const int passed[N_KINDS] = {outcome->passed, outcome->passed_raw,
                                 outcome->passed_base};
    task->n++;
    for (int kind = 0; kind < N_KINDS; kind++) {
      task->passed[kind] += passed[kind] > 0;
      task->has[kind] |= passed[kind] >= 0;
    }
    task->min_margin = fmin(task->min_margin, outcome->min_margin);
  }
  return sums;
}

static uint64_t fewest_samples(const struct task_sums *sums, size_t n_tasks) {
  uint64_t fewest = UINT64_MAX;
  for (size_t i = 0; i < n_tasks; i++)
    fewest = sums[i].n < fewest ? sums[i].n : fewest;
  return fewest;
}

/* One sample a task is a proportion; more are a mean over tasks. */
static int interval_of(const double *values, size_t n, int single,
                       struct llqi_interval *interval) {
  if (!single)
    return llqi_bootstrap_mean(values, n, BOOTSTRAP_SEED, interval);
  *interval =
      llqi_wilson((uint64_t)llround(llqi_mean(values, n) * (double)n), n);
  return LLQ_OK;
}

/* pass@k with its interval, as "pass@<k><suffix>". */
static int add_pass_at(json_t *metrics, const struct task_sums *sums,
                       size_t n_tasks, uint64_t k, enum kind kind, int single) {
  double *values = llqi_array(n_tasks, sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n_tasks; i++)
    values[i] = llqi_pass_at_k(sums[i].n, sums[i].passed[kind], k);
  struct llqi_interval interval;
  int status = interval_of(values, n_tasks, single, &interval);
  char key[64];
  if (status >= 0) {
    snprintf(key, sizeof key, "pass@%llu%s", (unsigned long long)k,
             suffixes[kind]);
    status = set(metrics, key, json_real(llqi_mean(values, n_tasks)));
  }
  if (status >= 0) {
    strcat(key, "_ci95");
    status = set(metrics, key, interval_json(interval));
  }
  llqi_free(values);
  return status;
}

static int add_metrics(json_t *result, const struct task_sums *sums,
                       size_t n_tasks) {
  static const uint64_t ks[] = {1, 2, 5, 10, 20, 50, 100};
  json_t *metrics = json_object();
  LLQ_TRY(set(result, "metrics", metrics));
  uint64_t fewest = fewest_samples(sums, n_tasks);
  int single = 1, has[N_KINDS] = {1, 1, 1};
  for (size_t i = 0; i < n_tasks; i++) {
    single &= sums[i].n == 1;
    for (int kind = 0; kind < N_KINDS; kind++)
      has[kind] &= sums[i].has[kind];
  }
  for (size_t i = 0; i < sizeof ks / sizeof ks[0] && ks[i] <= fewest; i++) {
    for (int kind = 0; kind < N_KINDS; kind++) {
      if (has[kind])
        LLQ_TRY(add_pass_at(metrics, sums, n_tasks, ks[i], kind, single));
    }
  }
  return LLQ_OK;
}

/* "passed", "passed_raw", "passed_base". */
static int add_passed(json_t *task, const struct task_sums *sums) {
  for (int kind = 0; kind < N_KINDS; kind++) {
    char key[32];
    snprintf(key, sizeof key, "passed%s", suffixes[kind]);
    if (sums->has[kind])
      LLQ_TRY(set(task, key, json_integer((json_int_t)sums->passed[kind])));
  }
  return LLQ_OK;
}

static int add_tasks(json_t *result, const struct task_sums *sums,
                     const char *const *task_ids, size_t n_tasks) {
  json_t *per_task = json_object();
  LLQ_TRY(set(result, "per_task", per_task));
  for (size_t i = 0; i < n_tasks; i++) {
    json_t *task = json_object();
    LLQ_TRY(set(per_task, task_ids[i], task));
    LLQ_TRY(set(task, "n", json_integer((json_int_t)sums[i].n)));
    LLQ_TRY(add_passed(task, &sums[i]));
    LLQ_TRY(set(task, "min_margin", llqi_json_number(sums[i].min_margin)));
  }
  return LLQ_OK;
}

static int count(json_t *counts, const char *key) {
  json_int_t n = json_integer_value(json_object_get(counts, key));
  return set(counts, key, json_integer(n + 1));
}

static int add_counts(json_t *result, const struct llqi_outcomes *outcomes) {
  json_t *verdicts = json_object(), *stops = json_object();
  int status = set(result, "verdicts", verdicts);
  int stops_status = set(result, "stops", stops);
  if (status < 0 || stops_status < 0)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < outcomes->n; i++) {
    LLQ_TRY(count(verdicts, outcomes->items[i].verdict));
    if (outcomes->items[i].stop[0] != '\0')
      LLQ_TRY(count(stops, outcomes->items[i].stop));
  }
  return LLQ_OK;
}

static int add_performance(json_t *result,
                           const struct llqi_outcomes *outcomes) {
  uint64_t n_tokens = 0;
  double seconds = 0, cpu_seconds = 0;
  for (size_t i = 0; i < outcomes->n; i++) {
    n_tokens += outcomes->items[i].n_tokens;
    seconds += outcomes->items[i].seconds;
    cpu_seconds += outcomes->items[i].cpu_seconds;
  }
  double rate = seconds > 0 ? (double)n_tokens / seconds : NAN;
  return set(result, "performance",
             json_pack("{s:I, s:f, s:o, s:f}", "generated_tokens",
                       (json_int_t)n_tokens, "generation_seconds", seconds,
                       "tokens_per_second", llqi_json_number(rate),
                       "program_cpu_seconds", cpu_seconds));
}

int llqi_metrics_summarize(const struct llqi_outcomes *outcomes,
                           const char *const *task_ids, size_t n_tasks,
                           json_t *result) {
  struct task_sums *sums = sum_tasks(outcomes, n_tasks);
  if (sums == NULL)
    return LLQ_ERROR_MEMORY;
  int status = set(result, "n_tasks", json_integer((json_int_t)n_tasks));
  if (status >= 0)
    status = set(result, "n_samples", json_integer((json_int_t)outcomes->n));
  if (status >= 0)
    status = add_metrics(result, sums, n_tasks);
  if (status >= 0)
    status = add_tasks(result, sums, task_ids, n_tasks);
  if (status >= 0)
    status = add_counts(result, outcomes);
  if (status >= 0)
    status = add_performance(result, outcomes);
  llqi_free(sums);
  return status;
}
