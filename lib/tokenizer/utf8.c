/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/utf8.h"

#include <stdint.h>
#include <string.h>

#include "base/status.h"

/* What may follow a first byte: n bytes, the first of them in [low, high], the
   rest in [0x80, 0xbf]. */
struct lead {
  unsigned char first, n, low, high;
};

static const struct lead leads[] = {
    /* from this first byte on, up to the next line's */
    {0x00, 0, 0x80, 0xbf}, {0x80, 9, 0, 0},       {0xc2, 1, 0x80, 0xbf},
    {0xe0, 2, 0xa0, 0xbf}, {0xe1, 2, 0x80, 0xbf}, {0xed, 2, 0x80, 0x9f},
    {0xee, 2, 0x80, 0xbf}, {0xf0, 3, 0x90, 0xbf}, {0xf1, 3, 0x80, 0xbf},
    {0xf4, 3, 0x80, 0x8f}, {0xf5, 9, 0, 0},
};
#define N_LEADS (sizeof leads / sizeof leads[0])
#define NO_LEAD 9

static const struct lead *lead_of(unsigned char byte) {
  size_t i = N_LEADS - 1;
  while (byte < leads[i].first)
    i--;
  return &leads[i];
}

size_t llqi_utf8_next(const char *text, size_t n, size_t *n_bad) {
  const unsigned char *bytes = (const unsigned char *)text;
  *n_bad = 0;
  if (bytes[0] < 0x80)
    return 1;
  const struct lead *lead = lead_of(bytes[0]);
  unsigned char low = lead->low, high = lead->high;
  size_t length = 1;
  if (lead->n != NO_LEAD) {
    while (length <= lead->n && length < n && bytes[length] >= low &&
           bytes[length] <= high) {
      low = 0x80;
      high = 0xbf;
      length++;
    }
    if (length == (size_t)lead->n + 1)
      return length;
  }
  *n_bad = length;
  return 0;
}

size_t llqi_utf8_valid(const char *text, size_t n) {
  size_t at = 0, n_bad;
  while (at < n) {
    uint64_t word;
    if (n - at >= sizeof word) {
      memcpy(&word, text + at, sizeof word);
      if ((word & 0x8080808080808080u) == 0) {
        at += sizeof word;
        continue;
      }
    }
    size_t length = llqi_utf8_next(text + at, n - at, &n_bad);
    if (length == 0)
      break;
    at += length;
  }
  return at;
}

int llqi_utf8_repair(const char *text, size_t n, struct llqi_text *out) {
  while (n > 0) {
    size_t valid = llqi_utf8_valid(text, n), n_bad = 0;
    LLQ_TRY(llqi_text_append(out, text, valid));
    text += valid;
    n -= valid;
    if (n == 0)
      break;
    llqi_utf8_next(text, n, &n_bad);
    LLQ_TRY(llqi_text_puts(out, "\xef\xbf\xbd"));
    text += n_bad;
    n -= n_bad;
  }
  return LLQ_OK;
}
