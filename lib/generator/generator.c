/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/generator.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/status.h"
#include "generator/scheduler.h"

enum {
  DEFAULT_SEQUENCES = 16,
  DEFAULT_CONTEXT = 4096,
  DEFAULT_CHUNK = 256,
  MOST_SEQUENCES = 1 << 16,
  MOST_END_IDS = 64
};

struct llq_generator {
  llq_model *model;
  struct llqi_limits limits;
  int32_t end_ids[MOST_END_IDS]; /* what limits.end_ids points to */
  struct llqi_scheduler scheduler;
  struct llqi_sequence **sequences; /* by number, which only grows */
  size_t n_sequences, capacity;
  int64_t n_submitted; /* also the next sequence's number */
};

static int read_compute(const llq_backend *backend, const char *name,
                        int *compute) {
  if (name == NULL)
    name = llqi_backend_is_host(backend) ? "f32" : "bf16";
  *compute = strcmp(name, "f32") == 0    ? LLQ_F32
             : strcmp(name, "bf16") == 0 ? LLQ_BF16
                                         : 0;
  LLQ_REQUIRE(*compute != 0, "compute is '%s'; expected f32 or bf16", name);
  return LLQ_OK;
}

static int read_options(const llq_backend *backend, const llq_model *model,
                        const llq_generator_options *given,
                        struct llqi_scheduler_options *out) {
  llq_generator_options o;
  LLQ_TRY(llqi_options_copy(&o, sizeof o, given, "generator options"));
  LLQ_TRY(read_compute(backend, o.compute, &out->compute));
  int64_t n_positions = model->config.n_context;
  int64_t n_default =
      n_positions < DEFAULT_CONTEXT ? n_positions : DEFAULT_CONTEXT;
  int64_t n_context = o.n_context != 0 ? o.n_context : n_default;
  LLQ_REQUIRE(n_context >= 2 && n_context <= n_positions,
              "n_context is %lld; this model takes 2 to %lld",
              (long long)n_context, (long long)n_positions);
  LLQ_REQUIRE(o.n_sequences >= 0 && o.n_sequences <= MOST_SEQUENCES,
              "n_sequences is %d; expected 0 to %d", o.n_sequences,
              MOST_SEQUENCES);
  LLQ_REQUIRE(o.n_chunk >= 0, "n_chunk is %d; expected 0 or more", o.n_chunk);
  int32_t n_chunk = o.n_chunk > 0 ? o.n_chunk : DEFAULT_CHUNK;
  out->n_context = (int32_t)n_context;
  out->n_chunk = n_chunk < out->n_context ? n_chunk : out->n_context;
  out->n_sequences = o.n_sequences > 0 ? o.n_sequences : DEFAULT_SEQUENCES;
  out->is_fast = o.is_fast;
  return llqi_kv_cache_type(model, o.kv_cache, out->compute, &out->kv_dtype);
}

/* A model without a tokenizer gives ids, and no text. */
static int find_tokenizer(llq_model *model, const llq_tokenizer **out) {
  *out = NULL;
  int status = llq_model_tokenizer(model, out);
  if (status != LLQ_ERROR_IO)
    return status;
  llqi_error_clear();
  *out = NULL;
  return LLQ_OK;
}

static int open_parts(llq_generator *g, llq_backend *backend,
                      const llq_generator_options *options) {
  struct llqi_scheduler_options scheduler_options;
  const llq_tokenizer *tokenizer;
  size_t n_end_ids;
  LLQ_TRY(read_options(backend, g->model, options, &scheduler_options));
  LLQ_TRY(find_tokenizer(g->model, &tokenizer));
  LLQ_TRY(llqi_model_end_ids(g->model, g->end_ids, MOST_END_IDS, &n_end_ids));
  g->limits = (struct llqi_limits){.n_vocab = (int32_t)g->model->config.n_vocab,
                                   .n_context = scheduler_options.n_context,
                                   .has_tokenizer = tokenizer != NULL,
                                   .end_ids = g->end_ids,
                                   .n_end_ids = n_end_ids};
  return llqi_scheduler_open(&g->scheduler, backend, g->model, tokenizer,
                             &scheduler_options);
}

int llq_generator_open(llq_generator **out, llq_backend *backend,
                       llq_model *model, const llq_generator_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL && backend != NULL && model != NULL,
              "out, backend or model is NULL");
  llq_generator *g = llqi_calloc(1, sizeof *g);
  if (g == NULL)
    return LLQ_ERROR_MEMORY;
  g->model = llq_model_retain(model);
  int status = open_parts(g, backend, options);
  if (status < 0)
    llq_generator_close(g);
  else
    *out = g;
  return status;
}

/* Frees a sequence that has ended, and its request with the last of it. */
static void forget(llq_generator *g, struct llqi_sequence *sequence) {
  struct llqi_request *request = sequence->request;
  if (sequence->state != LLQI_ENDED)
    llqi_scheduler_end(&g->scheduler, sequence, LLQ_STOP_CANCELLED);
  llqi_sequence_close(sequence, &g->scheduler.cache);
  if (--request->n_references == 0)
    llqi_request_close(request, &g->scheduler.cache);
}

void llq_generator_close(llq_generator *g) {
  if (g == NULL)
    return;
  for (size_t i = 0; i < g->n_sequences; i++)
    forget(g, g->sequences[i]);
  llqi_scheduler_close(&g->scheduler);
  llqi_free(g->sequences);
  llq_model_close(g->model);
  llqi_free(g);
}

size_t llqi_generator_n_vocab(const llq_generator *generator) {
  return (size_t)generator->model->config.n_vocab;
}

