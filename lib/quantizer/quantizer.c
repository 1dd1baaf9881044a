/* SPDX-License-Identifier: Apache-2.0 */
/* The quantizer's life: a model, a target and a method, one decoder layer a
   step. */
#include <llq/quantizer.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/status.h"
#include "base/threads.h"
#include "model/model.h"
#include "quantizer/convert.h"
#include "quantizer/rtn.h"
#include "quantizer/target.h"
#include "tensor/weight.h"

/* How the codes of one linear are found. */
struct method {
  const char *name;
  int needs_calibration;
  int (*quantize)(const llq_weight *from, struct llqi_threads *threads,
                  const struct llqi_quantized *to);
};

static const struct method methods[] = {
    {"rtn", 0, llqi_rtn},
};

struct llq_quantizer {
  llq_model *base;
  llq_model *result; /* NULL once taken */
  const struct method *method;
  struct llqi_target target;
  struct llqi_threads *threads;
  int64_t n_done; /* layers */
};

static int find_method(const char *name, const struct method **out) {
  *out = &methods[0];
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
    if (name != NULL && strcmp(methods[i].name, name) == 0)
      *out = &methods[i];
  LLQ_REQUIRE(name == NULL || strcmp((*out)->name, name) == 0,
              "method: expected rtn, found '%s'", name);
  return LLQ_OK;
}

/* Adds which linear it is to a failure. */
static int within_linear(int status, const llq_model *model, int64_t layer,
                         int linear) {
  if (status == LLQ_OK)
    return LLQ_OK;
  return llqi_fail_within(status, "%s: model.layers.%lld.%s.weight",
                          model->source, (long long)layer,
                          llqi_linear_names[linear]);
}

