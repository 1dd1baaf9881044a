/* SPDX-License-Identifier: Apache-2.0 */
/* A sample on its way from text to a line of samples.jsonl. */
#ifndef LLQI_EVALUATOR_CANDIDATE_H
#define LLQI_EVALUATOR_CANDIDATE_H

#include <llq/generator.h>

#include "evaluator/samples.h"
#include "evaluator/settings.h"
#include "evaluator/verdict.h"

/* A task's prompt as the model is given it, shared by its samples. */
struct llqi_prompt {
  int n_references;
  char *text;
  int32_t *ids;
  size_t n_ids;
};
void llqi_prompt_drop(struct llqi_prompt *prompt);

/* The checks that a candidate may need. */
enum llqi_role { LLQI_ROLE_MAIN, LLQI_ROLE_RAW, LLQI_ROLE_BASE, LLQI_N_ROLES };

struct llqi_candidate {
  const struct llqi_task *task; /* of the task set */
  uint32_t task_index, sample;
  char *completion; /* as the model wrote it; n_bytes; NULL: a solution only */
  size_t n_bytes;
  char *program; /* the whole program that counts */
  char *raw;     /* before post-processing, where that differs; or NULL */
  int processed; /* there is a raw verdict, of `raw` or of `program` */
  int whole;     /* the program stands alone: a "solution" */

  struct llqi_prompt *prompt; /* NULL: it was not generated here */
  int32_t *ids;
  size_t n_ids;
  const char *stop;
  double min_margin, seconds;
  int32_t margin_at;

  struct llqi_verdict verdicts[LLQI_N_ROLES];
  int submitted, n_awaited;
};

/* From what a generator made: takes a reference to the prompt. */
int llqi_candidate_generated(struct llqi_candidate **out,
                             const struct llqi_protocol *protocol,
                             const struct llqi_task *task,
                             struct llqi_prompt *prompt,
                             const llq_generation *generation);

/* From a samples file. */
int llqi_candidate_read(struct llqi_candidate **out,
                        const struct llqi_task *task,
                        const struct llqi_program *program);

void llqi_candidate_free(struct llqi_candidate *candidate);

/* Queues a candidate's checks; their tags are 4 * number + role. */
int llqi_candidate_submit(struct llqi_candidate *candidate,
                          struct llqi_pool *pool, uint64_t number);

/* Takes a verdict. Returns 1 when it was the last that was awaited. */
int llqi_candidate_take(struct llqi_candidate *candidate,
                        const struct llqi_verdict *verdict);

/* Appends the line, and gives what the summary needs. */
int llqi_candidate_write(const struct llqi_candidate *candidate,
                         const struct llqi_settings *settings,
                         struct llqi_text *lines, struct llqi_outcome *outcome);

/* The draws that a sample of a task uses. */
uint64_t llqi_sample_stream(uint32_t task_index, uint32_t sample);

#endif
