/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of one forward pass, put together from several sequences. */
#ifndef LLQI_GENERATOR_BATCH_H
#define LLQI_GENERATOR_BATCH_H

#include "generator/kv_cache.h"
#include "model/forward.h"

struct llqi_sequence;
struct llqi_request;

/* Whose tokens a segment's are: one of the two. */
struct llqi_owner {
  struct llqi_sequence *sequence; /* decoding */
  struct llqi_request *request;   /* of which this is a part of the prompt */
  int logit_row;                  /* of what comes out; -1: none wanted */
};

struct llqi_batch {
  int n_rows_max, n_segments_max, n_pages_max;
  int32_t *ids;              /* [n_rows_max] */
  int32_t *logit_rows;       /* [n_rows_max] */
  llq_segment *segments;     /* [n_segments_max] */
  int32_t *pages;            /* [n_pages_max] */
  struct llqi_owner *owners; /* [n_segments_max] */
  llq_batch view;            /* of the arrays above */
  int n_logit_rows;
};

int llqi_batch_open(struct llqi_batch *batch, int n_rows_max,
                    int n_segments_max, int n_pages_max);
void llqi_batch_close(struct llqi_batch *batch);
void llqi_batch_clear(struct llqi_batch *batch);

/* Adds n tokens of a sequence from a position on; `table` covers them. */
void llqi_batch_add(struct llqi_batch *batch, const int32_t *ids, int n,
                    int32_t position, const struct llqi_page_table *table);

/* Says whose the last segment is; `wanted`: its last row's logits are. */
void llqi_batch_own(struct llqi_batch *batch, struct llqi_sequence *sequence,
                    struct llqi_request *request, int wanted);

/* Asks for the logits of all rows. */
void llqi_batch_want_all(struct llqi_batch *batch);

/* Runs the model over the rows; logits: [n_logit_rows, n_vocab]. Draws from the
   first n_draws of those rows, whose logits are then not given. */
int llqi_batch_run(struct llqi_batch *batch, struct llqi_forward *forward,
                   struct llqi_kv_cache *cache, float *logits, llq_draw *draws,
                   int n_draws);

#endif
