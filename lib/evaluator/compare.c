/* SPDX-License-Identifier: Apache-2.0 */
/* Two runs of the same tasks, task by task. */
#include <llq/evaluator.h>

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/text.h"
#include "evaluator/metrics.h"
#include "evaluator/statistics.h"

#define BOOTSTRAP_SEED 1

/* Each task's pass rate in both runs. */
struct pairs {
  size_t n;
  const char **names; /* borrowed from the results */
  double *a, *b;
  int single; /* one sample a task in both */
};

static void pairs_free(struct pairs *pairs) {
  llqi_free(pairs->names);
  llqi_free(pairs->a);
  llqi_free(pairs->b);
}

/* A task's pass rate, of {"n": 50, "passed": 49}. */
static int read_rate(const json_t *task, const char *name, double *rate,
                     int *single) {
  int64_t n, passed;
  LLQ_TRY(llqi_json_int(task, name, "n", 1, INT32_MAX, &n));
  LLQ_TRY(llqi_json_int(task, name, "passed", 0, n, &passed));
  *rate = (double)passed / (double)n;
  *single &= n == 1;
  return LLQ_OK;
}

static int different_tasks(const char *name) {
  return llqi_fail(LLQ_ERROR_ARGUMENT,
                   "the runs are not of the same tasks: only one has %s", name);
}

static int pair_tasks(const json_t *a, const json_t *b, struct pairs *pairs) {
  const char *name;
  json_t *task;
  json_object_foreach((json_t *)a, name, task) {
    const json_t *other = json_object_get(b, name);
    if (other == NULL)
      return different_tasks(name);
    size_t i = pairs->n++;
    pairs->names[i] = name;
    LLQ_TRY(read_rate(task, name, &pairs->a[i], &pairs->single));
    LLQ_TRY(read_rate(other, name, &pairs->b[i], &pairs->single));
  }
  json_object_foreach((json_t *)b, name, task) {
    if (json_object_get(a, name) == NULL)
      return different_tasks(name);
  }
  return LLQ_OK;
}

static int pairs_make(const json_t *a, const json_t *b, struct pairs *pairs) {
  const json_t *tasks_a = json_object_get(a, "per_task");
  const json_t *tasks_b = json_object_get(b, "per_task");
  size_t n = json_object_size(tasks_a);
  *pairs = (struct pairs){.single = 1};
  if (n == 0 || !json_is_object(tasks_b))
    return llqi_fail(LLQ_ERROR_FORMAT, "result.json: no \"per_task\"");
  const char *sha_a = json_string_value(json_object_get(a, "task_sha256"));
  const char *sha_b = json_string_value(json_object_get(b, "task_sha256"));
  if (sha_a != NULL && sha_b != NULL && strcmp(sha_a, sha_b) != 0)
    return llqi_fail(LLQ_ERROR_ARGUMENT,
                     "the runs are not of the same tasks: their task sets "
                     "differ (SHA-256 %.12s and %.12s)",
                     sha_a, sha_b);
  pairs->names = llqi_array(n, sizeof *pairs->names);
  pairs->a = llqi_array(n, sizeof *pairs->a);
  pairs->b = llqi_array(n, sizeof *pairs->b);
  if (pairs->names == NULL || pairs->a == NULL || pairs->b == NULL)
    return LLQ_ERROR_MEMORY;
  return pair_tasks(tasks_a, tasks_b, pairs);
}

/* Whether most of a task's samples pass. */
static int passes(double rate) {
  return rate > 0.5;
}

/* Names of the tasks that passed in one run and not in the other. */
static json_t *flipped(const struct pairs *pairs, const double *passed,
                       const double *failed) {
  json_t *names = json_array();
  for (size_t i = 0; i < pairs->n && names != NULL; i++) {
    if (!passes(passed[i]) || passes(failed[i]))
      continue;
    if (json_array_append_new(names, json_string(pairs->names[i])) < 0) {
      json_decref(names);
      return NULL;
    }
  }
  return names;
}

static int difference_of(const struct pairs *pairs, const json_t *lost,
                         const json_t *gained, struct llqi_difference *out) {
  if (!pairs->single)
    return llqi_compare_rates(pairs->a, pairs->b, pairs->n, BOOTSTRAP_SEED,
                              out);
  *out = llqi_compare_flips(json_array_size(lost), json_array_size(gained),
                            pairs->n);
  return LLQ_OK;
}

/* What a comparison shows of one of its runs. */
static json_t *run_json(const json_t *result, double pass_at_1) {
  const json_t *metrics = json_object_get(result, "metrics");
  return json_pack("{s:O?, s:f, s:O?}", "run", json_object_get(result, "run"),
                   "pass@1", pass_at_1, "pass@1_ci95",
                   json_object_get(metrics, "pass@1_ci95"));
}

static int compare(const struct pairs *pairs, const json_t *a, const json_t *b,
                   json_t **out) {
  json_t *lost = flipped(pairs, pairs->a, pairs->b);
  json_t *gained = flipped(pairs, pairs->b, pairs->a);
  struct llqi_difference difference = {0};
  int status = lost != NULL && gained != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  if (status >= 0)
    status = difference_of(pairs, lost, gained, &difference);
  if (status < 0) {
    json_decref(lost);
    json_decref(gained);
    return status;
  }
  double mean_a = llqi_mean(pairs->a, pairs->n);
  double mean_b = llqi_mean(pairs->b, pairs->n);
  *out = json_pack(
      "{s:o, s:o, s:I, s:s, s:f, s:[f, f], s:f, s:o, s:f, s:{s:o, s:o}}", "a",
      run_json(a, mean_a), "b", run_json(b, mean_b), "n_tasks",
      (json_int_t)pairs->n, "test",
      pairs->single ? "mcnemar-exact" : "paired-bootstrap", "difference",
      difference.value, "difference_ci95", difference.ci95.low,
      difference.ci95.high, "p", difference.p, "recovery_percent",
      llqi_json_number(100 * mean_b / mean_a), "detectable_difference",
      difference.detectable, "flips", "lost", lost, "gained", gained);
  if (*out == NULL)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: a comparison");
  return LLQ_OK;
}

int llqi_compare_results(const json_t *a, const json_t *b, json_t **out) {
  struct pairs pairs;
  *out = NULL;
  int status = pairs_make(a, b, &pairs);
  if (status >= 0)
    status = compare(&pairs, a, b, out);
  pairs_free(&pairs);
  return status;
}

static int read_result(const char *directory, json_t **out) {
  *out = NULL;
  char *path = llqi_path_join(directory, "result.json");
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_json_read(path, out);
  llqi_free(path);
  return status;
}

static int dump(const json_t *value, char **out) {
  struct llqi_text text = {0};
  int status =
      llqi_json_dump(value, JSON_INDENT(2) | JSON_REAL_PRECISION(10), &text);
  if (status >= 0 && (*out = llqi_text_take(&text)) == NULL)
    status = LLQ_ERROR_MEMORY;
  llqi_text_free(&text);
  return status;
}

int llq_compare(const char *directory_a, const char *directory_b, char **json) {
  llqi_error_clear();
  LLQ_REQUIRE(directory_a != NULL && directory_b != NULL && json != NULL,
              "llq_compare: NULL argument");
  *json = NULL;
  json_t *a = NULL, *b = NULL, *comparison = NULL;
  int status = read_result(directory_a, &a);
  if (status >= 0)
    status = read_result(directory_b, &b);
  if (status >= 0)
    status = llqi_compare_results(a, b, &comparison);
  if (status >= 0)
    status = dump(comparison, json);
  json_decref(comparison);
  json_decref(b);
  json_decref(a);
  return status;
}
