/* SPDX-License-Identifier: Apache-2.0 */
/* One layer after another: found in the spool, or made. */
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "checkpoint/checkpoint.h"
#include "model/kv_scheme.h"
#include "quantizer/convert.h"
#include "quantizer/kv_scales.h"
#include "quantizer/state.h"
#include "tensor/weight.h"

/* Fewer tokens say too little to calibrate on. */
#define TOKENS_MIN 128

int llqi_within_linear(int status, const llq_model *model, int64_t layer,
                       int linear) {
  if (status == LLQ_OK)
    return LLQ_OK;
  char name[96];
  llqi_linear_name(model->config.n_layers, layer * LLQI_N_LINEARS + linear,
                   name, sizeof name);
  return llqi_fail_within(status, "%s: %s.weight", model->source, name);
}

void llqi_quantizer_layer_name(const llq_quantizer *quantizer, int64_t layer,
                               char *name, size_t size) {
  if (layer < 0)
    name[0] = '\0';
  else if (layer < quantizer->base->config.n_layers)
    snprintf(name, size, "model.layers.%lld", (long long)layer);
  else
    snprintf(name, size, "lm_head");
}

int64_t llqi_quantizer_n_layers(const llq_quantizer *quantizer) {
  const int64_t n = quantizer->base->config.n_layers;
  return n + (quantizer->choices[n * LLQI_N_LINEARS].target.format !=
              LLQ_WEIGHT_DENSE);
}

/* A layer's original, and what it becomes. */
static const struct llqi_layer *layer_from(const llq_quantizer *quantizer,
                                           int64_t layer) {
  return layer < quantizer->base->config.n_layers
             ? &quantizer->base->layers[layer]
             : &quantizer->head;
}

static struct llqi_layer *layer_to(llq_quantizer *quantizer, int64_t layer) {
  return layer < quantizer->base->config.n_layers
             ? &quantizer->result->layers[layer]
             : &quantizer->made_head;
}

static int n_linears_of(const llq_quantizer *quantizer, int64_t layer) {
  return layer < quantizer->base->config.n_layers ? LLQI_N_LINEARS : 1;
}

int llqi_quantizer_converts(const llq_quantizer *quantizer) {
  const int64_t n = quantizer->base->config.n_layers * LLQI_N_LINEARS;
  for (int64_t i = 0; i <= n; i++)
    if (quantizer->choices[i].target.format != LLQ_WEIGHT_DENSE)
      return 0;
  return 1;
}

int llqi_quantizer_needs(const llq_quantizer *quantizer,
                         struct llqi_need *need) {
  const int64_t n = quantizer->base->config.n_layers * LLQI_N_LINEARS;
  const int kv_dtype = quantizer->settings.kv_dtype;
  for (int64_t i = 0; i <= n; i++)
    if (quantizer->choices[i].target.format != LLQ_WEIGHT_DENSE &&
        llqi_method_calibrates(quantizer->choices[i].method)) {
      *need = (struct llqi_need){"method", quantizer->choices[i].method->name};
      return 1;
    }
  *need = (struct llqi_need){"kv_cache", llqi_kv_dtype_name(kv_dtype)};
  return kv_dtype != 0;
}

/* Adds the samples that are measured on; alone, where no method calibrates. */
static int hold_out(llq_quantizer *quantizer, int needs) {
  struct llqi_calibration *set = &quantizer->samples;
  if (quantizer->measure_file == NULL)
    return LLQ_OK;
  if (!needs)
    llqi_calibration_free(set);
  const size_t n_fitted = set->n_ids;
  LLQ_TRY(llqi_calibration_add_file(set, quantizer->base,
                                    quantizer->measure_file,
                                    &quantizer->settings.samples));
  set->n_held_out = set->n_ids - n_fitted;
  return LLQ_OK;
}

