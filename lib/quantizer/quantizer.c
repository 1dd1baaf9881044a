/* SPDX-License-Identifier: Apache-2.0 */
/* The quantizer's life: a model, a target and a method, one decoder layer a
   step. */
#include <llq/quantizer.h>

#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/options.h"
#include "base/status.h"
#include "base/threads.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"
#include "quantizer/recipe.h"
#include "quantizer/state.h"
#include "tensor/weight.h"

static const struct llqi_choice *choice_of(const llq_quantizer *quantizer,
                                           int64_t layer, int linear) {
  return &quantizer->choices[layer * LLQI_N_LINEARS + linear];
}

static int check_linears(const llq_quantizer *quantizer) {
  const llq_model *model = quantizer->base;
  for (int64_t l = 0; l < model->config.n_layers; l++)
    for (int i = 0; i < LLQI_N_LINEARS; i++)
      LLQ_TRY(llqi_within_linear(
          llqi_target_check(&choice_of(quantizer, l, i)->target,
                            &model->layers[l].linears[i]),
          model, l, i));
  const int64_t n_layers = model->config.n_layers;
  return llqi_within_linear(
      llqi_target_check(&choice_of(quantizer, n_layers, 0)->target,
                        &model->output),
      model, n_layers, 0);
}

/* What is folded into values makes other scales of them necessary. */
static int check_kv_cache(const llq_quantizer *quantizer) {
  const llq_model *base = quantizer->base;
  const int keeps = base->kv_dtype != 0 && quantizer->settings.kv_dtype == 0;
  for (int64_t i = 0; keeps && i < base->config.n_layers * LLQI_N_LINEARS;
       i++) {
    const struct llqi_choice *choice = &quantizer->choices[i];
    if (choice->target.format != LLQ_WEIGHT_DENSE &&
        choice->method->folding != LLQI_FOLD_NOTHING)
      return llqi_fail(
          LLQ_ERROR_UNSUPPORTED,
          "%s: method %s changes the values that the scales of "
          "its KV cache are for: give a kv_cache, to find new ones",
          base->source, choice->method->name);
  }
  return LLQ_OK;
}

/* Of all linears that are quantized; NULL: there are several. */
static const char *method_of_all(const llq_quantizer *quantizer) {
  const int64_t n = quantizer->base->config.n_layers * LLQI_N_LINEARS;
  const struct llqi_method *method = NULL;
  for (int64_t i = 0; i <= n; i++) {
    const struct llqi_choice *choice = &quantizer->choices[i];
    if (choice->target.format == LLQ_WEIGHT_DENSE)
      continue;
    if (method != NULL && method != choice->method)
      return NULL;
    method = choice->method;
  }
  return method != NULL ? method->name : NULL;
}

static int choose(llq_quantizer *quantizer,
                  const llq_quantizer_options *options) {
  const size_t n_layers = (size_t)quantizer->base->config.n_layers;
  const size_t n = (n_layers + 1) * LLQI_N_LINEARS;
  quantizer->choices = llqi_array(n, sizeof *quantizer->choices);
  quantizer->outcomes = llqi_calloc(n, sizeof *quantizer->outcomes);
  if (quantizer->choices == NULL || quantizer->outcomes == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n; i++) {
    quantizer->choices[i] = quantizer->settings.choice;
    if (i >= n_layers * LLQI_N_LINEARS)
      quantizer->choices[i].target = llqi_target_dense;
  }
  struct llqi_recipe recipe = {quantizer->choices, (int64_t)n_layers,
                               quantizer->settings.kv_dtype};
  if (options->recipe != NULL)
    LLQ_TRY(llqi_recipe_apply(&recipe, options->recipe, options));
  quantizer->settings.kv_dtype = recipe.kv_dtype;
  LLQ_TRY(check_linears(quantizer));
  return check_kv_cache(quantizer);
}

