/* SPDX-License-Identifier: Apache-2.0 */
/* The keys and values of running sequences, in pages of a fixed number of
   positions. A page table lists a sequence's pages in order; tables of
   sequences with a common prompt list the same full pages, each with a count
   of its references, and own a copy of the last, partly filled one.

   Pages are promised before they are taken: a sequence that was admitted with
   a promise of all it may need never has to wait or to be thrown out. */
#ifndef LLQI_GENERATOR_KV_CACHE_H
#define LLQI_GENERATOR_KV_CACHE_H

#include "backend/backend.h"
#include "model/model.h"

/* Positions a page: few enough to waste little at a sequence's end, many
   enough for a kernel to stream through. */
#define LLQI_PAGE_SIZE 64

struct llqi_kv_cache {
  llq_backend *backend;
  llq_kv *layers; /* [n_layers] */
  int n_layers;
  int n_pages;
  int32_t *free_pages; /* [n_pages]: the first n_free are free */
  int n_free;
  int n_promised;      /* of the free ones */
  int32_t *references; /* [n_pages] */
};

/* Zero-initialized is an empty table without room. */
struct llqi_page_table {
  int32_t *pages; /* [capacity] */
  int capacity;
  int n_pages;    /* taken */
  int n_promised; /* more that may be taken */
};

/* Pages that hold n positions, and how many of those are full. */
static inline int llqi_pages_for(int64_t n_positions) {
  return (int)((n_positions + LLQI_PAGE_SIZE - 1) / LLQI_PAGE_SIZE);
}
static inline int llqi_full_pages(int64_t n_positions) {
  return (int)(n_positions / LLQI_PAGE_SIZE);
}

/* The type that a generator's option `kv_cache` (NULL: none) makes of a model's
   cache: one of 8 bits, or `compute`. */
int llqi_kv_cache_type(const llq_model *model, const char *name, int compute,
                       int *dtype);

/* Codes have the model's scales if it has some of this dtype, else scales of 1.
   Close it also when open failed. */
int llqi_kv_cache_open(struct llqi_kv_cache *cache, llq_backend *backend,
                       const llq_model *model, int dtype, int n_pages);
void llqi_kv_cache_close(struct llqi_kv_cache *cache);

int llqi_page_table_open(struct llqi_page_table *table, int capacity);
/* Gives back all pages and promises, and the table's own memory. The cache may
   be NULL for a table that has neither. */
void llqi_page_table_close(struct llqi_kv_cache *cache,
                           struct llqi_page_table *table);

/* Promises n pages to a table. Returns 0, changing nothing, if there are not
   that many. */
int llqi_pages_promise(struct llqi_kv_cache *cache,
                       struct llqi_page_table *table, int n);
/* Takes back what was promised to a table. */
void llqi_pages_unpromise(struct llqi_kv_cache *cache,
                          struct llqi_page_table *table);

/* Takes promised pages until the table covers n positions. */
void llqi_pages_take(struct llqi_kv_cache *cache, struct llqi_page_table *table,
                     int64_t n_positions);

/* Makes an empty table begin with the n positions of another: shares its full
   pages, copies the last one into a page promised to the table if it is not
   full. On failure the table is still empty. */
int llqi_pages_share(struct llqi_kv_cache *cache,
                     const struct llqi_page_table *from, int64_t n_positions,
                     struct llqi_page_table *to);

/* Moves all pages of one table into another that is empty. */
void llqi_pages_move(struct llqi_page_table *from, struct llqi_page_table *to);

#endif