static int check_linears(const llq_model *model,
                         const struct llqi_target *target) {
  for (int64_t l = 0; l < model->config.n_layers; l++)
    for (int i = 0; i < LLQI_N_LINEARS; i++) {
      const llq_weight *linear = &model->layers[l].linears[i];
      LLQ_TRY(within_linear(llqi_target_check(target, linear), model, l, i));
    }
  return LLQ_OK;
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
  size_t n_layers = (size_t)base->config.n_layers;
  result->layers = llqi_array(n_layers, sizeof *result->layers);
  if (result->layers == NULL)
    return LLQ_ERROR_MEMORY;
  memcpy(result->layers, base->layers, n_layers * sizeof *result->layers);
  if (base->directory != NULL &&
      (result->directory = llqi_strdup(base->directory)) == NULL)
    return LLQ_ERROR_MEMORY;
  if (quantizer->target.format == LLQ_WEIGHT_DENSE)
    return LLQ_OK;
  result->quantization_method = llqi_strdup(quantizer->method->name);
  return result->quantization_method != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static int prepare(llq_quantizer *quantizer, llq_backend *backend,
                   llq_model *model, const llq_quantizer_options *options) {
  LLQ_REQUIRE(options->n_threads >= 0,
              "n_threads: expected 0 or more, found %d", options->n_threads);
  LLQ_TRY(llqi_target_read(options, &quantizer->target));
  LLQ_TRY(find_method(options->method, &quantizer->method));
  LLQ_REQUIRE(!quantizer->method->needs_calibration || backend != NULL,
              "llq_quantizer_open: method %s needs a backend",
              quantizer->method->name);
  LLQ_TRY(check_linears(model, &quantizer->target));
  LLQ_TRY(llqi_threads_open(&quantizer->threads, options->n_threads));
  quantizer->base = llq_model_retain(model);
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

static int allocate(llq_model *model, size_t size, void **out) {
  *out = llqi_alloc_aligned(size, 1);
  return *out != NULL ? llqi_model_own(model, *out) : LLQ_ERROR_MEMORY;
}

static int allocate_parts(llq_model *model, int asymmetric,
                          struct llqi_quantized *to) {
  llq_weight *weight = &to->weight;
  LLQ_TRY(allocate(model, llqi_weight_data_bytes(weight), &to->data));
  weight->data = to->data;
  if (weight->format == LLQ_WEIGHT_DENSE)
    return LLQ_OK;
  LLQ_TRY(allocate(model, llqi_weight_scale_bytes(weight), &to->scale));
  weight->scale = to->scale;
  if (!asymmetric)
    return LLQ_OK;
  void *zero;
  size_t n = (size_t)(weight->n_out * llqi_weight_n_groups(weight));
  LLQ_TRY(allocate(model, n, &zero));
  weight->zero = to->zero = zero;
  return LLQ_OK;
}

static int quantize_linear(llq_quantizer *quantizer, const llq_weight *from,
                           llq_weight *out) {
  const struct llqi_target *target = &quantizer->target;
  struct llqi_quantized to = {.data = NULL};
  llqi_target_shape(target, from, &to.weight);
  if (target->format == LLQ_WEIGHT_DENSE && from->dtype == to.weight.dtype)
    return LLQ_OK; /* it stays the base's */
  LLQ_TRY(allocate_parts(quantizer->result, target->asymmetric, &to));
  LLQ_TRY(quantizer->method->quantize(from, quantizer->threads, &to));
  *out = to.weight;
  return LLQ_OK;
}

static int quantize_layer(llq_quantizer *quantizer, int64_t layer) {
  const llq_weight *from = quantizer->base->layers[layer].linears;
  llq_weight *to = quantizer->result->layers[layer].linears;
  for (int i = 0; i < LLQI_N_LINEARS; i++) {
    int status = quantize_linear(quantizer, &from[i], &to[i]);
    LLQ_TRY(within_linear(status, quantizer->base, layer, i));
  }
  return LLQ_OK;
}

static int finish(llq_quantizer *quantizer) {
  if (quantizer->target.format != LLQ_WEIGHT_DENSE)
    return LLQ_OK;
  return llqi_convert_rest(quantizer->base, quantizer->threads,
                           quantizer->result);
}

static int report(const llq_quantizer *quantizer, llq_progress *progress) {
  if (progress == NULL)
    return LLQ_OK;
  llq_progress ours = {
      .struct_size = sizeof ours,
      .done = (uint64_t)quantizer->n_done,
      .total = (uint64_t)quantizer->base->config.n_layers,
      .unit = "layers",
  };
  if (quantizer->n_done > 0)
    snprintf(ours.what, sizeof ours.what, "model.layers.%lld",
             (long long)quantizer->n_done - 1);
  return llqi_struct_return(progress, &ours, sizeof ours, "llq_progress");
}

static int take_step(llq_quantizer *quantizer) {
  int64_t n_layers = quantizer->base->config.n_layers;
  if (quantizer->n_done == n_layers)
    return LLQ_OK;
  LLQ_TRY(quantize_layer(quantizer, quantizer->n_done));
  if (quantizer->n_done + 1 == n_layers)
    LLQ_TRY(finish(quantizer));
  quantizer->n_done++;
  return quantizer->n_done < n_layers ? LLQ_MORE : LLQ_OK;
}

int llq_quantizer_step(llq_quantizer *quantizer, llq_progress *progress) {
  llqi_error_clear();
  LLQ_REQUIRE(quantizer != NULL, "llq_quantizer_step: quantizer is NULL");
  if (quantizer->result == NULL)
    return llqi_fail(LLQ_ERROR_STATE, "the quantized model is taken already");
  int status = take_step(quantizer);
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
  if (quantizer->n_done < quantizer->base->config.n_layers)
    return llqi_fail(LLQ_ERROR_STATE, "%lld of %lld layers are quantized",
                     (long long)quantizer->n_done,
                     (long long)quantizer->base->config.n_layers);
  *out = quantizer->result;
  quantizer->result = NULL;
  return LLQ_OK;
}

void llq_quantizer_close(llq_quantizer *quantizer) {
  if (quantizer == NULL)
    return;
  llq_model_close(quantizer->result);
  llq_model_close(quantizer->base);
  llqi_threads_close(quantizer->threads);
  llqi_free(quantizer);
}
