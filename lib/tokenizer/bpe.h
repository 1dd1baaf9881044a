/* SPDX-License-Identifier: Apache-2.0 */
/* Byte pair encoding: which adjacent tokens merge, in which order. */
#ifndef LLQI_TOKENIZER_BPE_H
#define LLQI_TOKENIZER_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "tokenizer/vocab.h"

struct llqi_bpe {
  struct llqi_bpe_merge *merges; /* a hash table by pair */
  size_t n_slots, n_used;        /* n_slots: a power of two, or 0 */
  uint32_t of_byte[256];         /* the tokens that pieces start as */
  int whole_first; /* a piece that is a token is that token, whatever the
                      merges make of its bytes */
};

/* Adds a merge; lower priorities come first, and the leftmost of equals. A
   pair that is there already is an error. */
int llqi_bpe_add(struct llqi_bpe *bpe, uint32_t left, uint32_t right,
                 uint32_t merged, uint32_t priority);

/* Adds every merge of two tokens into a third, its id being its priority: what
   a vocabulary in order of rank means. */
int llqi_bpe_add_ranks(struct llqi_bpe *bpe, const struct llqi_vocab *vocab);

/* Looks up the bytes' tokens, when the vocabulary is complete. */
void llqi_bpe_bytes(struct llqi_bpe *bpe, const struct llqi_vocab *vocab);

void llqi_bpe_free(struct llqi_bpe *bpe);

/* Memory for long pieces, to use again for the next. Starts zeroed. */
struct llqi_bpe_work {
  struct llqi_bpe_symbol *symbols;
  uint64_t *heap;
  size_t n_heap;
  size_t capacity; /* of symbols; the heap's is twice that */
};
void llqi_bpe_work_free(struct llqi_bpe_work *work);

/* Where ids go; those beyond capacity are counted only. */
struct llqi_ids {
  int32_t *ids;
  size_t capacity;
  size_t n;
};

static inline void llqi_ids_put(struct llqi_ids *out, uint32_t id) {
  if (out->n < out->capacity)
    out->ids[out->n] = (int32_t)id;
  out->n++;
}

/* Encodes a piece of text in O(n log n). */
int llqi_bpe_encode(const struct llqi_bpe *bpe, const struct llqi_vocab *vocab,
                    struct llqi_bpe_work *work, const char *piece, size_t n,
                    struct llqi_ids *out);

#endif
