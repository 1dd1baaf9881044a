/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/candidate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

static const char *const stop_names[] = {
    [LLQ_STOP_NONE] = "none",       [LLQ_STOP_END] = "end",
    [LLQ_STOP_STRING] = "string",   [LLQ_STOP_LENGTH] = "length",
    [LLQ_STOP_CONTEXT] = "context", [LLQ_STOP_CANCELLED] = "cancelled"};

uint64_t llqi_sample_stream(uint32_t task_index, uint32_t sample) {
  return (uint64_t)task_index << 32 | sample;
}

void llqi_prompt_drop(struct llqi_prompt *prompt) {
  if (prompt == NULL || --prompt->n_references > 0)
    return;
  llqi_free(prompt->text);
  llqi_free(prompt->ids);
  llqi_free(prompt);
}

/* The programs of a generated text: before post-processing, and the one that
   counts. */
static int set_programs(struct llqi_candidate *candidate,
                        const struct llqi_protocol *protocol) {
  char *text = llqi_program_text(candidate->completion, candidate->n_bytes);
  char *raw, *processed;
  if (text == NULL)
    return LLQ_ERROR_MEMORY;
  int status =
      llqi_protocol_programs(protocol, candidate->prompt->text, text,
                             candidate->task->entry_point, &raw, &processed);
  llqi_free(text);
  LLQ_TRY(status);
  candidate->processed = candidate->whole = processed != NULL;
  if (processed == NULL) {
    candidate->program = raw;
    return LLQ_OK;
  }
  candidate->program = processed;
  if (strcmp(raw, processed) != 0)
    candidate->raw = raw;
  else
    llqi_free(raw);
  return LLQ_OK;
}

static int copy_generation(struct llqi_candidate *candidate,
                           const llq_generation *generation) {
  candidate->completion = llqi_strndup(generation->text, generation->n_bytes);
  candidate->n_bytes = generation->n_bytes;
  candidate->ids = llqi_array(generation->n_ids, sizeof *candidate->ids);
  if (candidate->completion == NULL || candidate->ids == NULL)
    return LLQ_ERROR_MEMORY;
  if (generation->n_ids > 0)
    memcpy(candidate->ids, generation->ids,
           generation->n_ids * sizeof *candidate->ids);
  candidate->n_ids = generation->n_ids;
  candidate->stop = stop_names[generation->stop_reason];
  candidate->min_margin = generation->min_margin;
  candidate->margin_at = generation->margin_at;
  return LLQ_OK;
}

int llqi_candidate_generated(struct llqi_candidate **out,
                             const struct llqi_protocol *protocol,
                             const struct llqi_task *task,
                             struct llqi_prompt *prompt,
                             const llq_generation *generation) {
  struct llqi_candidate *candidate = llqi_calloc(1, sizeof *candidate);
  *out = NULL;
  if (candidate == NULL)
    return LLQ_ERROR_MEMORY;
  candidate->task = task;
  candidate->prompt = prompt;
  prompt->n_references++;
  int status = copy_generation(candidate, generation);
  if (status >= 0)
    status = set_programs(candidate, protocol);
  if (status < 0)
    llqi_candidate_free(candidate);
  else
    *out = candidate;
  return status;
}

/* The prompt and the completion; the caller's to llqi_free. */
static char *complete(const char *prompt, const char *completion) {
  size_t n = strlen(prompt), m = strlen(completion);
  char *program = llqi_alloc(n + m + 1);
  if (program == NULL)
    return NULL;
  memcpy(program, prompt, n);
  memcpy(program + n, completion, m + 1);
  return program;
}

int llqi_candidate_read(struct llqi_candidate **out,
                        const struct llqi_task *task,
                        const struct llqi_program *program) {
  struct llqi_candidate *candidate = llqi_calloc(1, sizeof *candidate);
  *out = NULL;
  if (candidate == NULL)
    return LLQ_ERROR_MEMORY;
  candidate->task = task;
  candidate->task_index = program->task;
  candidate->min_margin = INFINITY;
  candidate->whole = program->solution != NULL;
  candidate->program = candidate->whole
                           ? llqi_strdup(program->solution)
                           : complete(task->prompt, program->completion);
  if (program->completion != NULL) {
    candidate->completion = llqi_strdup(program->completion);
    candidate->n_bytes = strlen(program->completion);
  }
  if (candidate->program == NULL ||
      (program->completion != NULL && candidate->completion == NULL)) {
    llqi_candidate_free(candidate);
    return LLQ_ERROR_MEMORY;
  }
  *out = candidate;
  return LLQ_OK;
}

