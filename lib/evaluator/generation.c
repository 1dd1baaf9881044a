/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/generation.h"

#include <math.h>
#include <time.h>

#include "base/alloc.h"
#include "base/status.h"

int llqi_generation_open(struct llqi_generation *out, llq_backend *backend,
                         llq_model *model, const struct llqi_settings *settings,
                         const struct llqi_task_set *set,
                         const unsigned char *done) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  *out =
      (struct llqi_generation){.settings = settings, .set = set, .done = done};
  options.compute = settings->compute;
  options.kv_cache = settings->kv_cache;
  options.n_sequences = settings->n_sequences;
  options.n_context = settings->n_context;
  LLQ_TRY(llq_model_tokenizer(model, &out->tokenizer));
  return llq_generator_open(&out->generator, backend, model, &options);
}

void llqi_generation_close(struct llqi_generation *generation) {
  for (size_t i = 0; i < generation->n_running; i++)
    llqi_prompt_drop(generation->running[i].prompt);
  llqi_free(generation->running);
  llq_generator_close(generation->generator);
  *generation = (struct llqi_generation){0};
}

static size_t n_samples(const struct llqi_generation *generation) {
  return (size_t)generation->settings->n_samples;
}

static int is_done(const struct llqi_generation *generation, size_t task,
                   size_t sample) {
  return generation->done[task * n_samples(generation) + sample];
}

/* Moves to the next sample that is missing; the tasks end if there is none. */
static void skip_done(struct llqi_generation *generation) {
  while (generation->next_task < generation->set->n_tasks) {
    if (generation->next_sample >= n_samples(generation)) {
      generation->next_task++;
      generation->next_sample = 0;
    } else if (is_done(generation, generation->next_task,
                       generation->next_sample)) {
      generation->next_sample++;
    } else {
      return;
    }
  }
}

int llqi_generation_ended(const struct llqi_generation *generation) {
  return generation->n_running == 0 &&
         generation->next_task >= generation->set->n_tasks;
}

static int make_prompt(const struct llqi_generation *generation,
                       const struct llqi_task *task, struct llqi_prompt **out) {
  const struct llqi_protocol *protocol = generation->settings->protocol;
  struct llqi_prompt *prompt = llqi_calloc(1, sizeof *prompt);
  *out = NULL;
  if (prompt == NULL)
    return LLQ_ERROR_MEMORY;
  prompt->n_references = 1;
  int status = llqi_protocol_render(protocol, generation->tokenizer,
                                    task->prompt, &prompt->text);
  if (status >= 0)
    status = llqi_protocol_encode(protocol, generation->tokenizer, prompt->text,
                                  &prompt->ids, &prompt->n_ids);
  if (status < 0) {
    llqi_prompt_drop(prompt);
    return llqi_fail_within(status, "task %s", task->task_id);
  }
  *out = prompt;
  return LLQ_OK;
}

static int make_candidate(struct llqi_generation *generation, uint32_t task,
                          uint32_t sample, struct llqi_prompt *prompt,
                          const llq_generation *text, double seconds,
                          llqi_candidate_taker take, void *user) {
  struct llqi_candidate *candidate;
  LLQ_TRY(llqi_candidate_generated(&candidate, generation->settings->protocol,
                                   &generation->set->tasks[task], prompt,
                                   text));
  candidate->task_index = task;
  candidate->sample = sample;
  candidate->seconds = seconds;
  return take(user, candidate);
}

static int reserve(struct llqi_generation *generation, size_t n_more) {
  size_t wanted = generation->n_running + n_more;
  if (wanted <= generation->capacity)
    return LLQ_OK;
  struct llqi_running *running =
      llqi_resize(generation->running, wanted * 2, sizeof *generation->running);
  if (running == NULL)
    return LLQ_ERROR_MEMORY;
  generation->running = running;
  generation->capacity = wanted * 2;
  return LLQ_OK;
}

