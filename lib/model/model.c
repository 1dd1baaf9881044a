/* SPDX-License-Identifier: Apache-2.0 */
/* A model's life: opened from what its source names, shared, freed. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/options.h"
#include "base/place.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "model/gguf.h"
#include "model/load.h"
#include "model/random.h"

const char *const llqi_linear_names[LLQI_N_LINEARS] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
    "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
    "mlp.down_proj"};

const llq_weight *llqi_linear_at(const llq_model *model, int64_t number) {
  const int64_t layer = number / LLQI_N_LINEARS;
  return layer < model->config.n_layers
             ? &model->layers[layer].linears[number % LLQI_N_LINEARS]
             : &model->output;
}

void llqi_linear_name(int64_t n_layers, int64_t number, char *name,
                      size_t size) {
  const int64_t layer = number / LLQI_N_LINEARS;
  if (layer < n_layers)
    snprintf(name, size, "model.layers.%lld.%s", (long long)layer,
             llqi_linear_names[number % LLQI_N_LINEARS]);
  else
    snprintf(name, size, "lm_head");
}

int llqi_model_new(llq_model **out, const char *source) {
  *out = NULL;
  llq_model *model = llqi_calloc(1, sizeof *model);
  if (model == NULL)
    return LLQ_ERROR_MEMORY;
  atomic_init(&model->n_references, 1);
  pthread_mutex_init(&model->tokenizer_lock, NULL);
  model->source = llqi_strdup(source);
  if (model->source == NULL) {
    llq_model_close(model);
    return LLQ_ERROR_MEMORY;
  }
  *out = model;
  return LLQ_OK;
}

int llqi_model_own(llq_model *model, void *block) {
  void **owned =
      llqi_resize(model->owned, model->n_owned + 1, sizeof *model->owned);
  if (owned == NULL) {
    llqi_free(block);
    return LLQ_ERROR_MEMORY;
  }
  model->owned = owned;
  model->owned[model->n_owned++] = block;
  return LLQ_OK;
}

int llqi_model_own_mapping(llq_model *model, struct llqi_mapping *mapping) {
  struct llqi_mapping *mapped =
      llqi_resize(model->mapped, model->n_mapped + 1, sizeof *mapped);
  if (mapped == NULL) {
    llqi_file_unmap(mapping);
    return LLQ_ERROR_MEMORY;
  }
  model->mapped = mapped;
  model->mapped[model->n_mapped++] = *mapping;
  return LLQ_OK;
}

void llqi_model_forget(const llq_model *model, const void *data, size_t n) {
  for (; model != NULL; model = model->base) {
    if (llqi_file_forget(&model->drawn, data, n))
      return;
    if (model->checkpoint != NULL &&
        llqi_checkpoint_forget(model->checkpoint, data, n))
      return;
    for (size_t i = 0; i < model->n_mapped; i++)
      if (llqi_file_forget(&model->mapped[i], data, n))
        return;
  }
}

static void release(llq_model *model) {
  llq_tokenizer_close(model->tokenizer);
  pthread_mutex_destroy(&model->tokenizer_lock);
  for (size_t i = 0; i < model->n_owned; i++)
    llqi_free(model->owned[i]);
  llqi_free(model->owned);
  if (model->gguf != NULL)
    llqi_gguf_close(model->gguf);
  llqi_free(model->gguf);
  for (size_t i = 0; i < model->n_mapped; i++)
    llqi_file_unmap(&model->mapped[i]);
  llqi_free(model->mapped);
  llqi_file_unmap(&model->drawn);
  llqi_checkpoint_close(model->checkpoint);
  llqi_config_free(&model->config);
  llqi_free(model->layers);
  llqi_free(model->source);
  llqi_free(model->directory);
  llqi_free(model->quantization_method);
  llqi_free(model->calibration_sha256);
  llq_model_close(model->base);
  llqi_free(model);
}

llq_model *llq_model_retain(llq_model *model) {
  atomic_fetch_add(&model->n_references, 1);
  return model;
}

void llq_model_close(llq_model *model) {
  if (model != NULL && atomic_fetch_sub(&model->n_references, 1) == 1)
    release(model);
}

const char *llq_model_source(const llq_model *model) {
  return model->source;
}

/* The directory of a source that is not random: itself, or, for a plain name
   such as "llq-micro", the one of that name among libllq's data. */
static int find_directory(const char *source, char **out) {
  int is_path = strchr(source, '/') != NULL || llqi_directory_exists(source);
  char *data = is_path ? NULL : llqi_data_directory();
  if (!is_path && data == NULL)
    return LLQ_ERROR_MEMORY;
  *out = is_path ? llqi_strdup(source) : llqi_path_join(data, source);
  int status = LLQ_OK;
  if (*out == NULL)
    status = LLQ_ERROR_MEMORY;
  else if (!llqi_directory_exists(*out))
    status = llqi_fail(LLQ_ERROR_IO, "%s: no such model directory%s%s", source,
                       is_path ? "" : ", here or in ", is_path ? "" : data);
  llqi_free(data);
  if (status != LLQ_OK) {
    llqi_free(*out);
    *out = NULL;
  }
  return status;
}

static int open_directory(llq_model *model) {
  LLQ_TRY(find_directory(model->source, &model->directory));
  char *path = llqi_path_join(model->directory, "config.json");
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_config_read(path, &model->config);
  llqi_free(path);
  LLQ_TRY(status);
  LLQ_TRY(llqi_checkpoint_open(&model->checkpoint, model->directory));
  return llqi_model_load(model);
}

static int is_gguf(const char *source) {
  static const char ending[] = ".gguf";
  const size_t n = strlen(source), n_ending = strlen(ending);
  return n > n_ending && strcmp(source + n - n_ending, ending) == 0;
}

static int open_source(llq_model *model, uint64_t seed) {
  static const char random[] = "random:";
  if (strncmp(model->source, random, strlen(random)) == 0)
    return llqi_model_draw(model, model->source + strlen(random), seed);
  if (is_gguf(model->source))
    return llqi_model_open_gguf(model, model->source);
  return open_directory(model);
}

int llq_model_open(llq_model **out, const char *source,
                   const llq_model_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL && source != NULL,
              "llq_model_open: out and source must not be NULL");
  *out = NULL;
  llq_model_options ours;
  LLQ_TRY(llqi_options_copy(&ours, sizeof ours, options, "llq_model_options"));
  llq_model *model;
  LLQ_TRY(llqi_model_new(&model, source));
  int status = open_source(model, ours.seed);
  if (status < 0)
    llq_model_close(model);
  else
    *out = model;
  return status;
}

int llq_model_tokenizer(llq_model *model, const llq_tokenizer **out) {
  llqi_error_clear();
  LLQ_REQUIRE(model != NULL && out != NULL,
              "llq_model_tokenizer: model and out must not be NULL");
  *out = NULL;
  const struct llqi_gguf *gguf = llqi_model_gguf(model);
  const char *path = gguf != NULL ? gguf->path : model->directory;
  if (path == NULL)
    return llqi_fail(LLQ_ERROR_IO, "%s: has no tokenizer", model->source);
  int status = LLQ_OK;
  pthread_mutex_lock(&model->tokenizer_lock);
  if (model->tokenizer == NULL)
    status = llq_tokenizer_open(&model->tokenizer, path);
  *out = model->tokenizer;
  pthread_mutex_unlock(&model->tokenizer_lock);
  return status;
}
