/* SPDX-License-Identifier: Apache-2.0 */
/* Text that is not UTF-8: the rule of llq/tokenizer.h. */
#ifndef LLQI_TOKENIZER_REPAIR_H
#define LLQI_TOKENIZER_REPAIR_H

#include <stddef.h>

#include "base/text.h"

/* How many of the bytes come before the first ill-formed part. */
size_t llqi_utf8_prefix(const char *text, size_t n);

/* Appends text with each maximal ill-formed part replaced by U+FFFD. */
int llqi_utf8_repair(const char *text, size_t n, struct llqi_text *out);

#endif
