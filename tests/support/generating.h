/* SPDX-License-Identifier: Apache-2.0 */
/* Running prompts through a generator, and what comes out. */
#ifndef LLQ_TEST_GENERATING_H
#define LLQ_TEST_GENERATING_H

#include <llq/llq.h>

#define TINY_VOCAB 97
#define TINY_CONTEXT 256

/* A random Llama of 2 layers without a tokenizer, whose end tokens are 5 and
   17; the weights are large enough for outputs to differ. */
llq_model *tiny_random_model(void);

/* A backend on the CPU with one thread. */
llq_backend *cpu_backend(void);

/* A prompt and how to continue it. */
struct job {
  int32_t ids[TINY_CONTEXT];
  size_t n_ids;
  llq_sampling sampling;
  int32_t n_samples;
};

/* A mixture: prompts of 1 to 180 tokens, across the edges of pages; greedy and
   sampled; short and long; some that several samples share. */
void mixed_job(int i, struct job *job);

/* All that a caller sees of a sequence that has ended. */
struct outcome {
  int32_t ids[TINY_CONTEXT];
  size_t n_ids, n_bytes;
  char text[2048];
  int32_t stop_reason, margin_at;
  double min_margin;
};
void get_outcome(const llq_generator *generator, int64_t sequence,
                 struct outcome *outcome);
void expect_same(const struct outcome *a, const struct outcome *b, int which);

/* Submits jobs first .. first + n - 1 of mixed_job(); *sequences gets the
   number of each one's first sequence. */
void submit_jobs(llq_generator *generator, int first, int n,
                 int64_t *sequences);

/* A generator with n_sequences and n_chunk, and the tiny model's context. */
llq_generator *open_generator(llq_backend *backend, llq_model *model,
                              int32_t n_sequences, int32_t n_chunk);

#endif
