/* SPDX-License-Identifier: Apache-2.0 */
/* The table of merges. */
#include "tokenizer/bpe_table.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

/* Makes the table at most half full. */
static int grow(struct llqi_bpe *bpe) {
  if (2 * (bpe->n_used + 1) <= bpe->n_slots)
    return LLQ_OK;
  size_t n_slots = bpe->n_slots > 0 ? 2 * bpe->n_slots : 1024;
  struct llqi_bpe_merge *merges = llqi_array(n_slots, sizeof *merges);
  if (merges == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n_slots; i++)
    merges[i].priority = LLQI_BPE_NEVER;
  for (size_t i = 0; i < bpe->n_slots; i++)
    if (bpe->merges[i].priority != LLQI_BPE_NEVER)
      *llqi_bpe_slot(merges, n_slots, bpe->merges[i].key) = bpe->merges[i];
  llqi_free(bpe->merges);
  bpe->merges = merges;
  bpe->n_slots = n_slots;
  return LLQ_OK;
}

int llqi_bpe_add(struct llqi_bpe *bpe, uint32_t left, uint32_t right,
                 uint32_t merged, uint32_t priority) {
  LLQ_TRY(grow(bpe));
  uint64_t key = llqi_bpe_key(left, right);
  struct llqi_bpe_merge *slot = llqi_bpe_slot(bpe->merges, bpe->n_slots, key);
  if (slot->priority != LLQI_BPE_NEVER)
    return llqi_fail(LLQ_ERROR_FORMAT, "merge %u is the same as merge %u",
                     priority, slot->priority);
  *slot = (struct llqi_bpe_merge){key, priority, merged};
  bpe->n_used++;
  return LLQ_OK;
}

static int add_splits(struct llqi_bpe *bpe, const struct llqi_vocab *vocab,
                      uint32_t id) {
  size_t n;
  const char *bytes = llqi_vocab_token(vocab, id, &n);
  for (size_t i = 1; i < n; i++) {
    int32_t left = llqi_vocab_find(vocab, bytes, i);
    if (left < 0)
      continue;
    int32_t right = llqi_vocab_find(vocab, bytes + i, n - i);
    if (right >= 0)
      LLQ_TRY(llqi_bpe_add(bpe, (uint32_t)left, (uint32_t)right, id, id));
  }
  return LLQ_OK;
}

int llqi_bpe_add_ranks(struct llqi_bpe *bpe, const struct llqi_vocab *vocab) {
  for (uint32_t id = 0; id < vocab->n; id++)
    if (vocab->tokens[id].kind == LLQI_TOKEN_TEXT)
      LLQ_TRY(add_splits(bpe, vocab, id));
  return LLQ_OK;
}

void llqi_bpe_bytes(struct llqi_bpe *bpe, const struct llqi_vocab *vocab) {
  for (int i = 0; i < 256; i++) {
    char byte = (char)i;
    bpe->of_byte[i] = (uint32_t)llqi_vocab_find(vocab, &byte, 1);
  }
}

void llqi_bpe_free(struct llqi_bpe *bpe) {
  llqi_free(bpe->merges);
  memset(bpe, 0, sizeof *bpe);
}