void llqi_candidate_free(struct llqi_candidate *candidate) {
  if (candidate == NULL)
    return;
  llqi_prompt_drop(candidate->prompt);
  llqi_free(candidate->completion);
  llqi_free(candidate->program);
  llqi_free(candidate->raw);
  llqi_free(candidate->ids);
  llqi_free(candidate);
}

static int submit(struct llqi_candidate *candidate, struct llqi_pool *pool,
                  uint64_t number, enum llqi_role role, const char *program,
                  enum llqi_check check) {
  LLQ_TRY(llqi_pool_submit(pool, candidate->task, check, program,
                           strlen(program), 4 * number + role));
  candidate->n_awaited++;
  return LLQ_OK;
}

int llqi_candidate_submit(struct llqi_candidate *candidate,
                          struct llqi_pool *pool, uint64_t number) {
  int plus = candidate->task->plus_input != NULL;
  enum llqi_check check = plus ? LLQI_CHECK_PLUS : LLQI_CHECK_TEST;
  LLQ_TRY(submit(candidate, pool, number, LLQI_ROLE_MAIN, candidate->program,
                 check));
  candidate->submitted = 1;
  if (candidate->raw != NULL)
    LLQ_TRY(
        submit(candidate, pool, number, LLQI_ROLE_RAW, candidate->raw, check));
  if (plus)
    LLQ_TRY(submit(candidate, pool, number, LLQI_ROLE_BASE, candidate->program,
                   LLQI_CHECK_TEST));
  return LLQ_OK;
}

int llqi_candidate_take(struct llqi_candidate *candidate,
                        const struct llqi_verdict *verdict) {
  candidate->verdicts[verdict->tag % 4] = *verdict;
  return --candidate->n_awaited == 0;
}

static const struct llqi_verdict *
raw_verdict(const struct llqi_candidate *candidate) {
  if (!candidate->processed)
    return NULL;
  return &candidate->verdicts[candidate->raw != NULL ? LLQI_ROLE_RAW
                                                     : LLQI_ROLE_MAIN];
}

static const struct llqi_verdict *
base_verdict(const struct llqi_candidate *candidate) {
  return candidate->task->plus_input != NULL
             ? &candidate->verdicts[LLQI_ROLE_BASE]
             : NULL;
}

static void describe(const struct llqi_candidate *candidate,
                     const struct llqi_settings *settings,
                     struct llqi_sample *sample) {
  *sample = (struct llqi_sample){
      .task_id = candidate->task->task_id,
      .sample = candidate->sample,
      .completion = candidate->completion,
      .n_bytes = candidate->n_bytes,
      .solution = candidate->whole ? candidate->program : NULL,
      .verdict = &candidate->verdicts[LLQI_ROLE_MAIN],
      .raw = raw_verdict(candidate),
      .base = base_verdict(candidate),
      .min_margin = candidate->min_margin,
  };
  if (candidate->prompt == NULL)
    return;
  sample->generated = 1;
  sample->seed = settings->seed;
  sample->stream = llqi_sample_stream(candidate->task_index, candidate->sample);
  sample->prompt = candidate->prompt->text;
  sample->prompt_ids = candidate->prompt->ids;
  sample->n_prompt_ids = candidate->prompt->n_ids;
  sample->ids = candidate->ids;
  sample->n_ids = candidate->n_ids;
  sample->stop = candidate->stop;
  sample->seconds = candidate->seconds;
  sample->margin_at = candidate->margin_at;
}

int llqi_candidate_write(const struct llqi_candidate *candidate,
                         const struct llqi_settings *settings,
                         struct llqi_text *lines,
                         struct llqi_outcome *outcome) {
  struct llqi_sample sample;
  describe(candidate, settings, &sample);
  *outcome = (struct llqi_outcome){
      .task = candidate->task_index,
      .sample = candidate->sample,
      .passed = sample.verdict->passed,
      .passed_raw = sample.raw != NULL ? sample.raw->passed : -1,
      .passed_base = sample.base != NULL ? sample.base->passed : -1,
      .n_tokens = candidate->n_ids,
      .seconds = candidate->seconds,
      .cpu_seconds = sample.verdict->cpu_seconds,
      .min_margin = candidate->min_margin,
  };
  snprintf(outcome->verdict, sizeof outcome->verdict, "%s",
           llqi_reason_name(sample.verdict->reason));
  snprintf(outcome->stop, sizeof outcome->stop, "%s",
           candidate->stop != NULL ? candidate->stop : "");
  return llqi_sample_write(&sample, lines);
}
