/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/scheduler.h"

#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* How many pages the cache gets. Enough for every sequence at its longest,
   with the copy of a shared page each; less if the device has no room, but
   never less than one such sequence needs. */
static int size_cache(llq_backend *backend, const struct llqi_config *config,
                      const struct llqi_scheduler_options *options,
                      int *n_pages) {
  int64_t least = llqi_pages_for(options->n_context) + 1;
  int64_t wanted = least * options->n_sequences;
  int64_t page_bytes = 2 * config->n_layers * LLQI_PAGE_SIZE *
                       config->n_kv_heads * config->head_size *
                       (int64_t)llqi_dtype_size(options->kv_dtype);
  llq_device_info info = LLQ_DEVICE_INFO_INIT;
  LLQ_TRY(llq_backend_describe(backend, &info));
  int64_t fit = wanted;
  if (info.memory_free_bytes > 0) /* leaving a tenth to others */
    fit = (int64_t)(info.memory_free_bytes / 10 * 9) / page_bytes;
  if (fit < least)
    return llqi_fail(LLQ_ERROR_MEMORY,
                     "the keys and values of %d tokens take %lld bytes; %s has "
                     "%llu bytes free",
                     options->n_context, (long long)(least * page_bytes),
                     info.name, (unsigned long long)info.memory_free_bytes);
  int64_t n = fit < wanted ? fit : wanted;
  LLQ_REQUIRE(n * LLQI_PAGE_SIZE <= INT32_MAX,
              "%d sequences of %d tokens are too many", options->n_sequences,
              options->n_context);
  *n_pages = (int)n;
  return LLQ_OK;
}

