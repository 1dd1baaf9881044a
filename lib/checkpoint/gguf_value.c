/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and their values. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "checkpoint/gguf.h"
#include "checkpoint/gguf_read.h"

/* A key, and a name of a tensor, are far shorter. */
#define NAME_LIMIT 65535

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 };

static const size_t sizes[] = {
    [U8] = 1,  [I8] = 1,  [U16] = 2,  [I16] = 2,  [U32] = 4,
    [I32] = 4, [F32] = 4, [BOOL] = 1, [TEXT] = 0, [ARRAY] = 0,
    [U64] = 8, [I64] = 8, [F64] = 8};

static uint64_t number_at(const unsigned char *bytes, size_t n) {
  uint64_t x = 0;
  for (size_t i = n; i-- > 0;)
    x = x << 8 | bytes[i];
  return x;
}

static int skip(struct llqi_gguf_cursor *cursor, uint64_t n) {
  if (n > (uint64_t)(cursor->end - cursor->at))
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: its header ends too early (truncated?)",
                     cursor->path);
  cursor->at += n;
  return LLQ_OK;
}

int llqi_gguf_u32(struct llqi_gguf_cursor *cursor, uint32_t *out) {
  const unsigned char *at = cursor->at;
  LLQ_TRY(skip(cursor, 4));
  *out = (uint32_t)number_at(at, 4);
  return LLQ_OK;
}

int llqi_gguf_u64(struct llqi_gguf_cursor *cursor, uint64_t *out) {
  const unsigned char *at = cursor->at;
  LLQ_TRY(skip(cursor, 8));
  *out = number_at(at, 8);
  return LLQ_OK;
}

static int read_text(struct llqi_gguf_cursor *cursor,
                     const unsigned char **text, uint64_t *n) {
  LLQ_TRY(llqi_gguf_u64(cursor, n));
  *text = cursor->at;
  return skip(cursor, *n);
}

int llqi_gguf_name(struct llqi_gguf_cursor *cursor, char **out) {
  const unsigned char *text;
  uint64_t n;
  LLQ_TRY(read_text(cursor, &text, &n));
  if (n == 0 || n > NAME_LIMIT || memchr(text, '\0', (size_t)n) != NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: a name of %llu bytes, or with NUL",
                     cursor->path, (unsigned long long)n);
  *out = llqi_strndup((const char *)text, (size_t)n);
  return *out != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static int read_array(struct llqi_gguf_cursor *cursor,
                      struct llqi_gguf_value *out) {
  uint64_t n_bytes, n;
  const unsigned char *text;
  LLQ_TRY(llqi_gguf_u32(cursor, &out->element));
  LLQ_TRY(llqi_gguf_u64(cursor, &out->n));
  out->data = cursor->at;
  if (out->element > F64 || out->element == ARRAY)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: elements of type %u",
                     cursor->path, out->key, out->element);
  for (uint64_t i = 0; out->element == TEXT && i < out->n; i++)
    LLQ_TRY(read_text(cursor, &text, &n));
  if (__builtin_mul_overflow(out->n, sizes[out->element], &n_bytes))
    n_bytes = UINT64_MAX;
  return skip(cursor, n_bytes);
}

static int read_contents(struct llqi_gguf_cursor *cursor,
                         struct llqi_gguf_value *out) {
  LLQ_TRY(llqi_gguf_u32(cursor, &out->type));
  if (out->type > F64)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: a value of type %u",
                     cursor->path, out->key, out->type);
  if (out->type == TEXT)
    return read_text(cursor, &out->data, &out->n);
  if (out->type == ARRAY)
    return read_array(cursor, out);
  out->data = cursor->at;
  return skip(cursor, sizes[out->type]);
}

int llqi_gguf_read_value(struct llqi_gguf_cursor *cursor,
                         struct llqi_gguf_value *out) {
  LLQ_TRY(llqi_gguf_name(cursor, &out->key));
  int status = read_contents(cursor, out);
  if (status < 0) {
    llqi_free(out->key);
    out->key = NULL;
  }
  return status;
}