/* Gives the generator n samples of the next task, from the next one on. */
static int start(struct llqi_generation *generation, struct llqi_prompt *prompt,
                 uint32_t n) {
  const struct llqi_settings *settings = generation->settings;
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  sampling.temperature = settings->temperature;
  sampling.top_p = settings->top_p;
  sampling.n_tokens_max = settings->n_tokens_max;
  sampling.seed = settings->seed;
  sampling.stream =
      llqi_sample_stream(generation->next_task, generation->next_sample);
  sampling.stops = settings->protocol->stops;
  sampling.n_stops = settings->protocol->n_stops;
  int64_t first;
  LLQ_TRY(reserve(generation, n));
  LLQ_TRY(llq_generator_submit(generation->generator, prompt->ids,
                               prompt->n_ids, &sampling, (int32_t)n, &first));
  for (uint32_t i = 0; i < n; i++) {
    generation->running[generation->n_running++] = (struct llqi_running){
        first + i, generation->next_task, generation->next_sample + i, prompt};
    prompt->n_references++;
  }
  return LLQ_OK;
}

/* A prompt that the context has no room after fails without being run. */
static int give_up(struct llqi_generation *generation,
                   struct llqi_prompt *prompt, uint32_t n,
                   llqi_candidate_taker take, void *user) {
  llq_generation nothing = LLQ_GENERATION_INIT;
  nothing.text = "";
  nothing.stop_reason = LLQ_STOP_CONTEXT;
  nothing.min_margin = INFINITY;
  for (uint32_t i = 0; i < n; i++)
    LLQ_TRY(make_candidate(generation, generation->next_task,
                           generation->next_sample + i, prompt, &nothing, 0,
                           take, user));
  return LLQ_OK;
}

/* Submits the run of missing samples that comes next. */
static int submit_next(struct llqi_generation *generation,
                       llqi_candidate_taker take, void *user) {
  struct llqi_prompt *prompt;
  uint32_t task = generation->next_task, end = generation->next_sample;
  LLQ_TRY(make_prompt(generation, &generation->set->tasks[task], &prompt));
  while (end < n_samples(generation) && !is_done(generation, task, end))
    end++;
  uint32_t n = end - generation->next_sample;
  size_t n_context = (size_t)llq_generator_n_context(generation->generator);
  int status = prompt->n_ids < n_context
                   ? start(generation, prompt, n)
                   : give_up(generation, prompt, n, take, user);
  llqi_prompt_drop(prompt);
  LLQ_TRY(status);
  generation->next_sample = end;
  return LLQ_OK;
}

static int collect(struct llqi_generation *generation, size_t n_ended,
                   llqi_candidate_taker take, void *user) {
  double share = generation->seconds / (double)n_ended;
  generation->seconds = 0;
  for (size_t i = 0; i < generation->n_running;) {
    struct llqi_running *running = &generation->running[i];
    llq_generation text = LLQ_GENERATION_INIT;
    LLQ_TRY(llq_generator_get(generation->generator, running->sequence, &text));
    if (text.stop_reason == LLQ_STOP_NONE) {
      i++;
      continue;
    }
    LLQ_TRY(make_candidate(generation, running->task, running->sample,
                           running->prompt, &text, share, take, user));
    llq_generator_release(generation->generator, running->sequence);
    llqi_prompt_drop(running->prompt);
    *running = generation->running[--generation->n_running];
  }
  return LLQ_OK;
}

static int count_ended(const struct llqi_generation *generation,
                       size_t *n_ended) {
  *n_ended = 0;
  for (size_t i = 0; i < generation->n_running; i++) {
    llq_generation text = LLQ_GENERATION_INIT;
    LLQ_TRY(llq_generator_get(generation->generator,
                              generation->running[i].sequence, &text));
    *n_ended += text.stop_reason != LLQ_STOP_NONE;
  }
  return LLQ_OK;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int llqi_generation_step(struct llqi_generation *generation,
                         llqi_candidate_taker take, void *user) {
  size_t n_ended, enough = 2 * (size_t)generation->settings->n_sequences;
  skip_done(generation);
  while (generation->next_task < generation->set->n_tasks &&
         generation->n_running < enough) {
    LLQ_TRY(submit_next(generation, take, user));
    skip_done(generation);
  }
  if (generation->n_running == 0)
    return LLQ_OK;
  double begin = now();
  LLQ_TRY(llq_generator_step(generation->generator, NULL));
  generation->seconds += now() - begin;
  LLQ_TRY(count_ended(generation, &n_ended));
  return n_ended > 0 ? collect(generation, n_ended, take, user) : LLQ_OK;
}