static int open_memory(struct llqi_scheduler *s, llq_backend *backend,
                       const llq_model *model, int kv_dtype, int n_pages) {
  size_t n_sequences = (size_t)s->n_sequences;
  LLQ_TRY(llqi_kv_cache_open(&s->cache, backend, model, kv_dtype, n_pages));
  LLQ_TRY(llqi_sampler_open(&s->sampler, s->n_vocab));
  LLQ_TRY(llqi_batch_open(&s->batch, s->n_sequences + s->n_chunk,
                          s->n_sequences,
                          s->n_sequences * llqi_pages_for(s->n_context)));
  s->logits = llqi_array(n_sequences * (size_t)s->n_vocab, sizeof *s->logits);
  s->running = llqi_array(n_sequences, sizeof(struct llqi_sequence *));
  if (llqi_forward_draws(s->forward) &&
      (s->draws = llqi_array(n_sequences, sizeof *s->draws)) == NULL)
    return LLQ_ERROR_MEMORY;
  return s->logits != NULL && s->running != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

int llqi_scheduler_open(struct llqi_scheduler *s, llq_backend *backend,
                        llq_model *model, const llq_tokenizer *tokenizer,
                        const struct llqi_scheduler_options *options) {
  *s = (struct llqi_scheduler){.tokenizer = tokenizer,
                               .n_vocab = (int32_t)model->config.n_vocab,
                               .n_context = options->n_context,
                               .n_sequences = options->n_sequences,
                               .n_chunk = options->n_chunk};
  TAILQ_INIT(&s->waiting);
  int n_pages;
  const struct llqi_forward_options forward_options = {
      .compute = options->compute,
      .n_rows_max = s->n_sequences + s->n_chunk,
      .n_positions_max = s->n_context,
      .n_logit_rows_max = s->n_sequences,
      .is_fast = options->is_fast};
  LLQ_TRY(llqi_forward_open(&s->forward, backend, model, &forward_options));
  LLQ_TRY(size_cache(backend, &model->config, options, &n_pages));
  return open_memory(s, backend, model, options->kv_dtype, n_pages);
}

void llqi_scheduler_close(struct llqi_scheduler *s) {
  llqi_kv_cache_close(&s->cache);
  llqi_sampler_close(&s->sampler);
  llqi_batch_close(&s->batch);
  llqi_text_free(&s->bytes);
  llqi_free(s->logits);
  llqi_free(s->draws);
  llqi_free(s->running);
  llqi_forward_close(s->forward);
  *s = (struct llqi_scheduler){0};
}

void llqi_scheduler_add(struct llqi_scheduler *s,
                        struct llqi_sequence *sequence) {
  sequence->state = LLQI_WAITING;
  TAILQ_INSERT_TAIL(&s->waiting, sequence, waiting);
}

static void remove_running(struct llqi_scheduler *s,
                           const struct llqi_sequence *sequence) {
  int at = 0;
  while (s->running[at] != sequence)
    at++;
  s->n_running--;
  memmove(s->running + at, s->running + at + 1,
          (size_t)(s->n_running - at) * sizeof *s->running);
}

/* One sequence less will ask for the prompt. */
static void leave_prompt(struct llqi_scheduler *s,
                         struct llqi_request *request) {
  if (--request->n_unstarted == 0)
    llqi_request_drop_prompt(request, &s->cache);
}

void llqi_scheduler_end(struct llqi_scheduler *s,
                        struct llqi_sequence *sequence, int32_t stop_reason) {
  if (sequence->state == LLQI_WAITING)
    TAILQ_REMOVE(&s->waiting, sequence, waiting);
  else
    remove_running(s, sequence);
  if (sequence->state != LLQI_DECODING)
    leave_prompt(s, sequence->request);
  llqi_page_table_close(&s->cache, &sequence->table);
  llqi_stream_finish(&sequence->stream);
  sequence->state = LLQI_ENDED;
  sequence->stop_reason = stop_reason;
  s->n_ended++;
}

/* Promises all pages that a sequence may need, and those of its prompt if it
   is the first to need it. The last sample takes over the prompt's last page;
   others need a page for their copy of it. */
static int promise_pages(struct llqi_scheduler *s,
                         struct llqi_sequence *sequence) {
  struct llqi_request *request = sequence->request;
  int n_prompt = llqi_pages_for(request->n_ids);
  int n_shared =
      request->n_unstarted == 1 ? n_prompt : llqi_full_pages(request->n_ids);
  int n_own =
      llqi_pages_for(llqi_sequence_n_positions_max(sequence, s->n_context)) -
      n_shared;
  if (!llqi_pages_promise(&s->cache, &sequence->table, n_own))
    return 0;
  if (request->logits != NULL ||
      llqi_pages_promise(&s->cache, &request->table, n_prompt))
    return 1;
  llqi_pages_unpromise(&s->cache, &sequence->table);
  return 0;
}

static int admit(struct llqi_scheduler *s) {
  struct llqi_sequence *sequence;
  while (s->n_running < s->n_sequences &&
         (sequence = TAILQ_FIRST(&s->waiting)) != NULL) {
    struct llqi_request *request = sequence->request;
    float *logits = NULL;
    if (request->logits == NULL &&
        (logits = llqi_array((size_t)s->n_vocab, sizeof *logits)) == NULL)
      return LLQ_ERROR_MEMORY;
    if (!promise_pages(s, sequence)) {
      llqi_free(logits);
      break;
    }
    if (logits != NULL)
      request->logits = logits;
    TAILQ_REMOVE(&s->waiting, sequence, waiting);
    sequence->state = LLQI_ADMITTED;
    s->running[s->n_running++] = sequence;
  }
  return LLQ_OK;
}

/* How to draw the next token of a sequence, whose position is given. */
static llq_draw draw_of(const struct llqi_sequence *sequence,
                        int32_t position) {
  const llq_sampling *sampling = &sequence->request->sampling;
  llq_draw draw = {.temperature = sampling->temperature,
                   .top_p = sampling->top_p,
                   .min_p = sampling->min_p,
                   .top_k = sampling->top_k};
  if (draw.temperature > 0)
    draw.uniform = llqi_uniform(sampling->seed,
                                sampling->stream + (uint64_t)sequence->sample,
                                (uint64_t)position);
  return draw;
}

/* A token's bytes. Ids that only pad the model's vocabulary have none. */
static int decode(struct llqi_scheduler *s, int32_t id) {
  const llq_tokenizer *tokenizer = s->tokenizer;
  size_t n;
  llqi_text_clear(&s->bytes);
  if (tokenizer == NULL || (size_t)id >= llq_tokenizer_n_vocab(tokenizer))
    return LLQ_OK;
  LLQ_TRY(llq_tokenizer_decode(tokenizer, &id, 1, 0, NULL, 0, &n));
  LLQ_TRY(llqi_text_reserve(&s->bytes, n));
  LLQ_TRY(llq_tokenizer_decode(tokenizer, &id, 1, 0, s->bytes.data, n, &n));
  s->bytes.length = n;
  return LLQ_OK;
}

/* Gives a sequence the token that was drawn; says what llqi_sequence_accept()
   says. */
static int accept(struct llqi_scheduler *s, struct llqi_sequence *sequence,
                  const llq_draw *draw) {
  if (!draw->is_finite)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "sequence %lld, position %d: the logits are not finite "
                     "numbers; a weight of the model must be wrong",
                     (long long)sequence->number,
                     llqi_sequence_position(sequence));
  LLQ_TRY(decode(s, draw->id));
  return llqi_sequence_accept(sequence, draw->id, draw->margin, s->bytes.data,
                              s->bytes.length, s->n_context);
}