int32_t llq_generator_n_context(const llq_generator *g) {
  return g->limits.n_context;
}

static int make_room(llq_generator *g, size_t n_more) {
  size_t wanted = g->n_sequences + n_more;
  if (wanted <= g->capacity)
    return LLQ_OK;
  size_t capacity = wanted > 2 * g->capacity ? wanted : 2 * g->capacity;
  struct llqi_sequence **grown =
      llqi_resize(g->sequences, capacity, sizeof *grown);
  if (grown == NULL)
    return LLQ_ERROR_MEMORY;
  g->sequences = grown;
  g->capacity = capacity;
  return LLQ_OK;
}

/* Makes the sequences of a request, behind those that there are. */
static int open_samples(llq_generator *g, struct llqi_request *request,
                        int32_t n_samples) {
  LLQ_TRY(make_room(g, (size_t)n_samples));
  struct llqi_sequence **samples = g->sequences + g->n_sequences;
  for (int32_t i = 0; i < n_samples; i++) {
    int status =
        llqi_sequence_open(&samples[i], request, i, g->limits.n_context);
    if (status < 0) {
      while (i-- > 0)
        llqi_sequence_close(samples[i], NULL);
      return status;
    }
    samples[i]->number = g->n_submitted + i;
  }
  return LLQ_OK;
}

int llq_generator_submit(llq_generator *g, const int32_t *ids, size_t n_ids,
                         const llq_sampling *sampling, int32_t n_samples,
                         int64_t *first) {
  llqi_error_clear();
  LLQ_REQUIRE(n_samples >= 1, "n_samples is %d; expected 1 or more", n_samples);
  LLQ_REQUIRE(first != NULL, "first is NULL");
  struct llqi_request *request;
  LLQ_TRY(llqi_request_open(&request, ids, n_ids, sampling, &g->limits));
  int status = open_samples(g, request, n_samples);
  if (status < 0) {
    llqi_request_close(request, NULL);
    return status;
  }
  request->n_references = request->n_unstarted = n_samples;
  for (int32_t i = 0; i < n_samples; i++)
    llqi_scheduler_add(&g->scheduler, g->sequences[g->n_sequences++]);
  *first = g->n_submitted;
  g->n_submitted += n_samples;
  return LLQ_OK;
}

static int report_progress(const llq_generator *g, llq_progress *progress) {
  const struct llqi_scheduler *s = &g->scheduler;
  llq_progress p = {.struct_size = sizeof p,
                    .done = s->n_ended,
                    .total = (uint64_t)g->n_submitted,
                    .unit = "sequences"};
  snprintf(p.what, sizeof p.what, "%d running", s->n_running);
  return llqi_struct_return(progress, &p, sizeof p, "progress");
}

int llq_generator_step(llq_generator *g, llq_progress *progress) {
  llqi_error_clear();
  int status = llqi_scheduler_step(&g->scheduler);
  LLQ_TRY(status);
  if (progress != NULL)
    LLQ_TRY(report_progress(g, progress));
  return status;
}

int llq_generator_run(llq_generator *g) {
  int status;
  do
    status = llq_generator_step(g, NULL);
  while (status == LLQ_MORE);
  return status;
}

/* Where a sequence is in the list; its length if it is not there. */
static size_t find(const llq_generator *g, int64_t number) {
  size_t low = 0, high = g->n_sequences;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (g->sequences[middle]->number < number)
      low = middle + 1;
    else
      high = middle;
  }
  int found = low < g->n_sequences && g->sequences[low]->number == number;
  return found ? low : g->n_sequences;
}

/* NULL, with the message set, if there is no such sequence. */
static struct llqi_sequence *get_sequence(const llq_generator *g,
                                          int64_t number) {
  size_t at = find(g, number);
  if (at < g->n_sequences)
    return g->sequences[at];
  llqi_fail(LLQ_ERROR_ARGUMENT, "there is no sequence %lld", (long long)number);
  return NULL;
}

int llq_generator_get(const llq_generator *g, int64_t number,
                      llq_generation *generation) {
  llqi_error_clear();
  LLQ_REQUIRE(generation != NULL, "generation is NULL");
  const struct llqi_sequence *sequence = get_sequence(g, number);
  if (sequence == NULL)
    return LLQ_ERROR_ARGUMENT;
  llq_generation ours;
  llqi_sequence_describe(sequence, &ours);
  return llqi_struct_return(generation, &ours, sizeof ours, "generation");
}

int llq_generator_cancel(llq_generator *g, int64_t number) {
  llqi_error_clear();
  struct llqi_sequence *sequence = get_sequence(g, number);
  if (sequence == NULL)
    return LLQ_ERROR_ARGUMENT;
  if (sequence->state != LLQI_ENDED)
    llqi_scheduler_end(&g->scheduler, sequence, LLQ_STOP_CANCELLED);
  return LLQ_OK;
}

void llq_generator_release(llq_generator *g, int64_t number) {
  size_t at = find(g, number);
  if (at == g->n_sequences)
    return;
  forget(g, g->sequences[at]);
  g->n_sequences--;
  memmove(g->sequences + at, g->sequences + at + 1,
          (g->n_sequences - at) * sizeof *g->sequences);
}

int llq_generator_logits(llq_generator *g, const int32_t *ids, size_t n_ids,
                         float *logits) {
  llqi_error_clear();
  LLQ_REQUIRE(logits != NULL, "logits is NULL");
  LLQ_TRY(llqi_check_ids(ids, n_ids, (size_t)g->limits.n_context,
                         g->limits.n_vocab));
  return llqi_scheduler_logits(&g->scheduler, ids, (int32_t)n_ids, logits);
}
