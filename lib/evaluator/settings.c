/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/settings.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/status.h"
#include "base/text.h"
#include "generator/kv_cache.h"
#include "model/kv_scheme.h"

#define DEFAULT_SEQUENCES 16

static int is_one_of(const char *name, const char *a, const char *b) {
  return strcmp(name, a) == 0 || strcmp(name, b) == 0;
}

static int check_names(const llq_evaluator_options *options) {
  LLQ_REQUIRE(options->task != NULL, "evaluator options: task is required");
  LLQ_REQUIRE(options->directory != NULL,
              "evaluator options: directory is required");
  LLQ_REQUIRE(options->sandbox == NULL ||
                  is_one_of(options->sandbox, "bwrap", "rlimit"),
              "sandbox \"%s\": expected \"bwrap\" or \"rlimit\"",
              options->sandbox);
  LLQ_REQUIRE(options->check == NULL ||
                  is_one_of(options->check, "isolated", "in-process"),
              "check \"%s\": expected \"isolated\" or \"in-process\"",
              options->check);
  return LLQ_OK;
}

static int check_numbers(const llq_evaluator_options *options) {
  const struct {
    const char *name;
    int32_t value;
  } counts[] = {{"n_samples", options->n_samples},
                {"n_tasks", options->n_tasks},
                {"n_tokens_max", options->n_tokens_max},
                {"n_sequences", options->n_sequences},
                {"n_workers", options->n_workers},
                {"n_context", options->n_context}};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    LLQ_REQUIRE(counts[i].value >= 0, "evaluator options: %s is %d",
                counts[i].name, counts[i].value);
  LLQ_REQUIRE(isfinite(options->temperature),
              "evaluator options: temperature is not a number");
  LLQ_REQUIRE(options->top_p >= 0 && options->top_p <= 1,
              "evaluator options: top_p is %g, expected 0 to 1",
              options->top_p);
  LLQ_REQUIRE(options->cpu_seconds >= 0 && options->cpu_seconds <= 86400,
              "evaluator options: cpu_seconds is %g, expected 0 to 86400",
              options->cpu_seconds);
  LLQ_REQUIRE(options->seed <= INT64_MAX && options->memory_bytes <= INT64_MAX,
              "evaluator options: seed or memory_bytes is over 2^63 - 1");
  return LLQ_OK;
}

static int copy_names(struct llqi_settings *out,
                      const llq_evaluator_options *options) {
  out->task = llqi_strdup(options->task);
  out->directory = llqi_strdup(options->directory);
  out->sandbox =
      llqi_strdup(options->sandbox != NULL ? options->sandbox : "bwrap");
  out->check =
      llqi_strdup(options->check != NULL ? options->check : "isolated");
  if (out->task == NULL || out->directory == NULL || out->sandbox == NULL ||
      out->check == NULL)
    return LLQ_ERROR_MEMORY;
  return LLQ_OK;
}

static int32_t or_default(int32_t value, int32_t otherwise) {
  return value != 0 ? value : otherwise;
}

/* How the generator will keep keys and values. */
static int find_kv_cache(const llq_model *model, const char *given,
                         const char **out) {
  int dtype;
  LLQ_TRY(llqi_kv_cache_type(model, given, 0, &dtype));
  *out = dtype != 0 ? llqi_kv_dtype_name(dtype) : "compute";
  return LLQ_OK;
}

/* What a run that generates needs beyond one that only scores. */
static int fill_generation(struct llqi_settings *out,
                           const llq_evaluator_options *options,
                           const llq_backend *backend, const llq_model *model) {
  llq_device_info device = LLQ_DEVICE_INFO_INIT;
  int chat;
  LLQ_TRY(llqi_protocol_has_chat(model, &chat));
  LLQ_TRY(llqi_protocol_find(options->protocol != NULL ? options->protocol
                                                       : "humaneval",
                             chat, &out->protocol));
  LLQ_TRY(llq_backend_describe(backend, &device));
  out->compute = strcmp(device.backend, "cpu") == 0 ? "f32" : "bf16";
  if (options->compute != NULL) {
    LLQ_REQUIRE(is_one_of(options->compute, "f32", "bf16"),
                "compute \"%s\": expected \"f32\" or \"bf16\"",
                options->compute);
    out->compute = strcmp(options->compute, "f32") == 0 ? "f32" : "bf16";
  }
  LLQ_TRY(find_kv_cache(model, options->kv_cache, &out->kv_cache));
  out->n_samples = or_default(options->n_samples, out->protocol->n_samples);
  out->n_tokens_max =
      or_default(options->n_tokens_max, out->protocol->n_tokens_max);
  out->n_sequences = or_default(options->n_sequences, DEFAULT_SEQUENCES);
  out->n_context = options->n_context;
  out->temperature = options->temperature != 0 ? fmax(0, options->temperature)
                                               : out->protocol->temperature;
  out->top_p = options->top_p != 0 ? options->top_p : out->protocol->top_p;
  out->seed = options->seed;
  return LLQ_OK;
}

static int fill(struct llqi_settings *out, const llq_evaluator_options *given,
                const llq_backend *backend, const llq_model *model) {
  llq_evaluator_options options;
  LLQ_REQUIRE(given != NULL, "evaluator options are required");
  LLQ_TRY(llqi_options_copy(&options, sizeof options, given,
                            "llq_evaluator_options"));
  LLQ_TRY(check_names(&options));
  LLQ_TRY(check_numbers(&options));
  LLQ_TRY(copy_names(out, &options));
  out->n_tasks_max = options.n_tasks;
  out->n_workers = options.n_workers;
  out->cpu_seconds = options.cpu_seconds;
  out->memory_bytes = options.memory_bytes;
  if (model != NULL)
    return fill_generation(out, &options, backend, model);
  LLQ_REQUIRE(options.samples != NULL,
              "evaluator options: samples is required");
  out->samples = llqi_strdup(options.samples);
  return out->samples != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

int llqi_settings_make(struct llqi_settings *out,
                       const llq_evaluator_options *options,
                       const llq_backend *backend, const llq_model *model) {
  *out = (struct llqi_settings){0};
  int status = fill(out, options, backend, model);
  if (status < 0)
    llqi_settings_free(out);
  return status;
}

void llqi_settings_free(struct llqi_settings *settings) {
  llqi_free(settings->task);
  llqi_free(settings->directory);
  llqi_free(settings->samples);
  llqi_free(settings->sandbox);
  llqi_free(settings->check);
  *settings = (struct llqi_settings){0};
}

/* Each text with its NUL, so that no two sets run together alike. */
static int append_task(struct llqi_text *out, const struct llqi_task *task) {
  const char *const texts[] = {
      task->task_id,  task->prompt,     task->entry_point, task->test,
      task->contract, task->base_input, task->plus_input};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    const char *text = texts[i] != NULL ? texts[i] : "";
    LLQ_TRY(llqi_text_append(out, text, strlen(text) + 1));
  }
  return LLQ_OK;
}

int llqi_settings_set_tasks(struct llqi_settings *settings,
                            const struct llqi_task_set *set) {
  struct llqi_text all = {0};
  int status = LLQ_OK;
  for (size_t i = 0; i < set->n_tasks && status >= 0; i++)
    status = append_task(&all, &set->tasks[i]);
  if (status >= 0) {
    llqi_hash_bytes(all.data, all.length, settings->task_sha256);
    settings->n_tasks = (int64_t)set->n_tasks;
  }
  llqi_text_free(&all);
  return status;
}
