/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/repair.h"

#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"

static int is_ascii8(const char *text) {
  uint64_t word;
  memcpy(&word, text, sizeof word);
  return (word & 0x8080808080808080u) == 0;
}

size_t llqi_utf8_prefix(const char *text, size_t n) {
  size_t at = 0;
  while (at < n) {
    if (n - at >= 8 && is_ascii8(text + at)) {
      at += 8;
      continue;
    }
    int length = llqi_utf8_next(text + at, n - at);
    if (length <= 0)
      break;
    at += (size_t)length;
  }
  return at;
}

int llqi_utf8_repair(const char *text, size_t n, struct llqi_text *out) {
  for (;;) {
    size_t good = llqi_utf8_prefix(text, n);
    LLQ_TRY(llqi_text_append(out, text, good));
    text += good;
    n -= good;
    if (n == 0)
      return LLQ_OK;
    int length = llqi_utf8_next(text, n);
    size_t bad = length < 0 ? (size_t)-length : n; /* 0: the end cuts it off */
    LLQ_TRY(llqi_text_puts(out, LLQI_UTF8_REPLACEMENT));
    text += bad;
    n -= bad;
  }
}
