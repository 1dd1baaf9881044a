/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/special.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

struct named {
  const char *name;
  size_t n;
  uint32_t id;
};

static int compare(const void *a, const void *b) {
  const struct named *left = a, *right = b;
  size_t n = left->n < right->n ? left->n : right->n;
  int order = memcmp(left->name, right->name, n);
  return order != 0 ? order : (left->n > right->n) - (left->n < right->n);
}

static size_t count(const struct llqi_vocab *vocab) {
  size_t n = 0;
  for (size_t id = 0; id < vocab->n; id++)
    n += vocab->tokens[id].kind >= LLQI_TOKEN_ADDED;
  return n;
}

/* Fills specials from tokens sorted by name. */
static int take(struct llqi_specials *specials, const struct named *sorted,
                const struct llqi_vocab *vocab) {
  for (size_t i = 0; i < specials->n; i++) {
    if (i > 0 && compare(&sorted[i - 1], &sorted[i]) == 0)
      return llqi_fail(LLQ_ERROR_FORMAT, "tokens %u and %u are both '%.*s'",
                       sorted[i - 1].id, sorted[i].id, (int)sorted[i].n,
                       sorted[i].name);
    specials->ids[i] = sorted[i].id;
    specials->n_added += vocab->tokens[sorted[i].id].kind == LLQI_TOKEN_ADDED;
    specials->begins[(unsigned char)sorted[i].name[0]] = 1;
  }
  return LLQ_OK;
}

int llqi_specials_open(struct llqi_specials *specials,
                       const struct llqi_vocab *vocab) {
  size_t i = 0;
  memset(specials, 0, sizeof *specials);
  specials->n = count(vocab);
  specials->ids = llqi_array(specials->n, sizeof specials->ids[0]);
  struct named *sorted = llqi_array(specials->n, sizeof *sorted);
  int status =
      specials->ids != NULL && sorted != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (uint32_t id = 0; status >= 0 && id < vocab->n; id++)
    if (vocab->tokens[id].kind >= LLQI_TOKEN_ADDED) {
      sorted[i].id = id;
      sorted[i].name = llqi_vocab_token(vocab, id, &sorted[i].n);
      i++;
    }
  if (status >= 0) {
    qsort(sorted, specials->n, sizeof *sorted, compare);
    status = take(specials, sorted, vocab);
  }
  llqi_free(sorted);
  if (status < 0)
    llqi_specials_close(specials);
  return status;
}

void llqi_specials_close(struct llqi_specials *specials) {
  llqi_free(specials->ids);
  memset(specials, 0, sizeof *specials);
}

/* Narrows [*low, *high), whose names agree in their first `depth` bytes, to
   those that have `byte` next. */
static void narrow(const struct llqi_specials *specials,
                   const struct llqi_vocab *vocab, size_t depth,
                   unsigned char byte, size_t *low, size_t *high) {
  size_t bounds[2];
  for (int upper = 0; upper < 2; upper++) {
    size_t a = *low, b = *high;
    while (a < b) {
      size_t middle = a + (b - a) / 2, n;
      const char *name = llqi_vocab_token(vocab, specials->ids[middle], &n);
      int next = depth < n ? (unsigned char)name[depth] : -1;
      if (next < byte + upper)
        a = middle + 1;
      else
        b = middle;
    }
    bounds[upper] = a;
  }
  *low = bounds[0];
  *high = bounds[1];
}

/* The longest token at the beginning of text; 0 if there is none. */
static size_t match(const struct llqi_specials *specials,
                    const struct llqi_vocab *vocab, const char *text, size_t n,
                    int all, uint32_t *id) {
  size_t low = 0, high = specials->n, longest = 0;
  for (size_t depth = 0; depth < n; depth++) {
    narrow(specials, vocab, depth, (unsigned char)text[depth], &low, &high);
    if (low == high)
      break;
    const struct llqi_token *token = &vocab->tokens[specials->ids[low]];
    if (token->length != depth + 1)
      continue;
    if (all || token->kind == LLQI_TOKEN_ADDED) {
      longest = depth + 1;
      *id = specials->ids[low];
    }
  }
  return longest;
}

int32_t llqi_specials_find(const struct llqi_specials *specials,
                           const struct llqi_vocab *vocab, const char *name) {
  uint32_t id = 0;
  size_t n = strlen(name);
  return n > 0 && match(specials, vocab, name, n, 1, &id) == n ? (int32_t)id
                                                               : -1;
}

size_t llqi_specials_next(const struct llqi_specials *specials,
                          const struct llqi_vocab *vocab, const char *text,
                          size_t n, size_t at, int all, size_t *length,
                          uint32_t *id) {
  if (!all && specials->n_added == 0)
    return n;
  for (; at < n; at++) {
    if (!specials->begins[(unsigned char)text[at]])
      continue;
    *length = match(specials, vocab, text + at, n - at, all, id);
    if (*length > 0)
      return at;
  }
  return n;
}
