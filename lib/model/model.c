/* SPDX-License-Identifier: Apache-2.0 */
/* A model's life: opened from what its source names, shared, freed. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "model/gguf.h"
#include "model/load.h"
#include "model/random.h"

const char *const llqi_linear_names[LLQI_N_LINEARS] = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
    "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
    "mlp.down_proj"};

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
  for (size_t i = 0; i < model->n_mapped; i++)
    llqi_file_unmap(&model->mapped[i]);
  llqi_free(model->mapped);
