/* SPDX-License-Identifier: Apache-2.0 */
/* The generating half of an evaluation: prompts in, candidates out. */
#ifndef LLQI_EVALUATOR_GENERATION_H
#define LLQI_EVALUATOR_GENERATION_H

#include "evaluator/candidate.h"

/* A sequence in the generator. */
struct llqi_running {
  int64_t sequence;
  uint32_t task, sample;
  struct llqi_prompt *prompt; /* counted */
};

struct llqi_generation {
  const struct llqi_settings *settings;
  const struct llqi_task_set *set;
  const unsigned char *done; /* [n_tasks * n_samples]: not to be generated */
  const llq_tokenizer *tokenizer;
  llq_generator *generator;
  uint32_t next_task, next_sample;
  struct llqi_running *running;
  size_t n_running, capacity;
  double seconds; /* of steps whose sequences have not ended yet */
};

/* Loads the model. Close it also when open failed. */
int llqi_generation_open(struct llqi_generation *out, llq_backend *backend,
                         llq_model *model, const struct llqi_settings *settings,
                         const struct llqi_task_set *set,
                         const unsigned char *done);
void llqi_generation_close(struct llqi_generation *generation);

/* Whether all is generated. */
int llqi_generation_ended(const struct llqi_generation *generation);

/* Submits what there is room for, runs the model once, and passes on the
   sequences that ended; `take` owns the candidate, even on failure. */
typedef int (*llqi_candidate_taker)(void *user,
                                    struct llqi_candidate *candidate);
int llqi_generation_step(struct llqi_generation *generation,
                         llqi_candidate_taker take, void *user);

#endif
