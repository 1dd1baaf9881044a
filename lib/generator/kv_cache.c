/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/kv_cache.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "model/kv_scheme.h"
#include "tensor/dtype.h"

/* fp8 may do without scales, as its numbers reach from 2^-9 to 448. */
int llqi_kv_cache_type(const llq_model *model, const char *name, int compute,
                       int *dtype) {
  *dtype = compute;
  if (name == NULL)
    *dtype = model->kv_dtype != 0 ? model->kv_dtype : compute;
  if (name == NULL || strcmp(name, "compute") == 0)
    return LLQ_OK;
  *dtype = llqi_kv_dtype_find(name);
  LLQ_REQUIRE(*dtype != 0, "kv_cache is '%s'; expected compute, fp8 or int8",
              name);
  LLQ_REQUIRE(model->kv_dtype == 0 || model->kv_dtype == *dtype,
              "kv_cache is %s, but %s has scales for %s", name, model->source,
              llqi_kv_dtype_name(model->kv_dtype));
  LLQ_REQUIRE(*dtype == model->kv_dtype || *dtype == LLQ_F8_E4M3,
              "kv_cache is %s, but %s has no scales for it: quantize it with a "
              "kv_cache, which calibrates them",
              name, model->source);
  return LLQ_OK;
}

static int open_layer(struct llqi_kv_cache *cache, llq_kv *layer,
                      size_t n_bytes) {
  LLQ_TRY(llqi_memory_alloc(cache->backend, n_bytes, &layer->keys));
  return llqi_memory_alloc(cache->backend, n_bytes, &layer->values);
}

static int open_pages(struct llqi_kv_cache *cache) {
  size_t n = (size_t)cache->n_pages;
  cache->free_pages = llqi_array(n, sizeof *cache->free_pages);
  cache->references = llqi_calloc(n, sizeof *cache->references);
  if (cache->free_pages == NULL || cache->references == NULL)
    return LLQ_ERROR_MEMORY;
  for (int i = 0; i < cache->n_pages; i++)
    cache->free_pages[i] = cache->n_pages - 1 - i;
  cache->n_free = cache->n_pages;
  return LLQ_OK;
}

int llqi_kv_cache_open(struct llqi_kv_cache *cache, llq_backend *backend,
                       const llq_model *model, int dtype, int n_pages) {
  const struct llqi_config *config = &model->config;
  const int has_scales = dtype == model->kv_dtype;
  *cache = (struct llqi_kv_cache){.backend = backend, .n_pages = n_pages};
  LLQ_TRY(open_pages(cache));
  cache->layers = llqi_calloc((size_t)config->n_layers, sizeof *cache->layers);
  if (cache->layers == NULL)
    return LLQ_ERROR_MEMORY;
  cache->n_layers = (int)config->n_layers;
  size_t n_bytes = (size_t)n_pages * LLQI_PAGE_SIZE *
                   (size_t)config->n_kv_heads * (size_t)config->head_size *
                   llqi_dtype_size(dtype);
  for (int i = 0; i < cache->n_layers; i++) {
    const struct llqi_layer *from = &model->layers[i];
    cache->layers[i] =
        (llq_kv){.dtype = dtype,
                 .n_pages = n_pages,
                 .page_size = LLQI_PAGE_SIZE,
                 .n_kv_heads = (int32_t)config->n_kv_heads,
                 .head_size = (int32_t)config->head_size,
                 .key_scale = has_scales ? from->key_scale : 1,
                 .value_scale = has_scales ? from->value_scale : 1};
    LLQ_TRY(open_layer(cache, &cache->layers[i], n_bytes));
  }
  return LLQ_OK;
}

void llqi_kv_cache_close(struct llqi_kv_cache *cache) {
  for (int i = 0; i < cache->n_layers; i++) {
    llqi_memory_free(cache->backend, cache->layers[i].keys);
    llqi_memory_free(cache->backend, cache->layers[i].values);
  }
  llqi_free(cache->layers);
  llqi_free(cache->free_pages);
  llqi_free(cache->references);
  *cache = (struct llqi_kv_cache){0};
}

int llqi_page_table_open(struct llqi_page_table *table, int capacity) {
  *table = (struct llqi_page_table){.capacity = capacity};
  table->pages = llqi_array((size_t)capacity, sizeof *table->pages);
  return table->pages != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static void drop_page(struct llqi_kv_cache *cache, int32_t page) {
  if (--cache->references[page] == 0)
    cache->free_pages[cache->n_free++] = page;
}

void llqi_pages_unpromise(struct llqi_kv_cache *cache,
                          struct llqi_page_table *table) {
  cache->n_promised -= table->n_promised;
  table->n_promised = 0;
}

void llqi_page_table_close(struct llqi_kv_cache *cache,
                           struct llqi_page_table *table) {
  for (int i = 0; i < table->n_pages; i++)
    drop_page(cache, table->pages[i]);
  if (table->n_promised > 0)
    llqi_pages_unpromise(cache, table);
  llqi_free(table->pages);
  *table = (struct llqi_page_table){0};
}

int llqi_pages_promise(struct llqi_kv_cache *cache,
                       struct llqi_page_table *table, int n) {
  if (n > cache->n_free - cache->n_promised)
    return 0;
  cache->n_promised += n;
  table->n_promised += n;
  return 1;
}

static void take_one(struct llqi_kv_cache *cache,
                     struct llqi_page_table *table) {
  int32_t page = cache->free_pages[--cache->n_free];
  cache->references[page] = 1;
  cache->n_promised--;
  table->n_promised--;
  table->pages[table->n_pages++] = page;
}

void llqi_pages_take(struct llqi_kv_cache *cache, struct llqi_page_table *table,
                     int64_t n_positions) {
  while (table->n_pages < llqi_pages_for(n_positions))
    take_one(cache, table);
}

static int copy_page(struct llqi_kv_cache *cache, int from, int to) {
  for (int i = 0; i < cache->n_layers; i++)
    LLQ_TRY(llqi_op_page_copy(cache->backend, &cache->layers[i], from, to));
  return LLQ_OK;
}

int llqi_pages_share(struct llqi_kv_cache *cache,
                     const struct llqi_page_table *from, int64_t n_positions,
                     struct llqi_page_table *to) {
  int n_full = llqi_full_pages(n_positions);
  if (n_full < llqi_pages_for(n_positions)) {
    int32_t copy = cache->free_pages[cache->n_free - 1];
    LLQ_TRY(copy_page(cache, from->pages[n_full], copy));
  }
  for (int i = 0; i < n_full; i++) {
    to->pages[i] = from->pages[i];
    cache->references[from->pages[i]]++;
  }
  to->n_pages = n_full;
  llqi_pages_take(cache, to, n_positions);
  return LLQ_OK;
}

void llqi_pages_move(struct llqi_page_table *from, struct llqi_page_table *to) {
  memcpy(to->pages, from->pages, (size_t)from->n_pages * sizeof *to->pages);
  to->n_pages = from->n_pages;
  from->n_pages = 0;
}
