/* SPDX-License-Identifier: Apache-2.0 */
/* One evaluation after another, each in a directory of its own. */
#include <llq/quantizer.h>
#include <llq/sweep.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/options.h"
#include "base/status.h"
#include "evaluator/evaluator.h"
#include "evaluator/manifest.h"
#include "evaluator/run_directory.h"
#include "sweep/formats.h"
#include "sweep/table.h"

#define DEFAULT_SCHEMES "bf16,w8a8-fp,w8a8-int,w8a16-int,w4a16-int"
#define DEFAULT_METHODS "rtn"
#define DEFAULT_GROUP 128

struct llq_sweep {
  llq_backend *backend;
  llq_model *model;
  struct llqi_settings settings;
  llq_evaluator_options options; /* its texts are those of `settings`, */
  char *protocol, *compute;      /* and these */
  struct llqi_formats formats;
  int32_t group_size, n_samples, n_tokens;
  char *calibration;
  struct llqi_run_directory directory;
  uint64_t n_verdicts; /* of one format */
  json_t **results;    /* [formats.n]; NULL: not finished */

  /* The format that is worked on, and how. */
  size_t current;
  llq_quantizer *quantizer;
  llq_evaluator *evaluator;
  uint64_t n_done; /* verdicts of the current format */
  int finished;
};

static char *copy_or_null(const char *text, int *status) {
  if (text == NULL)
    return NULL;
  char *copy = llqi_strdup(text);
  if (copy == NULL)
    *status = LLQ_ERROR_MEMORY;
  return copy;
}

/* Keeps the caller's evaluation options, whose texts may not outlive the
   call. */
static int keep_options(llq_sweep *s, const llq_evaluator_options *given) {
  int status = LLQ_OK;
  LLQ_TRY(llqi_options_copy(&s->options, sizeof s->options, given,
                            "llq_evaluator_options"));
  s->options.struct_size = sizeof s->options;
  s->protocol = copy_or_null(s->options.protocol, &status);
  s->compute = copy_or_null(s->options.compute, &status);
  LLQ_TRY(status);
  LLQ_TRY(llqi_settings_make(&s->settings, given, s->backend, s->model));
  s->options.protocol = s->protocol;
  s->options.compute = s->compute;
  if (s->options.kv_cache != NULL)
    s->options.kv_cache = s->settings.kv_cache;
  s->options.task = s->settings.task;
  s->options.directory = s->settings.directory;
  s->options.sandbox = s->settings.sandbox;
  s->options.check = s->settings.check;
  s->options.samples = NULL;
  return LLQ_OK;
}

/* What all formats share of how they are quantized. */
static int record_quantization(const llq_sweep *s, json_t *run) {
  char hash[LLQI_HASH_TEXT_SIZE] = "random";
  if (s->calibration != NULL && strcmp(s->calibration, "random") != 0)
    LLQ_TRY(llqi_hash_file(s->calibration, hash));
  int failed =
      json_object_set_new(run, "sweep_group_size", json_integer(s->group_size));
  if (s->calibration != NULL)
    failed |= json_object_set_new(run, "sweep_calibration",
                                  json_pack("{s:s, s:i, s:i}", "sha256", hash,
                                            "n_samples", (int)s->n_samples,
                                            "n_tokens", (int)s->n_tokens));
  return failed ? llqi_fail(LLQ_ERROR_MEMORY, "out of memory: manifest.json")
                : LLQ_OK;
}

/* The sweep's own manifest: the base model's, and what all formats share. */
static int enter_directory(llq_sweep *s) {
  json_t *manifest;
  struct llqi_task_set *set;
  LLQ_TRY(llqi_task_set_open(&set, s->settings.task,
                             (size_t)s->settings.n_tasks_max));
  int status = llqi_settings_set_tasks(&s->settings, set);
  llqi_task_set_close(set);
  LLQ_TRY(status);
  s->n_verdicts =
      (uint64_t)s->settings.n_tasks * (uint64_t)s->settings.n_samples;
  LLQ_TRY(llqi_manifest_make(&s->settings, s->backend, s->model, &manifest));
  status = record_quantization(s, json_object_get(manifest, "run"));
  if (status >= 0)
    status =
        llqi_run_directory_open(&s->directory, s->settings.directory, manifest);
  json_decref(manifest);
  return status;
}