/* Draws a sequence's next token on the host. */
static int draw(struct llqi_scheduler *s, struct llqi_sequence *sequence,
                const float *logits) {
  llq_draw draw = draw_of(sequence, llqi_sequence_position(sequence));
  llqi_sample(&s->sampler, logits, &draw);
  return accept(s, sequence, &draw);
}

/* Gives a sequence its prompt's pages, unless a step that failed later already
   has. */
static int get_prompt_pages(struct llqi_scheduler *s,
                            struct llqi_sequence *sequence) {
  struct llqi_request *request = sequence->request;
  if (sequence->table.n_pages > 0)
    return LLQ_OK;
  if (request->n_unstarted > 1)
    return llqi_pages_share(&s->cache, &request->table, request->n_ids,
                            &sequence->table);
  llqi_pages_move(&request->table, &sequence->table);
  return LLQ_OK;
}

/* Begins an admitted sequence whose prompt is in the cache. */
static int start(struct llqi_scheduler *s, struct llqi_sequence *sequence) {
  struct llqi_request *request = sequence->request;
  LLQ_TRY(get_prompt_pages(s, sequence));
  int reason = draw(s, sequence, request->logits);
  LLQ_TRY(reason);
  sequence->state = LLQI_DECODING;
  leave_prompt(s, request);
  if (reason != LLQ_STOP_NONE)
    llqi_scheduler_end(s, sequence, reason);
  return LLQ_OK;
}

static int start_ready(struct llqi_scheduler *s) {
  int at = 0;
  while (at < s->n_running) {
    struct llqi_sequence *sequence = s->running[at];
    if (sequence->state == LLQI_ADMITTED &&
        sequence->request->n_done == sequence->request->n_ids)
      LLQ_TRY(start(s, sequence));
    at += at < s->n_running && s->running[at] == sequence;
  }
  return LLQ_OK;
}

static void add_token(struct llqi_scheduler *s,
                      struct llqi_sequence *sequence) {
  int32_t position = llqi_sequence_position(sequence) - 1;
  if (s->draws != NULL)
    s->draws[s->batch.view.n_rows] = draw_of(sequence, position + 1);
  llqi_pages_take(&s->cache, &sequence->table, position + 1);
  llqi_batch_add(&s->batch, &sequence->ids[sequence->n_ids - 1], 1, position,
                 &sequence->table);
  llqi_batch_own(&s->batch, sequence, NULL, 1);
}

static int add_prompt(struct llqi_scheduler *s, struct llqi_request *request,
                      int n_room) {
  int n_left = request->n_ids - request->n_done;
  int n = n_left < n_room ? n_left : n_room;
  if (n == 0)
    return 0;
  llqi_pages_take(&s->cache, &request->table, request->n_done + n);
  llqi_batch_add(&s->batch, request->ids + request->n_done, n, request->n_done,
                 &request->table);
  llqi_batch_own(&s->batch, NULL, request, n == n_left);
  return n;
}

