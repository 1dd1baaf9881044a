/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as it arrives: characters, ill-formed parts, unfinished ends. */
#ifndef LLQI_BASE_UTF8_H
#define LLQI_BASE_UTF8_H

#include <stddef.h>

/* U+FFFD, which stands for what is not UTF-8. */
#define LLQI_UTF8_REPLACEMENT "\xEF\xBF\xBD"
#define LLQI_UTF8_REPLACEMENT_SIZE 3

/* Looks at the beginning of n > 0 bytes. Returns the length, 1 to 4, of a
   well-formed character; minus the length of an ill-formed part (the "maximal
   subpart" of the Unicode standard's section 3.9, to be replaced by one
   U+FFFD); or 0 if the n bytes may be the beginning of a longer character. */
int llqi_utf8_next(const char *bytes, size_t n);

/* Are these n bytes well-formed from beginning to end? */
int llqi_utf8_is_valid(const char *bytes, size_t n);

#endif