static int check_model(const llq_model *model) {
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  LLQ_TRY(llq_model_describe(model, &info));
  LLQ_REQUIRE(strcmp(info.scheme, "bf16") == 0,
              "a sweep begins with an unquantized model; this one is %s",
              info.scheme);
  return LLQ_OK;
}

static int fill(llq_sweep *s, const llq_sweep_options *given) {
  llq_sweep_options options;
  LLQ_TRY(
      llqi_options_copy(&options, sizeof options, given, "llq_sweep_options"));
  LLQ_REQUIRE(options.evaluation != NULL,
              "llq_sweep_options: evaluation is required");
  LLQ_TRY(check_model(s->model));
  LLQ_TRY(keep_options(s, options.evaluation));
  s->group_size = options.group_size != 0 ? options.group_size : DEFAULT_GROUP;
  s->n_samples = options.n_samples;
  s->n_tokens = options.n_tokens;
  int status = LLQ_OK;
  s->calibration = copy_or_null(options.calibration, &status);
  LLQ_TRY(status);
  LLQ_TRY(llqi_formats_make(
      &s->formats, options.schemes != NULL ? options.schemes : DEFAULT_SCHEMES,
      options.methods != NULL ? options.methods : DEFAULT_METHODS));
  s->results = llqi_calloc(s->formats.n, sizeof(json_t *));
  if (s->results == NULL)
    return LLQ_ERROR_MEMORY;
  return enter_directory(s);
}

int llq_sweep_open(llq_sweep **out, llq_backend *backend, llq_model *model,
                   const llq_sweep_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL && backend != NULL && model != NULL &&
                  options != NULL,
              "llq_sweep_open: NULL argument");
  *out = NULL;
  llq_sweep *s = llqi_calloc(1, sizeof *s);
  if (s == NULL)
    return LLQ_ERROR_MEMORY;
  s->backend = backend;
  s->model = llq_model_retain(model);
  int status = fill(s, options);
  if (status < 0)
    llq_sweep_close(s);
  else
    *out = s;
  return status;
}

void llq_sweep_close(llq_sweep *s) {
  if (s == NULL)
    return;
  llq_evaluator_close(s->evaluator);
  llq_quantizer_close(s->quantizer);
  for (size_t i = 0; i < s->formats.n && s->results != NULL; i++)
    json_decref(s->results[i]);
  llqi_free(s->results);
  llqi_run_directory_close(&s->directory);
  llqi_formats_free(&s->formats);
  llqi_settings_free(&s->settings);
  llqi_free(s->protocol);
  llqi_free(s->compute);
  llqi_free(s->calibration);
  llq_model_close(s->model);
  llqi_free(s);
}

static const struct llqi_format *current(const llq_sweep *s) {
  return &s->formats.items[s->current];
}

/* Opens the evaluation of a model in the current format's directory. */
static int open_evaluator(llq_sweep *s, llq_model *model) {
  char *directory = llqi_path_join(s->settings.directory, current(s)->name);
  if (directory == NULL)
    return LLQ_ERROR_MEMORY;
  llq_evaluator_options options = s->options;
  options.directory = directory;
  int status = llq_evaluator_open(&s->evaluator, s->backend, model, &options);
  llqi_free(directory);
  return status;
}