static int record_samples(llq_quantizer *quantizer) {
  char hash[LLQI_HASH_TEXT_SIZE];
  LLQ_TRY(llqi_calibration_hash(&quantizer->samples, hash));
  quantizer->result->calibration_sha256 = llqi_strdup(hash);
  return quantizer->result->calibration_sha256 != NULL ? LLQ_OK
                                                       : LLQ_ERROR_MEMORY;
}

/* ---- The spool ---- */

/* All that a layer's bytes depend on, as far as it can be known without reading
   the model: its source, its files' sizes and times, options and samples. */
static int describe(const llq_quantizer *quantizer, struct llqi_text *text) {
  const struct llqi_quantizer_settings *settings = &quantizer->settings;
  const struct llqi_gptq_options *gptq = &settings->gptq;
  const int64_t n = quantizer->base->config.n_layers * LLQI_N_LINEARS;
  char samples[LLQI_HASH_TEXT_SIZE];
  LLQ_TRY(llqi_calibration_hash(&quantizer->samples, samples));
  LLQ_TRY(llqi_text_printf(
      text, "%s %s %s %zu %d %g %lld %d %g %d %d %d %d", llq_version(),
      quantizer->base->source, samples, quantizer->samples.n_held_out,
      (int)gptq->order, gptq->damping, (long long)gptq->n_block,
      gptq->observer.n_steps, (double)gptq->observer.step, settings->compute,
      settings->is_parallel, settings->measures, settings->kv_dtype));
  for (int i = 0; i < LLQI_N_INPUTS; i++)
    LLQ_TRY(llqi_text_printf(text, " %g", settings->strength[i]));
  for (int64_t i = 0; i <= n; i++) {
    const struct llqi_choice *c = &quantizer->choices[i];
    LLQ_TRY(llqi_text_printf(text, " %d %d %lld %d %s", c->target.format,
                             c->target.activation,
                             (long long)c->target.group_size,
                             c->target.asymmetric, c->method->name));
  }
  return quantizer->base->checkpoint != NULL
             ? llqi_checkpoint_describe(quantizer->base->checkpoint, text)
             : LLQ_OK;
}

static int open_spool(llq_quantizer *quantizer) {
  struct llqi_text text = {0};
  quantizer->spool.directory = quantizer->directory;
  LLQ_TRY(llqi_directory_make(quantizer->directory));
  int status = describe(quantizer, &text);
  if (status >= 0)
    llqi_hash_bytes(text.data, text.length, quantizer->spool.key);
  llqi_text_free(&text);
  return status;
}

/* Finds a layer of the same quantization, cut off earlier. */
static int resume_layer(llq_quantizer *quantizer, int64_t layer, int *found) {
  const int64_t first = layer * LLQI_N_LINEARS;
  const struct llqi_layer *from = layer_from(quantizer, layer);
  struct llqi_layer *to = layer_to(quantizer, layer);
  *found = 0;
  if (quantizer->directory == NULL)
    return LLQ_OK;
  LLQ_TRY(llqi_spool_read(&quantizer->spool, layer, quantizer->choices + first,
                          from, quantizer->result, to,
                          quantizer->outcomes + first, found));
  if (!*found || !quantizer->is_calibrated ||
      layer == quantizer->base->config.n_layers)
    return LLQ_OK;
  return llqi_streams_run(&quantizer->streams,
                          quantizer->settings.is_parallel ? from : to, NULL,
                          NULL, 1);
}

/* Lets a layer's files go from memory. */
static void forget_layer(llq_quantizer *quantizer, int64_t layer) {
  const llq_weight *from = layer_from(quantizer, layer)->linears;
  const llq_weight *to = layer_to(quantizer, layer)->linears;
  for (int i = 0; i < n_linears_of(quantizer, layer); i++) {
    llqi_model_forget(quantizer->base, from[i].data,
                      llqi_weight_data_bytes(&from[i]));
    llqi_model_forget(quantizer->result, to[i].data,
                      llqi_weight_data_bytes(&to[i]));
  }
}

