/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "model/gguf.h"
#include "model/model.h"

static json_t *string_or_null(const char *text) {
  return text != NULL ? json_string(text) : json_null();
}

static int set(json_t *object, const char *key, json_t *value) {
  if (json_object_set_new(object, key, value) == 0)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_MEMORY, "manifest.json: cannot hold \"%s\"", key);
}

static int ends_with(const char *name, const char *end) {
  size_t n = strlen(name), m = strlen(end);
  return n > m && strcmp(name + n - m, end) == 0;
}

/* The files of a model's directory that what it generates depends on. */
static int is_model_file(const char *name) {
  static const char *const names[] = {
      "config.json",     "generation_config.json", "tokenizer.json",
      "tokenizer.model", "tokenizer_config.json",  "chat_template.jinja"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(name, names[i]) == 0)
      return 1;
  }
  return ends_with(name, ".safetensors") ||
         ends_with(name, ".safetensors.index.json");
}

static int add_file(json_t *files, const char *directory, const char *name) {
  char hash[LLQI_HASH_TEXT_SIZE];
  char *path = llqi_path_join(directory, name);
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_hash_file(path, hash);
  if (status >= 0)
    status = set(files, name, json_string(hash));
  llqi_free(path);
  return status;
}

/* The SHA-256 of each of a model's files. */
static int add_files(json_t *run, const char *path) {
  json_t *files = json_object();
  LLQ_TRY(set(run, "files", files));
  if (path == NULL)
    return LLQ_OK;
  DIR *directory = opendir(path);
  if (directory == NULL)
    return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s", path);
  int status = LLQ_OK;
  const struct dirent *entry;
  while (status >= 0 && (entry = readdir(directory)) != NULL) {
    if (is_model_file(entry->d_name))
      status = add_file(files, path, entry->d_name);
  }
  closedir(directory);
  return status;
}

/* A GGUF file has everything inside. */
static int add_gguf(json_t *run, const char *path) {
  char hash[LLQI_HASH_TEXT_SIZE];
  const char *slash = strrchr(path, '/');
  json_t *files = json_object();
  LLQ_TRY(set(run, "files", files));
  LLQ_TRY(llqi_hash_file(path, hash));
  return set(files, slash != NULL ? slash + 1 : path, json_string(hash));
}

static int is_random(const llq_model *model) {
  return model->directory == NULL && llqi_model_gguf(model) == NULL;
}

static int add_model(json_t *run, const llq_model *model) {
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  LLQ_TRY(llq_model_describe(model, &info));
  /* A model of random weights is known by its name, others by their files. */
  LLQ_TRY(
      set(run, "random",
          string_or_null(is_random(model) ? llq_model_source(model) : NULL)));
  LLQ_TRY(set(run, "scheme", json_string(info.scheme)));
  LLQ_TRY(set(run, "method", string_or_null(model->quantization_method)));
  if (model->calibration_sha256 != NULL)
    LLQ_TRY(
        set(run, "calibration_sha256", json_string(model->calibration_sha256)));
  LLQ_TRY(set(run, "group_size", json_integer(info.group_size)));
  LLQ_TRY(set(run, "dtype", json_string(info.dtype)));
  LLQ_TRY(set(run, "parameters", json_integer((json_int_t)info.n_parameters)));
  LLQ_TRY(
      set(run, "weight_bytes", json_integer((json_int_t)info.n_weight_bytes)));
  LLQ_TRY(
      set(run, "linear_bytes", json_integer((json_int_t)info.n_linear_bytes)));
  if (model->output.format != LLQ_WEIGHT_DENSE)
    LLQ_TRY(set(run, "output_scheme", json_string(info.output_scheme)));
  return llqi_model_gguf(model) != NULL
             ? add_gguf(run, llqi_model_gguf(model)->path)
             : add_files(run, model->directory);
}

