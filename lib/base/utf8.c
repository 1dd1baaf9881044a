/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

/* What may follow a first byte: how many bytes in all, and the range of the
   second (Unicode standard, table 3-7). The others are 80..BF. */
struct lead {
  int length;
  unsigned char low, high;
};

static struct lead lead_of(unsigned char first) {
  if (first < 0x80)
    return (struct lead){1, 0, 0};
  if (first < 0xC2 || first > 0xF4)
    return (struct lead){0, 0, 0};
  if (first < 0xE0)
    return (struct lead){2, 0x80, 0xBF};
  if (first < 0xF0)
    return (struct lead){3, first == 0xE0 ? 0xA0 : 0x80,
                         first == 0xED ? 0x9F : 0xBF};
  return (struct lead){4, first == 0xF0 ? 0x90 : 0x80,
                       first == 0xF4 ? 0x8F : 0xBF};
}

int llqi_utf8_next(const char *bytes, size_t n) {
  struct lead lead = lead_of((unsigned char)bytes[0]);
  if (lead.length == 0)
    return -1;
  for (int i = 1; i < lead.length; i++) {
    if ((size_t)i == n)
      return 0;
    unsigned char byte = (unsigned char)bytes[i];
    unsigned char low = i == 1 ? lead.low : 0x80;
    unsigned char high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high)
      return -i;
  }
  return lead.length;
}

int llqi_utf8_is_valid(const char *bytes, size_t n) {
  size_t at = 0;
  while (at < n) {
    int length = llqi_utf8_next(bytes + at, n - at);
    if (length <= 0)
      return 0;
    at += (size_t)length;
  }
  return 1;
}