/* A model that is all its base's, until its parts are replaced. */
static int make_result(llq_quantizer *quantizer) {
  const llq_model *base = quantizer->base;
  LLQ_TRY(llqi_model_new(&quantizer->result, base->source));
  llq_model *result = quantizer->result;
  result->base = llq_model_retain(quantizer->base);
  result->config = base->config;
  result->config.json = json_deep_copy(base->config.json);
  if (result->config.json == NULL && base->config.json != NULL)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory");
  result->embedding = base->embedding;
  result->final_norm = base->final_norm;
  result->output = base->output;
  quantizer->head.linears[0] = base->output;
  quantizer->head.input_norm = base->final_norm;
  result->kv_dtype = quantizer->settings.kv_dtype != 0
                         ? quantizer->settings.kv_dtype
                         : base->kv_dtype;
  size_t n_layers = (size_t)base->config.n_layers;
  result->layers = llqi_array(n_layers, sizeof *result->layers);
  if (result->layers == NULL)
    return LLQ_ERROR_MEMORY;
  memcpy(result->layers, base->layers, n_layers * sizeof *result->layers);
  if (base->directory != NULL &&
      (result->directory = llqi_strdup(base->directory)) == NULL)
    return LLQ_ERROR_MEMORY;
  if (llqi_quantizer_converts(quantizer))
    return LLQ_OK;
  const char *method = method_of_all(quantizer);
  result->quantization_method = llqi_strdup(method != NULL ? method : "mixed");
  return result->quantization_method != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

/* Are a backend's operations of calibration there, and needed? */
static int can_calibrate(const llq_quantizer *quantizer, llq_backend *backend) {
  struct llqi_need need;
  if (!llqi_has_calibration(backend))
    return 0;
  if (!llqi_quantizer_needs(quantizer, &need) ||
      llqi_calibration_start(backend) >= 0)
    return 1;
  llqi_log(LLQ_LOG_WARNING, "calibration computes on the CPU: %s",
           llq_error_message());
  llqi_error_clear();
  return 0;
}

/* The backend, or the CPU where it has no operations of calibration. */
static int find_calibrator(llq_quantizer *quantizer, llq_backend *backend,
                           int n_threads) {
  quantizer->backend = quantizer->calibrator = backend;
  if (backend == NULL || can_calibrate(quantizer, backend))
    return LLQ_OK;
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.n_threads = n_threads;
  LLQ_TRY(llq_backend_open(&quantizer->own_calibrator, "cpu", &options));
  quantizer->calibrator = quantizer->own_calibrator;
  return LLQ_OK;
}

static int prepare(llq_quantizer *quantizer, llq_backend *backend,
                   llq_model *model, const llq_quantizer_options *options) {
  LLQ_REQUIRE(options->n_threads >= 0,
              "n_threads: expected 0 or more, found %d", options->n_threads);
  LLQ_TRY(llqi_quantizer_settings_read(options, &quantizer->settings));
  if (options->directory != NULL &&
      (quantizer->directory = llqi_strdup(options->directory)) == NULL)
    return LLQ_ERROR_MEMORY;
  if (options->measure_file != NULL &&
      (quantizer->measure_file = llqi_strdup(options->measure_file)) == NULL)
    return LLQ_ERROR_MEMORY;
  quantizer->base = llq_model_retain(model);
  LLQ_TRY(choose(quantizer, options));
  struct llqi_need need;
  LLQ_REQUIRE(!llqi_quantizer_needs(quantizer, &need) || backend != NULL,
              "llq_quantizer_open: %s %s needs a backend", need.what,
              need.name);
  LLQ_REQUIRE(backend != NULL || options->measure_file == NULL,
              "llq_quantizer_open: measure_file needs a backend");
  LLQ_TRY(llqi_threads_open(&quantizer->threads, options->n_threads));
  LLQ_TRY(find_calibrator(quantizer, backend, options->n_threads));
  return make_result(quantizer);
}

int llq_quantizer_open(llq_quantizer **out, llq_backend *backend,
                       llq_model *model, const llq_quantizer_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL && model != NULL && options != NULL,
              "llq_quantizer_open: out, model and options must not be NULL");
  *out = NULL;
  llq_quantizer_options ours;
  LLQ_TRY(
      llqi_options_copy(&ours, sizeof ours, options, "llq_quantizer_options"));
  llq_quantizer *quantizer = llqi_calloc(1, sizeof *quantizer);
  if (quantizer == NULL)
    return LLQ_ERROR_MEMORY;
  int status = prepare(quantizer, backend, model, &ours);
  if (status < 0)
    llq_quantizer_close(quantizer);
  else
    *out = quantizer;
  return status;
}

/* ---- Calibration ---- */

static int may_calibrate(const llq_quantizer *quantizer) {
  if (quantizer->result == NULL || quantizer->n_done > 0)
    return llqi_fail(LLQ_ERROR_STATE, "calibration: layers are quantized "
                                      "already");
  LLQ_REQUIRE(quantizer->backend != NULL,
              "calibration: the quantizer was opened without a backend");
  return LLQ_OK;
}

int llq_quantizer_calibrate_file(llq_quantizer *quantizer, const char *path) {
  llqi_error_clear();
  LLQ_REQUIRE(quantizer != NULL && path != NULL,
              "llq_quantizer_calibrate_file: an argument is NULL");
  LLQ_TRY(may_calibrate(quantizer));
  return llqi_calibration_add_file(&quantizer->samples, quantizer->base, path,
                                   &quantizer->settings.samples);
}

int llq_quantizer_calibrate_random(llq_quantizer *quantizer) {
  llqi_error_clear();
  LLQ_REQUIRE(quantizer != NULL,
              "llq_quantizer_calibrate_random: quantizer is NULL");
  LLQ_TRY(may_calibrate(quantizer));
  return llqi_calibration_add_random(&quantizer->samples,
                                     quantizer->base->config.n_vocab,
                                     &quantizer->settings.samples);
}