/* Decoding sequences first, a row each: from those tokens are drawn. Samples of
   one request are admitted one after the other, so comparing with the request
   before is enough to add a prompt once. Returns how many are decoding. */
static int fill_batch(struct llqi_scheduler *s) {
  struct llqi_request *last = NULL;
  int n_room = s->n_chunk, n_decoding;
  llqi_batch_clear(&s->batch);
  for (int i = 0; i < s->n_running; i++)
    if (s->running[i]->state == LLQI_DECODING)
      add_token(s, s->running[i]);
  n_decoding = s->batch.view.n_rows;
  for (int i = 0; i < s->n_running; i++) {
    struct llqi_sequence *sequence = s->running[i];
    if (sequence->state == LLQI_DECODING || sequence->request == last)
      continue;
    last = sequence->request;
    n_room -= add_prompt(s, last, n_room);
  }
  return n_decoding;
}

static int take_results(struct llqi_scheduler *s) {
  const struct llqi_batch *batch = &s->batch;
  for (int i = 0; i < batch->view.n_segments; i++) {
    const struct llqi_owner *owner = &batch->owners[i];
    const float *logits =
        s->logits + (size_t)(owner->logit_row < 0 ? 0 : owner->logit_row) *
                        (size_t)s->n_vocab;
    if (owner->sequence != NULL) {
      int reason = s->draws != NULL ? accept(s, owner->sequence, &s->draws[i])
                                    : draw(s, owner->sequence, logits);
      LLQ_TRY(reason);
      if (reason != LLQ_STOP_NONE)
        llqi_scheduler_end(s, owner->sequence, reason);
      continue;
    }
    if (owner->logit_row >= 0)
      memcpy(owner->request->logits, logits,
             (size_t)s->n_vocab * sizeof *logits);
    owner->request->n_done += batch->view.segments[i].n_rows;
  }
  return LLQ_OK;
}

int llqi_scheduler_step(struct llqi_scheduler *s) {
  LLQ_TRY(admit(s));
  LLQ_TRY(start_ready(s));
  int n_decoding = fill_batch(s);
  if (s->batch.view.n_rows > 0) {
    LLQ_TRY(llqi_batch_run(&s->batch, s->forward, &s->cache, s->logits,
                           s->draws, s->draws != NULL ? n_decoding : 0));
    LLQ_TRY(take_results(s));
    LLQ_TRY(start_ready(s));
  }
  return s->n_running > 0 || !TAILQ_EMPTY(&s->waiting) ? LLQ_MORE : LLQ_OK;
}

static int run_chunks(struct llqi_scheduler *s, struct llqi_page_table *table,
                      const int32_t *ids, int32_t n_ids, float *logits) {
  for (int32_t done = 0; done < n_ids; done += s->n_chunk) {
    int32_t n_left = n_ids - done;
    int n = n_left < s->n_chunk ? n_left : s->n_chunk;
    llqi_batch_clear(&s->batch);
    llqi_batch_add(&s->batch, ids + done, n, done, table);
    llqi_batch_want_all(&s->batch);
    LLQ_TRY(llqi_batch_run(&s->batch, s->forward, &s->cache,
                           logits + (size_t)done * (size_t)s->n_vocab, NULL,
                           0));
  }
  return LLQ_OK;
}

int llqi_scheduler_logits(struct llqi_scheduler *s, const int32_t *ids,
                          int32_t n_ids, float *logits) {
  struct llqi_page_table table;
  int n_pages = llqi_pages_for(n_ids);
  LLQ_TRY(llqi_page_table_open(&table, n_pages));
  int status;
  if (llqi_pages_promise(&s->cache, &table, n_pages)) {
    llqi_pages_take(&s->cache, &table, n_ids);
    status = run_chunks(s, &table, ids, n_ids, logits);
  } else {
    status = llqi_fail(LLQ_ERROR_MEMORY,
                       "the KV cache has %d free pages, %d tokens need %d; "
                       "end running sequences first",
                       s->cache.n_free - s->cache.n_promised, n_ids, n_pages);
  }
  llqi_page_table_close(&s->cache, &table);
  return status;
}
