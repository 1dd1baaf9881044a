/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: ids to bytes, and bytes to ids. */
#ifndef LLQI_TOKENIZER_VOCAB_H
#define LLQI_TOKENIZER_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Llama 3's longest token has 128 bytes, and the largest vocabularies in use
   have about 260,000: a file beyond these limits is damaged. */
#define LLQI_TOKEN_LIMIT 1024
#define LLQI_VOCAB_LIMIT (1 << 22)

enum llqi_token_kind {
  LLQI_TOKEN_ABSENT = 0, /* no token has this id */
  LLQI_TOKEN_TEXT,       /* what text is made of */
  LLQI_TOKEN_ADDED,      /* always matched as a whole before text is split */
  LLQI_TOKEN_SPECIAL     /* matched only when asked for */
};

struct llqi_token {
  uint32_t at; /* into bytes */
  uint16_t length;
  uint16_t kind;
};

struct llqi_vocab {
  struct llqi_text bytes;
  struct llqi_token *tokens; /* by id */
  size_t n, capacity;
  struct llqi_vocab_slot *slots; /* a hash table of the text tokens */
  size_t n_slots, n_used;        /* n_slots: a power of two, or 0 */
};

/* Adds a token. An id or text token that is there already is an error. */
int llqi_vocab_add(struct llqi_vocab *vocab, int64_t id, int kind,
                   const char *bytes, size_t n);

/* The id of the text token with these bytes; -1 if there is none. */
int32_t llqi_vocab_find(const struct llqi_vocab *vocab, const char *bytes,
                        size_t n);

/* A token's bytes; id must be less than vocab->n. */
const char *llqi_vocab_token(const struct llqi_vocab *vocab, uint32_t id,
                             size_t *n);

/* Checks what every finished vocabulary must have: all ids below n, and a
   token for each byte. */
int llqi_vocab_check(const struct llqi_vocab *vocab);

void llqi_vocab_free(struct llqi_vocab *vocab);

#endif