static int open_quantizer(llq_sweep *s) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = current(s)->scheme;
  options.method = current(s)->method;
  if (strcmp(current(s)->scheme, "w4a16-int") == 0)
    options.group_size = s->group_size;
  options.n_samples = s->n_samples;
  options.n_tokens = s->n_tokens;
  LLQ_TRY(llq_quantizer_open(&s->quantizer, s->backend, s->model, &options));
  if (s->calibration == NULL)
    return LLQ_OK;
  if (strcmp(s->calibration, "random") == 0)
    return llq_quantizer_calibrate_random(s->quantizer);
  return llq_quantizer_calibrate_file(s->quantizer, s->calibration);
}

/* The current format's result, if an earlier sweep has finished it. What it is
   a result of, the sweep's own manifest says. */
static int find_result(llq_sweep *s) {
  char *directory = llqi_path_join(s->settings.directory, current(s)->name);
  if (directory == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_run_directory_read(directory, "result.json",
                                       &s->results[s->current]);
  llqi_free(directory);
  return status;
}

static int begin(llq_sweep *s) {
  s->n_done = 0;
  LLQ_TRY(find_result(s));
  if (s->results[s->current] != NULL)
    return LLQ_OK;
  return current(s)->method[0] != '\0' ? open_quantizer(s)
                                       : open_evaluator(s, s->model);
}

static int step_quantizer(llq_sweep *s) {
  int status = llq_quantizer_step(s->quantizer, NULL);
  if (status != LLQ_OK)
    return status < 0 ? status : LLQ_OK;
  llq_model *model;
  LLQ_TRY(llq_quantizer_take(s->quantizer, &model));
  llq_quantizer_close(s->quantizer);
  s->quantizer = NULL;
  status = open_evaluator(s, model);
  llq_model_close(model);
  return status;
}

static int step_evaluator(llq_sweep *s) {
  llq_progress progress = LLQ_PROGRESS_INIT;
  int status = llq_evaluator_step(s->evaluator, &progress);
  s->n_done = progress.done;
  if (status != LLQ_OK)
    return status < 0 ? status : LLQ_OK;
  s->results[s->current] =
      json_incref((json_t *)llqi_evaluator_result(s->evaluator));
  llq_evaluator_close(s->evaluator);
  s->evaluator = NULL;
  return LLQ_OK;
}

static int step(llq_sweep *s) {
  if (s->finished)
    return LLQ_OK;
  if (s->evaluator != NULL)
    LLQ_TRY(step_evaluator(s));
  else if (s->quantizer != NULL)
    LLQ_TRY(step_quantizer(s));
  else
    LLQ_TRY(begin(s));
  if (s->results[s->current] != NULL) {
    s->current++;
    s->n_done = 0;
  }
  if (s->current < s->formats.n)
    return LLQ_MORE;
  LLQ_TRY(llqi_sweep_write(&s->settings, &s->formats, s->results));
  s->finished = 1;
  return LLQ_OK;
}

static int report(const llq_sweep *s, llq_progress *progress) {
  llq_progress now = LLQ_PROGRESS_INIT;
  if (progress == NULL)
    return LLQ_OK;
  now.done = s->current * s->n_verdicts + s->n_done;
  now.total = s->formats.n * s->n_verdicts;
  now.unit = "verdicts";
  if (!s->finished)
    snprintf(now.what, sizeof now.what, "%s: %s", current(s)->name,
             s->evaluator != NULL ? "evaluating" : "quantizing");
  return llqi_struct_return(progress, &now, sizeof now, "llq_progress");
}

int llq_sweep_step(llq_sweep *sweep, llq_progress *progress) {
  llqi_error_clear();
  LLQ_REQUIRE(sweep != NULL, "llq_sweep_step: NULL sweep");
  int status = step(sweep);
  if (status < 0)
    return sweep->current < sweep->formats.n
               ? llqi_fail_within(status, "%s", current(sweep)->name)
               : status;
  LLQ_TRY(report(sweep, progress));
  return status;
}

int llq_sweep_run(llq_sweep *sweep) {
  int status;
  do
    status = llq_sweep_step(sweep, NULL);
  while (status == LLQ_MORE);
  return status;
}