int llq_quantizer_calibrate_ids(llq_quantizer *quantizer, const int32_t *ids,
                                size_t n_ids) {
  llqi_error_clear();
  LLQ_REQUIRE(quantizer != NULL && ids != NULL,
              "llq_quantizer_calibrate_ids: an argument is NULL");
  LLQ_TRY(may_calibrate(quantizer));
  return llqi_calibration_add(&quantizer->samples, ids, n_ids,
                              quantizer->base->config.n_vocab);
}

static int report(const llq_quantizer *quantizer, llq_progress *progress) {
  if (progress == NULL)
    return LLQ_OK;
  llq_progress ours = {
      .struct_size = sizeof ours,
      .done = (uint64_t)quantizer->n_done,
      .total = (uint64_t)llqi_quantizer_n_layers(quantizer),
      .unit = "layers",
  };
  llqi_quantizer_layer_name(quantizer, quantizer->n_done - 1, ours.what,
                            sizeof ours.what);
  return llqi_struct_return(progress, &ours, sizeof ours, "llq_progress");
}

int llq_quantizer_step(llq_quantizer *quantizer, llq_progress *progress) {
  llqi_error_clear();
  LLQ_REQUIRE(quantizer != NULL, "llq_quantizer_step: quantizer is NULL");
  if (quantizer->result == NULL)
    return llqi_fail(LLQ_ERROR_STATE, "the quantized model is taken already");
  int status = llqi_quantizer_advance(quantizer);
  LLQ_TRY(status);
  LLQ_TRY(report(quantizer, progress));
  return status;
}

int llq_quantizer_run(llq_quantizer *quantizer) {
  int status;
  do
    status = llq_quantizer_step(quantizer, NULL);
  while (status == LLQ_MORE);
  return status;
}

int llq_quantizer_take(llq_quantizer *quantizer, llq_model **out) {
  llqi_error_clear();
  LLQ_REQUIRE(quantizer != NULL && out != NULL,
              "llq_quantizer_take: quantizer and out must not be NULL");
  *out = NULL;
  if (quantizer->result == NULL)
    return llqi_fail(LLQ_ERROR_STATE, "the quantized model is taken already");
  if (quantizer->n_done < llqi_quantizer_n_layers(quantizer))
    return llqi_fail(LLQ_ERROR_STATE, "%lld of %lld layers are quantized",
                     (long long)quantizer->n_done,
                     (long long)llqi_quantizer_n_layers(quantizer));
  *out = quantizer->result;
  quantizer->result = NULL;
  return LLQ_OK;
}

int llq_quantizer_linear(const llq_quantizer *quantizer, uint64_t index,
                         llq_quantized_linear *out) {
  llqi_error_clear();
  LLQ_REQUIRE(quantizer != NULL && out != NULL,
              "llq_quantizer_linear: an argument is NULL");
  const int64_t n_layers = quantizer->base->config.n_layers;
  const int has_head = llqi_quantizer_n_layers(quantizer) > n_layers;
  const uint64_t n = (uint64_t)(n_layers * LLQI_N_LINEARS + has_head);
  LLQ_REQUIRE(index < n, "llq_quantizer_linear: index %llu of %llu",
              (unsigned long long)index, (unsigned long long)n);
  const int64_t layer = (int64_t)index / LLQI_N_LINEARS;
  if (layer >= quantizer->n_done)
    return llqi_fail(LLQ_ERROR_STATE, "layer %lld is not quantized yet",
                     (long long)layer);
  const struct llqi_choice *choice = &quantizer->choices[index];
  const struct llqi_outcome *outcome = &quantizer->outcomes[index];
  const int is_dense = choice->target.format == LLQ_WEIGHT_DENSE;
  llq_quantized_linear ours = {.struct_size = sizeof ours,
                               .error = outcome->error,
                               .power = outcome->power,
                               .damping = outcome->damping,
                               .n_dead = (uint64_t)outcome->n_dead};
  llqi_linear_name(n_layers, (int64_t)index, ours.name, sizeof ours.name);
  snprintf(ours.scheme, sizeof ours.scheme, "%s",
           llqi_scheme_name(choice->target.format, choice->target.activation));
  snprintf(ours.method, sizeof ours.method, "%s",
           is_dense ? "" : choice->method->name);
  return llqi_struct_return(out, &ours, sizeof ours, "llq_quantized_linear");
}

void llq_quantizer_close(llq_quantizer *quantizer) {
  if (quantizer == NULL)
    return;
  if (quantizer->spool.directory != NULL && quantizer->result == NULL &&
      quantizer->n_done == llqi_quantizer_n_layers(quantizer))
    llqi_spool_remove(&quantizer->spool, quantizer->n_done);
  llqi_free(quantizer->directory);
  llqi_free(quantizer->measure_file);
  llqi_streams_close(&quantizer->streams);
  llqi_calibration_free(&quantizer->samples);
  llq_backend_close(quantizer->own_calibrator);
  llq_model_close(quantizer->result);
  llq_model_close(quantizer->base);
  llqi_threads_close(quantizer->threads);
  llqi_free(quantizer->choices);
  llqi_free(quantizer->outcomes);
  llqi_free(quantizer);
}
