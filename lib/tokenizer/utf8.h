/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as the Unicode standard's table 3-7 defines it. */
#ifndef LLQI_TOKENIZER_UTF8_H
#define LLQI_TOKENIZER_UTF8_H

#include <stddef.h>

#include "base/text.h"

/* The bytes of the character that n > 0 bytes begin with. 0 if they begin with
   none; *n_bad is then the length of the maximal subpart that is ill-formed:
   what one U+FFFD replaces. A character that the end cuts off is such a part,
   and so has *n_bad == n. */
size_t llqi_utf8_next(const char *text, size_t n, size_t *n_bad);

/* How many of the bytes come before the first ill-formed part. */
size_t llqi_utf8_valid(const char *text, size_t n);

/* Appends text with each maximal ill-formed part replaced by U+FFFD. */
int llqi_utf8_repair(const char *text, size_t n, struct llqi_text *out);

#endif
