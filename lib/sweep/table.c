/* SPDX-License-Identifier: Apache-2.0 */
#include "sweep/table.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "evaluator/metrics.h"

static int no_memory(void) {
  return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: sweep.json");
}

static int make_row(const struct llqi_format *format, const json_t *result,
                    json_t *comparison, json_t **out) {
  const json_t *metrics = json_object_get(result, "metrics");
  const json_t *performance = json_object_get(result, "performance");
  const json_t *run = json_object_get(result, "run");
  *out = json_pack(
      "{s:s, s:s, s:O?, s:O?, s:s, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?}",
      "name", format->name, "scheme", format->scheme, "method",
      json_object_get(run, "method"), "group_size",
      json_object_get(run, "group_size"), "directory", format->name, "pass@1",
      json_object_get(metrics, "pass@1"), "pass@1_ci95",
      json_object_get(metrics, "pass@1_ci95"), "metrics", metrics,
      "weight_bytes", json_object_get(run, "weight_bytes"), "linear_bytes",
      json_object_get(run, "linear_bytes"), "tokens_per_second",
      json_object_get(performance, "tokens_per_second"), "comparison",
      comparison);
  return *out != NULL ? LLQ_OK : no_memory();
}

static int add_row(json_t *rows, const struct llqi_format *format,
                   const json_t *base, const json_t *result) {
  json_t *comparison = NULL, *row;
  if (result != base)
    LLQ_TRY(llqi_compare_results(base, result, &comparison));
  int status = make_row(format, result, comparison, &row);
  json_decref(comparison);
  LLQ_TRY(status);
  return json_array_append_new(rows, row) == 0 ? LLQ_OK : no_memory();
}

/* What all formats have in common, in the base's words. */
static json_t *head(const struct llqi_settings *settings,
                    const struct llqi_formats *formats, const json_t *base) {
  const json_t *run = json_object_get(base, "run");
  const json_t *device = json_object_get(base, "device");
  return json_pack(
      "{s:s, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:O?, s:s, s:s, s:I, "
      "s:I}",
      "library", llq_version(), "model", json_object_get(base, "model"), "task",
      json_object_get(base, "task"), "task_sha256",
      json_object_get(base, "task_sha256"), "protocol",
      json_object_get(run, "protocol"), "backend",
      json_object_get(run, "backend"), "device",
      json_object_get(device, "name"), "arch", json_object_get(run, "arch"),
      "compute", json_object_get(run, "compute"), "sandbox", settings->sandbox,
      "base", formats->items[0].name, "n_tasks", (json_int_t)settings->n_tasks,
      "n_samples", (json_int_t)settings->n_samples);
}

static int fill(json_t *sweep, const struct llqi_formats *formats,
                json_t *const *results) {
  json_t *rows = json_array();
  if (json_object_set_new(sweep, "rows", rows) < 0)
    return no_memory();
  for (size_t i = 0; i < formats->n; i++)
    LLQ_TRY(add_row(rows, &formats->items[i], results[0], results[i]));
  return LLQ_OK;
}

int llqi_sweep_write(const struct llqi_settings *settings,
                     const struct llqi_formats *formats,
                     json_t *const *results) {
  char *path = llqi_path_join(settings->directory, "sweep.json");
  json_t *sweep = head(settings, formats, results[0]);
  int status = path != NULL && sweep != NULL ? LLQ_OK : no_memory();
  if (status >= 0)
    status = fill(sweep, formats, results);
  if (status >= 0)
    status = llqi_json_write(path, sweep);
  json_decref(sweep);
  llqi_free(path);
  return status;
}