/* ---- Steps ---- */

static int check_samples(const llq_quantizer *quantizer,
                         const struct llqi_need *need) {
  const int64_t n_widest = quantizer->base->config.intermediate_size;
  const size_t n_ids = quantizer->samples.n_ids;
  if (n_ids < TOKENS_MIN)
    return llqi_fail(LLQ_ERROR_STATE,
                     "calibration: %zu tokens, %s %s needs at least %d", n_ids,
                     need->what, need->name, TOKENS_MIN);
  if ((int64_t)n_ids < n_widest)
    llqi_log(LLQ_LOG_WARNING,
             "calibration: %zu tokens are fewer than an input has numbers "
             "(%lld)",
             n_ids, (long long)n_widest);
  return LLQ_OK;
}

static int begin(llq_quantizer *quantizer) {
  struct llqi_need need;
  const int needs = llqi_quantizer_needs(quantizer, &need);
  if (needs)
    LLQ_TRY(check_samples(quantizer, &need));
  if (needs)
    LLQ_TRY(record_samples(quantizer));
  LLQ_TRY(hold_out(quantizer, needs));
  quantizer->is_calibrated =
      needs || (quantizer->settings.measures && quantizer->samples.n_ids > 0);
  if (quantizer->directory != NULL)
    LLQ_TRY(open_spool(quantizer));
  if (!quantizer->is_calibrated)
    return LLQ_OK;
  LLQ_TRY(llqi_streams_open(&quantizer->streams, quantizer->backend,
                            quantizer->base, &quantizer->samples,
                            quantizer->settings.compute));
  llqi_model_forget(quantizer->base, quantizer->base->embedding.data,
                    quantizer->base->embedding.n_bytes);
  return LLQ_OK;
}

static void log_times(const char *name, const double seconds[LLQI_N_PHASES]) {
  llqi_log(LLQ_LOG_DEBUG,
           "%s: %.3f s calibration, %.3f s folding, %.3f s "
           "factors, %.3f s weights, %.3f s grids, %.3f s rounding, %.3f s "
           "measuring, %.3f s the next layer's inputs",
           name, seconds[LLQI_PHASE_OBSERVE], seconds[LLQI_PHASE_FOLD],
           seconds[LLQI_PHASE_FACTOR], seconds[LLQI_PHASE_LOAD],
           seconds[LLQI_PHASE_GRID], seconds[LLQI_PHASE_ROUND],
           seconds[LLQI_PHASE_MEASURE], seconds[LLQI_PHASE_ADVANCE]);
}

static int make_layer(llq_quantizer *quantizer, int64_t layer, llq_model *owner,
                      struct llqi_layer *to) {
  const int64_t first = layer * LLQI_N_LINEARS;
  char name[40];
  struct llqi_layer_job job = {
      .settings = &quantizer->settings,
      .config = &quantizer->base->config,
      .n_linears = n_linears_of(quantizer, layer),
      .choices = quantizer->choices + first,
      .from = layer_from(quantizer, layer),
      .to = to,
      .owner = owner,
      .threads = quantizer->threads,
      .streams = quantizer->is_calibrated ? &quantizer->streams : NULL,
      .backend = quantizer->backend,
      .calibrator = quantizer->calibrator,
      .outcomes = quantizer->outcomes + first};
  int status = llqi_layer_quantize(&job);
  llqi_quantizer_layer_name(quantizer, layer, name, sizeof name);
  log_times(name, job.seconds);
  if (status < 0 && job.failed < 0)
    return llqi_fail_within(status, "%s: %s", quantizer->base->source, name);
  return llqi_within_linear(status, quantizer->base, layer, job.failed);
}

