/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/vocab.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

/* The hash beside the id saves most looks at the bytes of other tokens. */
struct llqi_vocab_slot {
  uint32_t hash;
  uint32_t id_plus_1; /* 0: free */
};

/* Eight bytes at a time: multiply, fold, as in wyhash. */
static uint64_t mix(uint64_t a, uint64_t b) {
  __uint128_t product = (__uint128_t)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_of(const char *bytes, size_t n) {
  uint64_t hash = n * 0x9e3779b97f4a7c15u, word;
  for (; n >= 8; bytes += 8, n -= 8) {
    memcpy(&word, bytes, 8);
    hash = mix(hash ^ word, 0xe7037ed1a0b428dbu);
  }
  word = 0;
  for (size_t i = 0; i < n; i++)
    word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
  hash = mix(hash ^ word, 0xa0761d6478bd642fu);
  return (uint32_t)(hash ^ (hash >> 32));
}

/* The slot that has these bytes, or the free one where they belong. */
static struct llqi_vocab_slot *slot_of(const struct llqi_vocab *vocab,
                                       uint32_t hash, const char *bytes,
                                       size_t n) {
  size_t mask = vocab->n_slots - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    struct llqi_vocab_slot *slot = &vocab->slots[i];
    if (slot->id_plus_1 == 0)
      return slot;
    if (slot->hash != hash)
      continue;
    const struct llqi_token *token = &vocab->tokens[slot->id_plus_1 - 1];
    if (token->length == n &&
        memcmp(vocab->bytes.data + token->at, bytes, n) == 0)
      return slot;
  }
}

int32_t llqi_vocab_find(const struct llqi_vocab *vocab, const char *bytes,
                        size_t n) {
  if (vocab->n_slots == 0 || n > LLQI_TOKEN_LIMIT)
    return -1;
  return (int32_t)slot_of(vocab, hash_of(bytes, n), bytes, n)->id_plus_1 - 1;
}

const char *llqi_vocab_token(const struct llqi_vocab *vocab, uint32_t id,
                             size_t *n) {
  *n = vocab->tokens[id].length;
  return vocab->bytes.data + vocab->tokens[id].at;
}

/* Makes the table at most half full. */
static int slots_grow(struct llqi_vocab *vocab) {
  if (2 * (vocab->n_used + 1) <= vocab->n_slots)
    return LLQ_OK;
  size_t n_slots = vocab->n_slots > 0 ? 2 * vocab->n_slots : 1024;
  struct llqi_vocab_slot *slots = llqi_calloc(n_slots, sizeof *slots);
  if (slots == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < vocab->n_slots; i++) {
    if (vocab->slots[i].id_plus_1 == 0)
      continue;
    size_t to = vocab->slots[i].hash & (n_slots - 1);
    while (slots[to].id_plus_1 != 0)
      to = (to + 1) & (n_slots - 1);
    slots[to] = vocab->slots[i];
  }
  llqi_free(vocab->slots);
  vocab->slots = slots;
  vocab->n_slots = n_slots;
  return LLQ_OK;
}

/* Makes tokens[id] exist; ids in between are absent. */
static int tokens_grow(struct llqi_vocab *vocab, size_t id) {
  if (id >= vocab->capacity) {
    size_t capacity = 2 * (id + 1) > 1024 ? 2 * (id + 1) : 1024;
    struct llqi_token *tokens =
        llqi_resize(vocab->tokens, capacity, sizeof *tokens);
    if (tokens == NULL)
      return LLQ_ERROR_MEMORY;
    memset(tokens + vocab->capacity, 0,
           (capacity - vocab->capacity) * sizeof *tokens);
    vocab->tokens = tokens;
    vocab->capacity = capacity;
  }
  vocab->n = id >= vocab->n ? id + 1 : vocab->n;
  return LLQ_OK;
}

static int text_token_add(struct llqi_vocab *vocab, uint32_t id,
                          const char *bytes, size_t n) {
  LLQ_TRY(slots_grow(vocab));
  uint32_t hash = hash_of(bytes, n);
  struct llqi_vocab_slot *slot = slot_of(vocab, hash, bytes, n);
  if (slot->id_plus_1 != 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "token %u is the same as token %u", id,
                     slot->id_plus_1 - 1);
  slot->hash = hash;
  slot->id_plus_1 = id + 1;
  vocab->n_used++;
  return LLQ_OK;
}

int llqi_vocab_add(struct llqi_vocab *vocab, int64_t id, int kind,
                   const char *bytes, size_t n) {
  if (id < 0 || id >= LLQI_VOCAB_LIMIT)
    return llqi_fail(LLQ_ERROR_FORMAT, "token id %lld, expected 0 to %d",
                     (long long)id, LLQI_VOCAB_LIMIT - 1);
  if (n == 0 || n > LLQI_TOKEN_LIMIT)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "token %lld has %zu bytes, expected 1 to %d",
                     (long long)id, n, LLQI_TOKEN_LIMIT);
  LLQ_TRY(tokens_grow(vocab, (size_t)id));
  struct llqi_token *token = &vocab->tokens[id];
  if (token->kind != LLQI_TOKEN_ABSENT)
    return llqi_fail(LLQ_ERROR_FORMAT, "token id %lld is given twice",
                     (long long)id);
  size_t at = vocab->bytes.length;
  LLQ_TRY(llqi_text_append(&vocab->bytes, bytes, n));
  if (kind == LLQI_TOKEN_TEXT)
    LLQ_TRY(text_token_add(vocab, (uint32_t)id, bytes, n));
  token->at = (uint32_t)at;
  token->length = (uint16_t)n;
  token->kind = (uint16_t)kind;
  return LLQ_OK;
}

int llqi_vocab_check(const struct llqi_vocab *vocab) {
  for (size_t id = 0; id < vocab->n; id++)
    if (vocab->tokens[id].kind == LLQI_TOKEN_ABSENT)
      return llqi_fail(LLQ_ERROR_FORMAT,
                       "no token has id %zu, though ids go up to %zu", id,
                       vocab->n - 1);
  for (int i = 0; i < 256; i++) {
    char byte = (char)i;
    if (llqi_vocab_find(vocab, &byte, 1) < 0)
      return llqi_fail(LLQ_ERROR_FORMAT, "no token for byte 0x%02x", i);
  }
  return LLQ_OK;
}

void llqi_vocab_free(struct llqi_vocab *vocab) {
  llqi_text_free(&vocab->bytes);
  llqi_free(vocab->tokens);
  llqi_free(vocab->slots);
  memset(vocab, 0, sizeof *vocab);
}