static int by_key(const void *a, const void *b) {
  const struct llqi_gguf_value *x = a, *y = b;
  return strcmp(x->key, y->key);
}

static const struct llqi_gguf_value *find(const struct llqi_gguf *gguf,
                                          const char *key) {
  const struct llqi_gguf_value wanted = {.key = (char *)key};
  if (gguf->n_values == 0)
    return NULL;
  return bsearch(&wanted, gguf->values, gguf->n_values, sizeof wanted, by_key);
}

int llqi_gguf_has(const struct llqi_gguf *gguf, const char *key) {
  return find(gguf, key) != NULL;
}

static int of_another_kind(const struct llqi_gguf *gguf, const char *key,
                           const char *wanted) {
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: not %s", gguf->path, key, wanted);
}

int llqi_gguf_int(const struct llqi_gguf *gguf, const char *key, int64_t low,
                  int64_t high, int64_t *out) {
  const struct llqi_gguf_value *value = find(gguf, key);
  if (value == NULL)
    return LLQ_OK;
  if (value->type > I32 && value->type != U64 && value->type != I64)
    return of_another_kind(gguf, key, "an integer");
  const int unused = 64 - 8 * (int)sizes[value->type];
  const uint64_t bits = number_at(value->data, sizes[value->type]);
  const int is_signed = value->type == I8 || value->type == I16 ||
                        value->type == I32 || value->type == I64;
  const int64_t found = is_signed ? (int64_t)(bits << unused) >> unused
                        : bits <= INT64_MAX ? (int64_t)bits
                                            : INT64_MAX;
  if (found < low || found > high)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: %lld, expected %lld to %lld",
                     gguf->path, key, (long long)found, (long long)low,
                     (long long)high);
  *out = found;
  return LLQ_OK;
}

int llqi_gguf_real(const struct llqi_gguf *gguf, const char *key, double *out) {
  const struct llqi_gguf_value *value = find(gguf, key);
  if (value == NULL)
    return LLQ_OK;
  float single;
  if (value->type == F64) {
    memcpy(out, value->data, sizeof *out);
  } else if (value->type == F32) {
    memcpy(&single, value->data, sizeof single);
    *out = (double)single;
  } else {
    return of_another_kind(gguf, key, "a real number");
  }
  return LLQ_OK;
}

int llqi_gguf_text(const struct llqi_gguf *gguf, const char *key,
                   const char **text, size_t *n) {
  const struct llqi_gguf_value *value = find(gguf, key);
  if (value == NULL)
    return LLQ_OK;
  if (value->type != TEXT)
    return of_another_kind(gguf, key, "text");
  *text = (const char *)value->data;
  *n = (size_t)value->n;
  return LLQ_OK;
}

static int list_of(const struct llqi_gguf *gguf, const char *key,
                   uint32_t element, const char *wanted,
                   struct llqi_gguf_list *out) {
  const struct llqi_gguf_value *value = find(gguf, key);
  if (value == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no %s", gguf->path, key);
  if (value->type != ARRAY || value->element != element)
    return of_another_kind(gguf, key, wanted);
  *out = (struct llqi_gguf_list){value->data, value->n};
  return LLQ_OK;
}

int llqi_gguf_texts(const struct llqi_gguf *gguf, const char *key,
                    struct llqi_gguf_list *out) {
  return list_of(gguf, key, TEXT, "a list of texts", out);
}

int llqi_gguf_ints(const struct llqi_gguf *gguf, const char *key,
                   struct llqi_gguf_list *out) {
  return list_of(gguf, key, I32, "a list of 32-bit integers", out);
}

const char *llqi_gguf_next_text(struct llqi_gguf_list *list, size_t *n) {
  *n = (size_t)number_at(list->at, 8);
  const char *text = (const char *)list->at + 8;
  list->at += 8 + *n;
  list->left--;
  return text;
}

int32_t llqi_gguf_next_int(struct llqi_gguf_list *list) {
  const int32_t found = (int32_t)number_at(list->at, 4);
  list->at += 4;
  list->left--;
  return found;
}
