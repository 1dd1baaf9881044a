/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the members of a JSON object without reading their values into C
   types, which cannot hold every number that JSON may have. */
#ifndef LLQI_EVALUATOR_SKIM_H
#define LLQI_EVALUATOR_SKIM_H

#include <stddef.h>

struct llqi_span {
  const char *at;
  size_t n;
};

/* Walks through one JSON object in n bytes, checking all of its syntax (string
   escapes only as far as where strings end), and fills in values[i] with the
   bytes of the member called keys[i]; a member that is absent has at NULL.
   Keys with escapes match nothing. Fails on bad syntax, on a wanted key that
   comes twice and on what nests deeper than 1000; the message has no file. */
int llqi_skim_object(const char *bytes, size_t n, const char *const *keys,
                     size_t n_keys, struct llqi_span *values);

#endif
