/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration samples on their way through a model, one decoder layer at a
   time: no more than one layer's weights are ever on the backend. */
#ifndef LLQI_QUANTIZER_STREAMS_H
#define LLQI_QUANTIZER_STREAMS_H

#include "model/forward.h"
#include "quantizer/calibration.h"

struct llqi_streams {
  llq_backend *backend;
  const llq_model *model; /* its config and embedding */
  const struct llqi_calibration *set;
  int compute;
  llq_view hidden; /* on the backend: [set->n_ids, hidden_size] */
  llq_kv cache;    /* of one layer and one batch */
  int32_t *pages;
  llq_segment *segments;
  int n_segments; /* of the batch under way */
  int32_t *ids;   /* [n_rows_max]: rows of `hidden` as of an embedding */
  int n_rows_max, n_positions_max;
};

/* Begins with the embeddings of the samples' tokens. All that is given must
   outlive it; close it also when open failed. */
int llqi_streams_open(struct llqi_streams *streams, llq_backend *backend,
                      const llq_model *model,
                      const struct llqi_calibration *set, int compute);
void llqi_streams_close(struct llqi_streams *streams);

/* Sends all samples through a layer. The tap (NULL: none) sees every linear's
   inputs, rows in the order of the set's tokens. advance: 1 = what comes out is
   what goes into the next layer. */
int llqi_streams_run(struct llqi_streams *streams,
                     const struct llqi_layer *layer, llqi_tap tap, void *user,
                     int advance);

/* For a tap of LLQI_O: the keys (1: values) in the cache of the i-th of the
   n_segments samples under way, a row a position. */
llq_view llqi_streams_cached(const struct llqi_streams *streams, int i,
                             int is_value);

/* Shows the tap all samples behind a norm, as inputs of a layer's Q. */
int llqi_streams_norm(struct llqi_streams *streams,
                      const struct llqi_tensor *norm, llqi_tap tap, void *user);

#endif
