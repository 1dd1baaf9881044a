/* SPDX-License-Identifier: Apache-2.0 */
#include "forward_run.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"

#define PAGE_SIZE 16

static int open_cache(struct forward_run *run, const struct llqi_layer *layer,
                      int compute, llq_kv *cache) {
  const struct llqi_config *config = &run->model->config;
  const int kv_dtype = run->model->kv_dtype;
  *cache = (llq_kv){.dtype = kv_dtype != 0 ? kv_dtype : compute,
                    .n_pages = run->n_pages,
                    .page_size = PAGE_SIZE,
                    .n_kv_heads = (int32_t)config->n_kv_heads,
                    .head_size = (int32_t)config->head_size,
                    .key_scale = layer->key_scale,
                    .value_scale = layer->value_scale};
  size_t size = (size_t)run->n_pages * PAGE_SIZE *
                (size_t)(config->n_kv_heads * config->head_size) *
                llqi_dtype_size(cache->dtype);
  LLQ_TRY(llqi_memory_alloc(run->backend, size, &cache->keys));
  return llqi_memory_alloc(run->backend, size, &cache->values);
}

static int open_caches(struct forward_run *run, int compute) {
  size_t n_layers = (size_t)run->model->config.n_layers;
  run->caches = llqi_calloc(n_layers, sizeof *run->caches);
  run->pages = llqi_array((size_t)run->n_pages, sizeof *run->pages);
  if (run->caches == NULL || run->pages == NULL)
    return LLQ_ERROR_MEMORY;
  for (int i = 0; i < run->n_pages; i++)
    run->pages[i] = run->n_pages - 1 - i;
  for (size_t i = 0; i < n_layers; i++)
    LLQ_TRY(open_cache(run, &run->model->layers[i], compute, &run->caches[i]));
  return LLQ_OK;
}

int forward_run_open_with(struct forward_run *run, llq_backend *backend,
                          llq_model *model,
                          const struct llqi_forward_options *options) {
  memset(run, 0, sizeof *run);
  run->backend = backend;
  run->model = model;
  run->n_pages = (options->n_positions_max + PAGE_SIZE - 1) / PAGE_SIZE;
  LLQ_TRY(open_caches(run, options->compute));
  return llqi_forward_open(&run->forward, backend, model, options);
}

int forward_run_open(struct forward_run *run, llq_backend *backend,
                     llq_model *model, int compute, int n_rows_max,
                     int n_positions_max) {
  const struct llqi_forward_options options = {.compute = compute,
                                               .n_rows_max = n_rows_max,
                                               .n_positions_max =
                                                   n_positions_max};
  return forward_run_open_with(run, backend, model, &options);
}

void forward_run_close(struct forward_run *run) {
  llqi_forward_close(run->forward);
  for (int64_t i = 0; run->caches != NULL && i < run->model->config.n_layers;
       i++) {
    llqi_memory_free(run->backend, run->caches[i].keys);
    llqi_memory_free(run->backend, run->caches[i].values);
  }
  llqi_free(run->caches);
  llqi_free(run->pages);
}

int forward_run_tokens(struct forward_run *run, const int32_t *ids, int n,
                       int first, int n_logits, float *logits) {
  llq_segment segment = {0, n, first, 0};
  llq_batch batch = {&segment, run->pages, 1, run->n_pages, PAGE_SIZE, n};
  int32_t *rows = llqi_array((size_t)n_logits, sizeof *rows);
  if (rows == NULL)
    return LLQ_ERROR_MEMORY;
  for (int i = 0; i < n_logits; i++)
    rows[i] = n - n_logits + i;
  struct llqi_step step = {.batch = &batch,
                           .ids = ids,
                           .caches = run->caches,
                           .logit_rows = rows,
                           .n_logit_rows = n_logits,
                           .logits = logits};
  int status = llqi_forward_run(run->forward, &step);
  llqi_free(rows);
  return status;
}
