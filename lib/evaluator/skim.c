/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/skim.h"

#include <string.h>

#include "base/status.h"

enum { DEPTH_MAX = 1000 };

struct skimmer {
  const char *start, *at, *end;
};

static int bad(const struct skimmer *s, const char *expected) {
  return llqi_fail(LLQ_ERROR_FORMAT, "invalid JSON at byte %zu: expected %s",
                   (size_t)(s->at - s->start), expected);
}

static int peek(struct skimmer *s) {
  while (s->at < s->end && *s->at != '\0' && strchr(" \t\r\n", *s->at) != NULL)
    s->at++;
  return s->at < s->end ? (unsigned char)*s->at : -1;
}

static int skim_string(struct skimmer *s) {
  for (s->at++; s->at < s->end; s->at++) {
    unsigned char c = (unsigned char)*s->at;
    if (c < 0x20)
      return bad(s, "no control character in a string");
    if (c == '"') {
      s->at++;
      return LLQ_OK;
    }
    if (c == '\\')
      s->at++;
  }
  s->at = s->end;
  return bad(s, "the end of a string");
}

static int skim_digits(struct skimmer *s) {
  const char *first = s->at;
  while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
    s->at++;
  return s->at > first ? LLQ_OK : bad(s, "a digit");
}

static int skim_number(struct skimmer *s) {
  if (*s->at == '-')
    s->at++;
  LLQ_TRY(skim_digits(s));
  if (s->at < s->end && *s->at == '.') {
    s->at++;
    LLQ_TRY(skim_digits(s));
  }
  if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
    s->at++;
    if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
      s->at++;
    LLQ_TRY(skim_digits(s));
  }
  return LLQ_OK;
}

/* Python writes NaN and Infinity into what it calls JSON. */
static int skim_word(struct skimmer *s) {
  static const char *const words[] = {"true", "false",    "null",
                                      "NaN",  "Infinity", "-Infinity"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    size_t n = strlen(words[i]);
    if ((size_t)(s->end - s->at) >= n && memcmp(s->at, words[i], n) == 0) {
      s->at += n;
      return LLQ_OK;
    }
  }
  if (*s->at == '-' || (*s->at >= '0' && *s->at <= '9'))
    return skim_number(s);
  return bad(s, "a value");
}

static int skim_value(struct skimmer *s, int depth);

/* The key of a member, and the colon after it. */
static int skim_key(struct skimmer *s, struct llqi_span *key) {
  if (peek(s) != '"')
    return bad(s, "a key");
  key->at = s->at + 1;
  LLQ_TRY(skim_string(s));
  key->n = (size_t)(s->at - 1 - key->at);
  if (peek(s) != ':')
    return bad(s, "':'");
  s->at++;
  return LLQ_OK;
}

/* After an item: 1 if another follows, 0 at the closing bracket. */
static int skim_comma(struct skimmer *s, int close) {
  int c = peek(s);
  if (c != ',' && c != close)
    return bad(s, "',' or the closing bracket");
  s->at++;
  return c == ',';
}

static int skim_list(struct skimmer *s, int depth, int close) {
  if (depth > DEPTH_MAX)
    return bad(s, "less nesting");
  s->at++;
  if (peek(s) == close) {
    s->at++;
    return LLQ_OK;
  }
  int more = 1;
  while (more) {
    struct llqi_span key;
    if (close == '}')
      LLQ_TRY(skim_key(s, &key));
    LLQ_TRY(skim_value(s, depth + 1));
    more = skim_comma(s, close);
    LLQ_TRY(more);
  }
  return LLQ_OK;
}

static int skim_value(struct skimmer *s, int depth) {
  switch (peek(s)) {
  case -1:
    return bad(s, "a value");
  case '"':
    return skim_string(s);
  case '[':
    return skim_list(s, depth, ']');
  case '{':
    return skim_list(s, depth, '}');
  default:
    return skim_word(s);
  }
}

static int keep(const struct llqi_span *key, const struct llqi_span *value,
                const char *const *keys, size_t n_keys,
                struct llqi_span *values) {
  for (size_t i = 0; i < n_keys; i++) {
    if (strlen(keys[i]) != key->n || memcmp(keys[i], key->at, key->n) != 0)
      continue;
    if (values[i].at != NULL)
      return llqi_fail(LLQ_ERROR_FORMAT, "the key \"%s\" comes twice", keys[i]);
    values[i] = *value;
  }
  return LLQ_OK;
}

int llqi_skim_object(const char *bytes, size_t n, const char *const *keys,
                     size_t n_keys, struct llqi_span *values) {
  struct skimmer s = {bytes, bytes, bytes + n};
  memset(values, 0, n_keys * sizeof *values);
  if (peek(&s) != '{')
    return bad(&s, "an object");
  s.at++;
  int more = peek(&s) != '}';
  if (!more)
    s.at++;
  while (more) {
    struct llqi_span key, value;
    LLQ_TRY(skim_key(&s, &key));
    peek(&s);
    value.at = s.at;
    LLQ_TRY(skim_value(&s, 1));
    value.n = (size_t)(s.at - value.at);
    LLQ_TRY(keep(&key, &value, keys, n_keys, values));
    more = skim_comma(&s, '}');
    LLQ_TRY(more);
  }
  return peek(&s) == -1 ? LLQ_OK : bad(&s, "the end of the line");
}
