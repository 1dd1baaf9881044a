/* SPDX-License-Identifier: Apache-2.0 */
/* Reads JSON front to back without building it in memory: a tokenizer.json has
   a million values in two of its members. Scanning checks the syntax of what
   it reads, not of what it skips. */
#ifndef LLQI_TOKENIZER_JSON_SCAN_H
#define LLQI_TOKENIZER_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct llqi_scan {
  const char *where; /* names the file in messages */
  const char *begin; /* of the file, to count lines */
  const char *at, *end;
  struct llqi_text text; /* a string that had escapes */
};

/* A part of the file. */
struct llqi_span {
  const char *begin, *end; /* both NULL: absent */
};

/* Fails with "<where>: line <n>: <what>". */
int llqi_scan_fail(const struct llqi_scan *scan, const char *what);

/* Puts "<where>: line <n>: " before the message of a failure. */
int llqi_scan_within(const struct llqi_scan *scan, int status);

/* Whether the next character, after spaces, is this one, which is then read. */
int llqi_scan_is(struct llqi_scan *scan, char c);

/* Reads this character; anything else is an error. */
int llqi_scan_expect(struct llqi_scan *scan, char c);

/* In an array or object, before each of its values: LLQ_MORE if there is one;
   LLQ_OK after the last, having read the closing bracket. `first` starts as 1,
   and is then kept here. */
int llqi_scan_more(struct llqi_scan *scan, char close, int *first);

/* Reads a string as UTF-8; valid until the next. */
int llqi_scan_string(struct llqi_scan *scan, const char **text, size_t *n);

/* Reads an integer of at most 15 digits. */
int llqi_scan_integer(struct llqi_scan *scan, int64_t *value);

/* Skips a value of any kind. */
int llqi_scan_skip(struct llqi_scan *scan, struct llqi_span *span);

/* Reads an object up to its end; gives where the member is, if it is there. */
int llqi_scan_member(struct llqi_scan *scan, const char *key,
                     struct llqi_span *span);

#endif
