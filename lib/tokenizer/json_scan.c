/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/json_scan.h"

#include <string.h>

#include "base/status.h"

int llqi_scan_within(const struct llqi_scan *scan, int status) {
  if (status >= 0)
    return status;
  size_t line = 1;
  for (const char *c = scan->begin; c < scan->at; c++)
    line += *c == '\n';
  return llqi_fail_within(status, "%s: line %zu", scan->where, line);
}

int llqi_scan_fail(const struct llqi_scan *scan, const char *what) {
  return llqi_scan_within(scan, llqi_fail(LLQ_ERROR_FORMAT, "%s", what));
}

static void skip_space(struct llqi_scan *scan) {
  while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' ||
                                  *scan->at == '\t' || *scan->at == '\r'))
    scan->at++;
}

int llqi_scan_is(struct llqi_scan *scan, char c) {
  skip_space(scan);
  if (scan->at == scan->end || *scan->at != c)
    return 0;
  scan->at++;
  return 1;
}

int llqi_scan_expect(struct llqi_scan *scan, char c) {
  char what[] = "expected ' '";
  what[sizeof what - 3] = c;
  return llqi_scan_is(scan, c) ? LLQ_OK : llqi_scan_fail(scan, what);
}

int llqi_scan_more(struct llqi_scan *scan, char close, int *first) {
  if (llqi_scan_is(scan, close))
    return LLQ_OK;
  if (!*first)
    LLQ_TRY(llqi_scan_expect(scan, ','));
  *first = 0;
  return LLQ_MORE;
}

static int hex4(struct llqi_scan *scan, uint32_t *value) {
  *value = 0;
  for (int i = 0; i < 4; i++) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *digit = scan->at < scan->end && *scan->at != '\0'
                            ? strchr(digits, *scan->at)
                            : NULL;
    if (digit == NULL)
      return llqi_scan_fail(scan, "expected four hexadecimal digits");
    *value = *value << 4 | (uint32_t)((digit - digits) & 15);
    scan->at++;
  }
  return LLQ_OK;
}

static int append_character(struct llqi_text *text, uint32_t c) {
  char utf8[4];
  size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, c >>= 6)
    utf8[i] = (char)(0x80 | (c & 0x3f));
  utf8[0] = (char)(n == 1 ? c : (0xf00u >> n) | c);
  return llqi_text_append(text, utf8, n);
}

/* The part of an escape behind "\u". */
static int unicode_escape(struct llqi_scan *scan) {
  uint32_t c, low;
  LLQ_TRY(hex4(scan, &c));
  if (c >= 0xd800 && c < 0xdc00 && scan->end - scan->at >= 2 &&
      memcmp(scan->at, "\\u", 2) == 0) {
    scan->at += 2;
    LLQ_TRY(hex4(scan, &low));
    if (low < 0xdc00 || low >= 0xe000)
      return llqi_scan_fail(scan, "half of a surrogate pair");
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
  }
  if (c >= 0xd800 && c < 0xe000)
    return llqi_scan_fail(scan, "half of a surrogate pair");
  return append_character(&scan->text, c);
}

static int escape(struct llqi_scan *scan) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  char c = scan->at < scan->end ? *scan->at++ : '\0';
  if (c == 'u')
    return unicode_escape(scan);
  const char *found = c != '\0' ? strchr(from, c) : NULL;
  if (found == NULL)
    return llqi_scan_fail(scan, "unknown escape in a string");
  return llqi_text_append(&scan->text, &to[found - from], 1);
}

/* Moves to the end of what needs no unescaping. */
static void skip_plain(struct llqi_scan *scan) {
  while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\' &&
         (unsigned char)*scan->at >= 0x20)
    scan->at++;
}

int llqi_scan_string(struct llqi_scan *scan, const char **text, size_t *n) {
  LLQ_TRY(llqi_scan_expect(scan, '"'));
  const char *begin = scan->at;
  llqi_text_clear(&scan->text);
  for (;;) {
    skip_plain(scan);
    size_t plain = (size_t)(scan->at - begin);
    if (scan->at == scan->end || (unsigned char)*scan->at < 0x20)
      return llqi_scan_fail(scan, "a string without an end");
    char c = *scan->at++;
    if (c == '"' && scan->text.length == 0) {
      *text = begin;
      *n = plain;
      return LLQ_OK;
    }
    LLQ_TRY(llqi_text_append(&scan->text, begin, plain));
    if (c == '"')
      break;
    LLQ_TRY(escape(scan));
    begin = scan->at;
  }
  *text = scan->text.data;
  *n = scan->text.length;
  return LLQ_OK;
}

int llqi_scan_integer(struct llqi_scan *scan, int64_t *value) {
  skip_space(scan);
  int n_digits = 0, negative = scan->at < scan->end && *scan->at == '-';
  scan->at += negative;
  *value = 0;
  for (; scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
       scan->at++, n_digits++) {
    if (n_digits == 15)
      return llqi_scan_fail(scan, "an integer out of range");
    *value = *value * 10 + (*scan->at - '0');
  }
  if (n_digits == 0 ||
      (scan->at < scan->end && memchr(".eE", *scan->at, 3) != NULL))
    return llqi_scan_fail(scan, "expected an integer");
  *value = negative ? -*value : *value;
  return LLQ_OK;
}

/* A string's characters mean nothing here but where it ends. */
static int skip_string(struct llqi_scan *scan) {
  for (scan->at++; scan->at < scan->end; scan->at++) {
    if (*scan->at == '"') {
      scan->at++;
      return LLQ_OK;
    }
    if (*scan->at == '\\' && ++scan->at == scan->end)
      break;
  }
  return llqi_scan_fail(scan, "a string without an end");
}

int llqi_scan_skip(struct llqi_scan *scan, struct llqi_span *span) {
  size_t depth = 0;
  skip_space(scan);
  span->begin = scan->at;
  while (scan->at < scan->end) {
    char c = *scan->at;
    if (depth == 0 && (c == ',' || c == '}' || c == ']'))
      break;
    if (c == '"') {
      LLQ_TRY(skip_string(scan));
      continue;
    }
    depth += c == '{' || c == '[';
    depth -= c == '}' || c == ']';
    scan->at++;
  }
  span->end = scan->at;
  return depth == 0 ? LLQ_OK
                    : llqi_scan_fail(scan, "the file ends inside a value");
}

int llqi_scan_member(struct llqi_scan *scan, const char *key,
                     struct llqi_span *span) {
  int first = 1, status;
  span->begin = span->end = NULL;
  LLQ_TRY(llqi_scan_expect(scan, '{'));
  while ((status = llqi_scan_more(scan, '}', &first)) == LLQ_MORE) {
    const char *name;
    size_t n;
    struct llqi_span value;
    LLQ_TRY(llqi_scan_string(scan, &name, &n));
    int found = n == strlen(key) && memcmp(name, key, n) == 0;
    LLQ_TRY(llqi_scan_expect(scan, ':'));
    LLQ_TRY(llqi_scan_skip(scan, &value));
    if (found && span->begin == NULL)
      *span = value;
  }
  return status;
}
