/* SPDX-License-Identifier: Apache-2.0 */
/* One continuation of a prompt: its tokens, its text, and why it ended.

   The states of a sequence, and what moves it on:

     WAITING    submitted; holds no pages
        |  the scheduler has a slot, and pages for all it may need
     ADMITTED   its prompt is being run, or is about to be
        |  the prompt is in the cache: its pages are shared or taken over, and
        |  the first token drawn from the prompt's logits
     DECODING   one row in every step: its last token goes in, the next is
        |  drawn from the logits that come out
        |  an end token, a stop string, n_tokens_max, or the context is full
     ENDED      holds no pages; tokens and text stay until it is released

   A cancelled sequence goes from any state to ENDED. */
#ifndef LLQI_GENERATOR_SEQUENCE_H
#define LLQI_GENERATOR_SEQUENCE_H

#include <sys/queue.h>

#include "generator/kv_cache.h"
#include "generator/request.h"
#include "generator/stop.h"

enum llqi_sequence_state {
  LLQI_WAITING,
  LLQI_ADMITTED,
  LLQI_DECODING,
  LLQI_ENDED
};

struct llqi_sequence {
  int64_t number; /* the caller's name for it */
  enum llqi_sequence_state state;
  int32_t stop_reason;          /* of enum llq_stop_reason */
  struct llqi_request *request; /* counted */
  int32_t sample;               /* which of the request's */
  struct llqi_page_table table;
  TAILQ_ENTRY(llqi_sequence) waiting; /* while WAITING */

  int32_t *ids; /* [capacity], the first n_ids generated */
  int32_t n_ids, capacity;
  struct llqi_stream stream;
  double min_margin;
  int32_t margin_at;
};

int llqi_sequence_open(struct llqi_sequence **out, struct llqi_request *request,
                       int32_t sample, int32_t n_context);
/* Does not touch the request. */
void llqi_sequence_close(struct llqi_sequence *sequence,
                         struct llqi_kv_cache *cache);

/* The position in the sequence, prompt included, of its next token. */
int32_t llqi_sequence_position(const struct llqi_sequence *sequence);

/* Positions that its keys and values can come to take. */
int32_t llqi_sequence_n_positions_max(const struct llqi_sequence *sequence,
                                      int32_t n_context);

/* Takes the next token, whose text is n bytes, and says whether that ends the
   sequence: an enum llq_stop_reason, or an error that leaves it unchanged. */
int llqi_sequence_accept(struct llqi_sequence *sequence, int32_t id,
                         double margin, const char *bytes, size_t n,
                         int32_t n_context);

/* What the caller sees of it. */
void llqi_sequence_describe(const struct llqi_sequence *sequence,
                            llq_generation *out);

#endif
