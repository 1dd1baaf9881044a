/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the table of merges, for the loops that look pairs up. */
#ifndef LLQI_TOKENIZER_BPE_TABLE_H
#define LLQI_TOKENIZER_BPE_TABLE_H

#include "tokenizer/bpe.h"

/* The priority of a pair that does not merge, and of a free slot. */
#define LLQI_BPE_NEVER UINT32_MAX

struct llqi_bpe_merge {
  uint64_t key; /* left << 32 | right */
  uint32_t priority;
  uint32_t merged;
};

static inline uint64_t llqi_bpe_key(uint32_t left, uint32_t right) {
  return (uint64_t)left << 32 | right;
}

static inline size_t llqi_bpe_hash(uint64_t key) {
  uint64_t hash = (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
  return (size_t)(hash >> 32);
}

/* The slot that has this pair, or the free one where it belongs. */
static inline struct llqi_bpe_merge *
llqi_bpe_slot(struct llqi_bpe_merge *merges, size_t n_slots, uint64_t key) {
  size_t i = llqi_bpe_hash(key) & (n_slots - 1);
  while (merges[i].priority != LLQI_BPE_NEVER && merges[i].key != key)
    i = (i + 1) & (n_slots - 1);
  return &merges[i];
}

/* The priority of a pair, and what it becomes; LLQI_BPE_NEVER if it does not
   merge. */
static inline uint32_t llqi_bpe_find(const struct llqi_bpe *bpe, uint32_t left,
                                     uint32_t right, uint32_t *merged) {
  if (bpe->n_slots == 0)
    return LLQI_BPE_NEVER;
  const struct llqi_bpe_merge *slot =
      llqi_bpe_slot(bpe->merges, bpe->n_slots, llqi_bpe_key(left, right));
  *merged = slot->merged;
  return slot->priority;
}

#endif
