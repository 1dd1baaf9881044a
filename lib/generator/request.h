/* SPDX-License-Identifier: Apache-2.0 */
/* A prompt with how to continue it: what the n samples of one submit share.

   Its prompt is run once. Until the last sample has begun, the request keeps
   the prompt's pages and the logits that follow it, from which every sample
   draws its first token; the last sample to begin takes the pages over. */
#ifndef LLQI_GENERATOR_REQUEST_H
#define LLQI_GENERATOR_REQUEST_H

#include "generator/kv_cache.h"
#include "generator/stop.h"

#include <llq/generator.h>

struct llqi_request {
  int n_references; /* sequences that are not released */
  int n_unstarted;  /* sequences that have not begun and may yet */

  int32_t *ids; /* [n_ids], the prompt */
  int32_t n_ids;
  int32_t n_done; /* ids that are in the cache */
  struct llqi_page_table table;
  float *logits; /* [n_vocab], valid when n_done == n_ids; NULL: not admitted */

  llq_sampling sampling; /* its stops and end_ids are not used: */
  struct llqi_stops stops;
  int32_t *end_ids; /* [n_end_ids] */
  size_t n_end_ids;
};

/* What submitted prompts are checked against. */
struct llqi_limits {
  int32_t n_vocab;
  int32_t n_context;
  int has_tokenizer;
  const int32_t *end_ids; /* [n_end_ids], the model's own */
  size_t n_end_ids;
};

/* Checks that ids are tokens, naming the first that is not. */
int llqi_check_ids(const int32_t *ids, size_t n_ids, size_t n_max,
                   int32_t n_vocab);

/* Checks and copies what a caller submitted. */
int llqi_request_open(struct llqi_request **out, const int32_t *ids,
                      size_t n_ids, const llq_sampling *sampling,
                      const struct llqi_limits *limits);

/* Frees prompt, pages and logits: when no sequence is left to begin. */
void llqi_request_drop_prompt(struct llqi_request *request,
                              struct llqi_kv_cache *cache);
void llqi_request_close(struct llqi_request *request,
                        struct llqi_kv_cache *cache);

int llqi_request_is_end(const struct llqi_request *request, int32_t id);

#endif
