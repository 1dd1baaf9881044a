/* SPDX-License-Identifier: Apache-2.0 */
/* Stop strings, and the text of a sequence that they cut.

   Bytes arrive token by token; text leaves as whole characters that can no
   longer be part of a stop string. A sequence stops where, reading byte by
   byte, the first stop string is complete; if several end there, the longest
   counts. The text is cut before it. So the outcome depends on the text alone,
   not on how tokens divide it. */
#ifndef LLQI_GENERATOR_STOP_H
#define LLQI_GENERATOR_STOP_H

#include <stddef.h>

#include "base/text.h"

/* A set of stop strings, owned. */
struct llqi_stops {
  char **strings;
  size_t *lengths;
  size_t n;
  size_t longest;
};

/* Copies; refuses empty strings and such as are not UTF-8. */
int llqi_stops_copy(struct llqi_stops *stops, const char *const *strings,
                    size_t n);
void llqi_stops_free(struct llqi_stops *stops);

/* The text of one sequence. Zero-initialized is empty. */
struct llqi_stream {
  struct llqi_text text; /* final */
  struct llqi_text held; /* whole characters that may begin a stop string */
  char tail[4];          /* the beginning of a character */
  size_t n_tail;
};

/* Makes room to take n more bytes: after it, adding that many and finishing
   cannot fail. */
int llqi_stream_reserve(struct llqi_stream *stream, size_t n);

/* Adds bytes for which there is room. Returns 1 when a stop string is
   complete: the text is then cut, and nothing is held. */
int llqi_stream_add(struct llqi_stream *stream, const struct llqi_stops *stops,
                    const char *bytes, size_t n);

/* Lets out what is held; an unfinished character becomes U+FFFD. */
void llqi_stream_finish(struct llqi_stream *stream);
void llqi_stream_free(struct llqi_stream *stream);

#endif
