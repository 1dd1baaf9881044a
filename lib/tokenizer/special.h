/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that are matched as a whole in text, before it is split. */
#ifndef LLQI_TOKENIZER_SPECIAL_H
#define LLQI_TOKENIZER_SPECIAL_H

#include <stddef.h>
#include <stdint.h>

#include "tokenizer/vocab.h"

struct llqi_specials {
  uint32_t *ids; /* sorted by the tokens' bytes */
  size_t n;
  size_t n_added;            /* of kind LLQI_TOKEN_ADDED */
  unsigned char begins[256]; /* whether a token begins with this byte */
};

/* Collects a finished vocabulary's special and added tokens. */
int llqi_specials_open(struct llqi_specials *specials,
                       const struct llqi_vocab *vocab);
void llqi_specials_close(struct llqi_specials *specials);

/* The token with this name; -1 if there is none. */
int32_t llqi_specials_find(const struct llqi_specials *specials,
                           const struct llqi_vocab *vocab, const char *name);

/* The first of them in text from `at` on, and there the longest; only those of
   kind LLQI_TOKEN_ADDED unless `all`. Gives where it is (n if there is none),
   its length and id. */
size_t llqi_specials_next(const struct llqi_specials *specials,
                          const struct llqi_vocab *vocab, const char *text,
                          size_t n, size_t at, int all, size_t *length,
                          uint32_t *id);

#endif