static int add_generation(json_t *run, const struct llqi_settings *settings,
                          const llq_backend *backend) {
  llq_device_info device = LLQ_DEVICE_INFO_INIT;
  LLQ_TRY(llq_backend_describe(backend, &device));
  LLQ_TRY(set(run, "backend", json_string(device.backend)));
  LLQ_TRY(set(run, "arch", json_string(device.arch)));
  LLQ_TRY(set(run, "compute", json_string(settings->compute)));
  if (strcmp(settings->kv_cache, "compute") != 0)
    LLQ_TRY(set(run, "kv_cache", json_string(settings->kv_cache)));
  LLQ_TRY(set(run, "n_tokens_max", json_integer(settings->n_tokens_max)));
  LLQ_TRY(set(run, "n_context", json_integer(settings->n_context)));
  LLQ_TRY(set(run, "temperature", json_real(settings->temperature)));
  LLQ_TRY(set(run, "top_p", json_real(settings->top_p)));
  return set(run, "seed", json_integer((json_int_t)settings->seed));
}

static int add_scoring(json_t *run, const struct llqi_settings *settings) {
  char protocol[64] = "samples";
  if (settings->protocol != NULL)
    snprintf(protocol, sizeof protocol, "%s %d", settings->protocol->name,
             settings->protocol->version);
  LLQ_TRY(set(run, "library", json_string(llq_version())));
  LLQ_TRY(set(run, "protocol", json_string(protocol)));
  LLQ_TRY(set(run, "chat",
              json_boolean(settings->protocol != NULL &&
                           settings->protocol->form == LLQI_PROMPT_CHAT)));
  LLQ_TRY(set(run, "task_sha256", json_string(settings->task_sha256)));
  LLQ_TRY(set(run, "n_tasks", json_integer(settings->n_tasks)));
  LLQ_TRY(set(run, "n_samples", json_integer(settings->n_samples)));
  LLQ_TRY(set(run, "sandbox", json_string(settings->sandbox)));
  LLQ_TRY(set(run, "check", json_string(settings->check)));
  LLQ_TRY(set(run, "cpu_seconds", json_real(settings->cpu_seconds)));
  return set(run, "memory_bytes",
             json_integer((json_int_t)settings->memory_bytes));
}

static json_t *device_json(const llq_backend *backend) {
  llq_device_info device = LLQ_DEVICE_INFO_INIT;
  if (backend == NULL || llq_backend_describe(backend, &device) < 0)
    return json_null();
  return json_pack("{s:s, s:s, s:i, s:s, s:I}", "name", device.name, "driver",
                   device.driver, "n_units", (int)device.n_units, "arch",
                   device.arch, "memory_bytes",
                   (json_int_t)device.memory_bytes);
}

static json_t *host_json(void) {
  struct utsname host;
  if (uname(&host) < 0)
    return json_null();
  return json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", host.nodename, "system",
                   host.sysname, "release", host.release, "machine",
                   host.machine, "n_cores", (int)sysconf(_SC_NPROCESSORS_ONLN));
}

static json_t *time_json(void) {
  char text[32];
  time_t now = time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return json_string(text);
}

static int fill_run(json_t *run, const struct llqi_settings *settings,
                    const llq_backend *backend, const llq_model *model) {
  LLQ_TRY(add_scoring(run, settings));
  if (settings->samples != NULL)
    return set(run, "samples_sha256", json_string(settings->samples_sha256));
  LLQ_TRY(add_model(run, model));
  return add_generation(run, settings, backend);
}

static int fill(json_t *manifest, const struct llqi_settings *settings,
                const llq_backend *backend, const llq_model *model) {
  json_t *run = json_object();
  LLQ_TRY(set(manifest, "run", run));
  LLQ_TRY(fill_run(run, settings, backend, model));
  LLQ_TRY(set(manifest, "model",
              string_or_null(model != NULL ? llq_model_source(model) : NULL)));
  LLQ_TRY(set(manifest, "task", json_string(settings->task)));
  LLQ_TRY(set(manifest, "samples", string_or_null(settings->samples)));
  LLQ_TRY(set(manifest, "started", time_json()));
  LLQ_TRY(set(manifest, "device", device_json(backend)));
  LLQ_TRY(set(manifest, "host", host_json()));
  LLQ_TRY(set(manifest, "n_sequences", json_integer(settings->n_sequences)));
  return set(manifest, "n_workers", json_integer(settings->n_workers));
}

int llqi_manifest_make(const struct llqi_settings *settings,
                       const llq_backend *backend, const llq_model *model,
                       json_t **out) {
  *out = json_object();
  int status = fill(*out, settings, backend, model);
  if (status < 0) {
    json_decref(*out);
    *out = NULL;
  }
  return status;
}
