/* SPDX-License-Identifier: Apache-2.0 */
/* Logits -> a token.

   Filters apply in Hugging Face's order: temperature, top-k, top-p over what
   top-k left (renormalized), min-p over what top-p left. Tokens of equal
   probability are ranked by id, smaller first, so top-k keeps exactly k. The
   draw runs over the kept tokens in the order of their ids: with weights
   w = exp((logit - largest) / T) and u in [0, 1), it takes the first id whose
   running sum exceeds u * (sum of the kept w).

   Weights are whole numbers of 2^-40, so sums are exact and the same in any
   order: a GPU draws the same tokens from the same logits, whatever its way to
   add. Tokens less than 2^-41 times as likely as the likeliest are not drawn. */
#ifndef LLQI_GENERATOR_SAMPLING_H
#define LLQI_GENERATOR_SAMPLING_H

#include <stdint.h>

#include <llq/backend.h>
#include <llq/generator.h>

/* What is read off a row of raw logits. */
struct llqi_top {
  int32_t id; /* of the largest; the smallest such id */
  float largest;
  double margin; /* largest - second largest; infinity for a single token */
};

/* Returns 0 if a logit is NaN, or the largest is infinite: no distribution. */
int llqi_logits_top(const float *logits, int32_t n, struct llqi_top *top);

/* Working memory for rows of n logits. */
struct llqi_sampler {
  int32_t n;
  uint64_t *weights; /* [n], by id */
  int32_t *ranked;   /* [n], ids; a heap while it is being ranked */
};

int llqi_sampler_open(struct llqi_sampler *sampler, int32_t n);
void llqi_sampler_close(struct llqi_sampler *sampler);

/* Checks the numbers of a caller's sampling; names the one that is wrong. */
int llqi_sampling_check(const llq_sampling *sampling);

/* Draws a token as the first fields of `draw` say, and fills in the others. */
void llqi_sample(struct llqi_sampler *sampler, const float *logits,
                 llq_draw *draw);

#endif
