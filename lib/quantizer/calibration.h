/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that a model is calibrated on: samples of one sequence each. */
#ifndef LLQI_QUANTIZER_CALIBRATION_H
#define LLQI_QUANTIZER_CALIBRATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "model/model.h"

/* Zero-initialized is an empty set. */
struct llqi_calibration {
  int32_t *ids;
  size_t *ends; /* of sample i, in ids */
  size_t n_samples, n_ids;
  size_t n_held_out; /* of the ids, the last: only to measure on */
  size_t ids_capacity, ends_capacity;
};
void llqi_calibration_free(struct llqi_calibration *set);

/* How to choose samples of a file. */
struct llqi_choice_of_samples {
  size_t n_samples; /* at most */
  size_t n_tokens;  /* of a sample, at most */
  uint64_t seed;    /* of the choice, where there are more */
};

/* Adds a sample of ids that are below n_vocab. */
int llqi_calibration_add(struct llqi_calibration *set, const int32_t *ids,
                         size_t n_ids, int64_t n_vocab);

/* Adds samples of a file. A name that ends in .jsonl: each line has a "text" or
   the "messages" of a chat, and is one sample, cut off at n_tokens. Any other:
   text, cut into samples of n_tokens. Fails with the file and line. */
int llqi_calibration_add_file(struct llqi_calibration *set, llq_model *model,
                              const char *path,
                              const struct llqi_choice_of_samples *choice);

/* Adds n_samples of n_tokens random tokens each. */
int llqi_calibration_add_random(struct llqi_calibration *set, int64_t n_vocab,
                                const struct llqi_choice_of_samples *choice);

/* The SHA-256 of the samples: of each, its length and its ids, as
   little-endian int32. */
int llqi_calibration_hash(const struct llqi_calibration *set,
                          char out[LLQI_HASH_TEXT_SIZE]);

#endif
