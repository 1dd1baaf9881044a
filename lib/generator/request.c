/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/request.h"

#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/status.h"
#include "generator/sampling.h"

int llqi_check_ids(const int32_t *ids, size_t n_ids, size_t n_max,
                   int32_t n_vocab) {
  LLQ_REQUIRE(ids != NULL, "ids is NULL");
  LLQ_REQUIRE(n_ids >= 1 && n_ids <= n_max,
              "the prompt has %zu tokens; expected 1 to %zu", n_ids, n_max);
  for (size_t i = 0; i < n_ids; i++)
    LLQ_REQUIRE(ids[i] >= 0 && ids[i] < n_vocab,
                "ids[%zu] is %d; expected 0 to %d", i, ids[i], n_vocab - 1);
  return LLQ_OK;
}

/* An empty list is NULL. */
static int copy_ids(int32_t **out, const int32_t *ids, size_t n) {
  *out = NULL;
  if (n == 0)
    return LLQ_OK;
  *out = llqi_array(n, sizeof **out);
  if (*out == NULL)
    return LLQ_ERROR_MEMORY;
  memcpy(*out, ids, n * sizeof **out);
  return LLQ_OK;
}

static int take_end_ids(struct llqi_request *request,
                        const struct llqi_limits *limits) {
  const int32_t *ids = request->sampling.end_ids;
  size_t n = request->sampling.n_end_ids;
  if (ids == NULL) {
    LLQ_REQUIRE(n == 0, "end_ids is NULL, n_end_ids is %zu", n);
    ids = limits->end_ids;
    n = limits->n_end_ids;
  }
  for (size_t i = 0; i < n; i++)
    LLQ_REQUIRE(ids[i] >= 0 && ids[i] < limits->n_vocab,
                "end_ids[%zu] is %d; expected 0 to %d", i, ids[i],
                limits->n_vocab - 1);
  request->n_end_ids = n;
  return copy_ids(&request->end_ids, ids, n);
}

static int take_sampling(struct llqi_request *request,
                         const llq_sampling *sampling,
                         const struct llqi_limits *limits) {
  llq_sampling *ours = &request->sampling;
  LLQ_TRY(llqi_options_copy(ours, sizeof *ours, sampling, "sampling"));
  LLQ_TRY(llqi_sampling_check(ours));
  LLQ_REQUIRE(ours->n_stops == 0 || limits->has_tokenizer,
              "stop strings need a tokenizer, and this model has none");
  LLQ_TRY(llqi_stops_copy(&request->stops, ours->stops, ours->n_stops));
  return take_end_ids(request, limits);
}

int llqi_request_open(struct llqi_request **out, const int32_t *ids,
                      size_t n_ids, const llq_sampling *sampling,
                      const struct llqi_limits *limits) {
  LLQ_TRY(llqi_check_ids(ids, n_ids, (size_t)limits->n_context - 1,
                         limits->n_vocab));
  struct llqi_request *request = llqi_calloc(1, sizeof *request);
  if (request == NULL)
    return LLQ_ERROR_MEMORY;
  request->n_ids = (int32_t)n_ids;
  int status = take_sampling(request, sampling, limits);
  if (status == LLQ_OK)
    status = copy_ids(&request->ids, ids, n_ids);
  if (status == LLQ_OK)
    status =
        llqi_page_table_open(&request->table, llqi_pages_for(request->n_ids));
  if (status < 0)
    llqi_request_close(request, NULL);
  else
    *out = request;
  return status;
}

void llqi_request_drop_prompt(struct llqi_request *request,
                              struct llqi_kv_cache *cache) {
  llqi_page_table_close(cache, &request->table);
  llqi_free(request->ids);
  llqi_free(request->logits);
  request->ids = NULL;
  request->logits = NULL;
}

void llqi_request_close(struct llqi_request *request,
                        struct llqi_kv_cache *cache) {
  llqi_request_drop_prompt(request, cache);
  llqi_stops_free(&request->stops);
  llqi_free(request->end_ids);
  llqi_free(request);
}

int llqi_request_is_end(const struct llqi_request *request, int32_t id) {
  for (size_t i = 0; i < request->n_end_ids; i++)
    if (request->end_ids[i] == id)
      return 1;
  return 0;
}
