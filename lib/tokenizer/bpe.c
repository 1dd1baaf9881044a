/* SPDX-License-Identifier: Apache-2.0 */
/* Merging a piece's bytes. Short pieces, nearly all, take a plain loop over
   small arrays; long ones a linked list and a heap, so that a piece of a
   million letters is not quadratic. Both give the same ids. */
#include "tokenizer/bpe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tokenizer/bpe_table.h"

/* Up to here the plain loop is the faster one. */
#define SHORT_PIECE 64

struct short_piece {
  uint32_t n;
  uint32_t id[SHORT_PIECE];
  uint32_t priority[SHORT_PIECE]; /* of the pair that starts here */
  uint32_t merged[SHORT_PIECE];   /* what that pair becomes */
};

static void short_look(const struct llqi_bpe *bpe, struct short_piece *s,
                       uint32_t i) {
  s->priority[i] =
      i + 1 < s->n ? llqi_bpe_find(bpe, s->id[i], s->id[i + 1], &s->merged[i])
                   : LLQI_BPE_NEVER;
}

static void short_merge(const struct llqi_bpe *bpe, struct short_piece *s,
                        uint32_t i) {
  size_t size = (s->n - i - 2) * sizeof s->id[0];
  s->id[i] = s->merged[i];
  memmove(s->id + i + 1, s->id + i + 2, size);
  memmove(s->priority + i + 1, s->priority + i + 2, size);
  memmove(s->merged + i + 1, s->merged + i + 2, size);
  s->n--;
  short_look(bpe, s, i);
  if (i > 0)
    short_look(bpe, s, i - 1);
}

static void encode_short(const struct llqi_bpe *bpe, const char *piece,
                         size_t n, struct llqi_ids *out) {
  struct short_piece s;
  s.n = (uint32_t)n;
  for (uint32_t i = 0; i < s.n; i++)
    s.id[i] = bpe->of_byte[(unsigned char)piece[i]];
  for (uint32_t i = 0; i < s.n; i++)
    short_look(bpe, &s, i);
  for (;;) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < s.n; i++)
      if (s.priority[i] < s.priority[best])
        best = i;
    if (s.priority[best] == LLQI_BPE_NEVER)
      break;
    short_merge(bpe, &s, best);
  }
  for (uint32_t i = 0; i < s.n; i++)
    llqi_ids_put(out, s.id[i]);
}

/* Part of a long piece. Symbols stay where their first byte was. */
struct llqi_bpe_symbol {
  uint32_t id;
  uint32_t before, next; /* neighbours; NONE at the ends */
  uint32_t priority;     /* of the pair that starts here */
  uint32_t merged;       /* what that pair becomes */
};

#define NONE UINT32_MAX

static int work_reserve(struct llqi_bpe_work *work, size_t n) {
  if (n <= work->capacity)
    return LLQ_OK;
  llqi_bpe_work_free(work);
  work->symbols = llqi_array(n, sizeof work->symbols[0]);
  /* At most n - 1 pairs to begin with, and one more for each merge. */
  work->heap = llqi_array(2 * n, sizeof work->heap[0]);
  if (work->symbols == NULL || work->heap == NULL) {
    llqi_bpe_work_free(work);
    return LLQ_ERROR_MEMORY;
  }
  work->capacity = n;
  return LLQ_OK;
}

void llqi_bpe_work_free(struct llqi_bpe_work *work) {
  llqi_free(work->symbols);
  llqi_free(work->heap);
  memset(work, 0, sizeof *work);
}

/* The heap's entries are priority << 32 | position, so that the least is the
   leftmost of the pairs that merge first. */
static void heap_push(struct llqi_bpe_work *work, uint64_t entry) {
  size_t i = work->n_heap++;
  for (; i > 0 && work->heap[(i - 1) / 2] > entry; i = (i - 1) / 2)
    work->heap[i] = work->heap[(i - 1) / 2];
  work->heap[i] = entry;
}

static uint64_t heap_pop(struct llqi_bpe_work *work) {
  uint64_t *heap = work->heap, least = heap[0];
  uint64_t last = heap[--work->n_heap];
  size_t n = work->n_heap, i = 0;
  for (;;) {
    size_t child = 2 * i + 1;
    if (child + 1 < n && heap[child + 1] < heap[child])
      child++;
    if (child >= n || heap[child] >= last)
      break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
  return least;
}

static void long_look(const struct llqi_bpe *bpe, struct llqi_bpe_work *work,
                      uint32_t at) {
  struct llqi_bpe_symbol *symbol = &work->symbols[at];
  symbol->priority = LLQI_BPE_NEVER;
  if (symbol->next != NONE)
    symbol->priority = llqi_bpe_find(
        bpe, symbol->id, work->symbols[symbol->next].id, &symbol->merged);
  if (symbol->priority != LLQI_BPE_NEVER)
    heap_push(work, (uint64_t)symbol->priority << 32 | at);
}

static void long_merge(const struct llqi_bpe *bpe, struct llqi_bpe_work *work,
                       uint32_t at) {
  struct llqi_bpe_symbol *symbol = &work->symbols[at];
  struct llqi_bpe_symbol *right = &work->symbols[symbol->next];
  symbol->id = symbol->merged;
  symbol->next = right->next;
  right->priority = LLQI_BPE_NEVER; /* its entries in the heap are void */
  if (symbol->next != NONE)
    work->symbols[symbol->next].before = at;
  long_look(bpe, work, at);
  if (symbol->before != NONE)
    long_look(bpe, work, symbol->before);
}

static int encode_long(const struct llqi_bpe *bpe, struct llqi_bpe_work *work,
                       const char *piece, size_t n, struct llqi_ids *out) {
  LLQ_TRY(work_reserve(work, n));
  struct llqi_bpe_symbol *symbols = work->symbols;
  for (uint32_t i = 0; i < n; i++) {
    symbols[i].id = bpe->of_byte[(unsigned char)piece[i]];
    symbols[i].before = i > 0 ? i - 1 : NONE;
    symbols[i].next = i + 1 < n ? i + 1 : NONE;
  }
  work->n_heap = 0;
  for (uint32_t i = 0; i < n; i++)
    long_look(bpe, work, i);
  while (work->n_heap > 0) {
    uint64_t entry = heap_pop(work);
    uint32_t at = (uint32_t)entry;
    if (symbols[at].priority == entry >> 32)
      long_merge(bpe, work, at);
  }
  for (uint32_t i = 0; i != NONE; i = symbols[i].next)
    llqi_ids_put(out, symbols[i].id);
  return LLQ_OK;
}

int llqi_bpe_encode(const struct llqi_bpe *bpe, const struct llqi_vocab *vocab,
                    struct llqi_bpe_work *work, const char *piece, size_t n,
                    struct llqi_ids *out) {
  int32_t whole = bpe->whole_first ? llqi_vocab_find(vocab, piece, n) : -1;
  if (whole >= 0)
    llqi_ids_put(out, (uint32_t)whole);
  else if (n <= SHORT_PIECE)
    encode_short(bpe, piece, n, out);
  else
    return encode_long(bpe, work, piece, n, out);
  return LLQ_OK;
}
