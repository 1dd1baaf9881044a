/* SPDX-License-Identifier: Apache-2.0 */
/* Continuous batching: which tokens of which sequences go into the next pass.

   A step admits waiting sequences, first come first served, while there is a
   slot for them and pages for all they may need; then runs the model once over
   one row of every decoding sequence and up to n_chunk rows of prompts; then
   draws the next tokens. The states of a sequence are in sequence.h.

   A step that fails leaves every sequence at a token's boundary: the next step
   does again what was not done, with the same outcome. */
#ifndef LLQI_GENERATOR_SCHEDULER_H
#define LLQI_GENERATOR_SCHEDULER_H

#include "generator/batch.h"
#include "generator/sampling.h"
#include "generator/sequence.h"

struct llqi_scheduler {
  struct llqi_forward *forward;
  const llq_tokenizer *tokenizer; /* NULL: no text */
  int32_t n_vocab, n_context, n_sequences, n_chunk;

  struct llqi_kv_cache cache;
  struct llqi_sampler sampler;
  struct llqi_batch batch;
  float *logits;          /* [n_sequences, n_vocab] */
  llq_draw *draws;        /* [n_sequences], of decoding sequences; NULL if the
                             host draws */
  struct llqi_text bytes; /* of the token that is being decoded */

  TAILQ_HEAD(llqi_waiting, llqi_sequence) waiting;
  struct llqi_sequence **running; /* [n_sequences], in order of admission */
  int n_running;
  uint64_t n_ended;
};

struct llqi_scheduler_options {
  int compute;  /* LLQ_F32, LLQ_BF16 */
  int kv_dtype; /* as llqi_kv_cache_type() has it */
  int32_t n_sequences, n_context, n_chunk;
  int32_t is_fast;
};

/* Loads the model. Close it also when open failed. */
int llqi_scheduler_open(struct llqi_scheduler *scheduler, llq_backend *backend,
                        llq_model *model, const llq_tokenizer *tokenizer,
                        const struct llqi_scheduler_options *options);
/* All sequences must have been ended. */
void llqi_scheduler_close(struct llqi_scheduler *scheduler);

/* Adds a sequence at the end of those that wait. */
void llqi_scheduler_add(struct llqi_scheduler *scheduler,
                        struct llqi_sequence *sequence);

/* Runs the model once. LLQ_MORE, LLQ_OK when no sequence is left, or an
   error. */
int llqi_scheduler_step(struct llqi_scheduler *scheduler);

/* Ends a sequence that has not ended, wherever it is. */
void llqi_scheduler_end(struct llqi_scheduler *scheduler,
                        struct llqi_sequence *sequence, int32_t stop_reason);

/* Logits at every position, through pages that are free now. */
int llqi_scheduler_logits(struct llqi_scheduler *scheduler, const int32_t *ids,
                          int32_t n_ids, float *logits);

#endif