/* Makes a layer in memory, and keeps what its file holds. */
static int spool_layer(llq_quantizer *quantizer, int64_t layer) {
  const int64_t first = layer * LLQI_N_LINEARS;
  const struct llqi_layer *from = layer_from(quantizer, layer);
  struct llqi_layer made = *from;
  llq_model *owner;
  int found;
  LLQ_TRY(llqi_model_new(&owner, quantizer->base->source));
  int status = make_layer(quantizer, layer, owner, &made);
  if (status >= 0)
    status = llqi_spool_write(&quantizer->spool, layer, from, &made,
                              quantizer->outcomes + first);
  llq_model_close(owner);
  LLQ_TRY(status);
  LLQ_TRY(llqi_spool_read(&quantizer->spool, layer, quantizer->choices + first,
                          from, quantizer->result, layer_to(quantizer, layer),
                          quantizer->outcomes + first, &found));
  return found ? LLQ_OK
               : llqi_fail(LLQ_ERROR_IO, "%s: layer %lld is not as written",
                           quantizer->directory, (long long)layer);
}

/* The output matrix is in place, and no embedding. */
static int put_head(llq_quantizer *quantizer) {
  llq_model *result = quantizer->result;
  result->output = quantizer->made_head.linears[0];
  result->final_norm = quantizer->made_head.input_norm;
  return llqi_config_untie(&result->config);
}

static int quantize_layer(llq_quantizer *quantizer, int64_t layer) {
  int found;
  *layer_to(quantizer, layer) = *layer_from(quantizer, layer);
  LLQ_TRY(resume_layer(quantizer, layer, &found));
  if (!found && quantizer->directory != NULL)
    LLQ_TRY(spool_layer(quantizer, layer));
  else if (!found)
    LLQ_TRY(make_layer(quantizer, layer, quantizer->result,
                       layer_to(quantizer, layer)));
  forget_layer(quantizer, layer);
  return layer < quantizer->base->config.n_layers ? LLQ_OK
                                                  : put_head(quantizer);
}

/* The scales of a layer that was converted. */
static int calibrate_layer(llq_quantizer *quantizer, int64_t layer) {
  const int kv_dtype = quantizer->settings.kv_dtype;
  if (kv_dtype == 0)
    return LLQ_OK;
  if (layer == 0)
    LLQ_TRY(begin(quantizer));
  int status =
      llqi_kv_scales_find(&quantizer->streams, quantizer->calibrator,
                          &quantizer->result->layers[layer], kv_dtype, 1);
  if (status < 0)
    return llqi_fail_within(status, "%s: model.layers.%lld",
                            quantizer->base->source, (long long)layer);
  return LLQ_OK;
}

/* The conversion to bf16, which is no quantization. */
static int convert_layer(llq_quantizer *quantizer, int64_t layer) {
  for (int i = 0; i < LLQI_N_LINEARS; i++)
    LLQ_TRY(llqi_within_linear(
        llqi_convert_weight(quantizer->result, quantizer->threads,
                            &quantizer->base->layers[layer].linears[i],
                            &quantizer->result->layers[layer].linears[i]),
        quantizer->base, layer, i));
  if (layer + 1 < quantizer->base->config.n_layers)
    return LLQ_OK;
  return llqi_convert_rest(quantizer->base, quantizer->threads,
                           quantizer->result);
}

int llqi_quantizer_advance(llq_quantizer *quantizer) {
  const int64_t n_layers = llqi_quantizer_n_layers(quantizer);
  if (quantizer->n_done == n_layers)
    return LLQ_OK;
  if (llqi_quantizer_converts(quantizer)) {
    LLQ_TRY(convert_layer(quantizer, quantizer->n_done));
    LLQ_TRY(calibrate_layer(quantizer, quantizer->n_done));
  } else {
    if (quantizer->n_done == 0)
      LLQ_TRY(begin(quantizer));
    LLQ_TRY(quantize_layer(quantizer, quantizer->n_done));
  }
  quantizer->n_done++;
  return quantizer->n_done < n_layers ? LLQ_MORE : LLQ_OK;
}
