/* SPDX-License-Identifier: Apache-2.0 */
/* What calibration learns about the inputs of a layer's linears. Linears that
   see the same input share it. */
#ifndef LLQI_QUANTIZER_INPUTS_H
#define LLQI_QUANTIZER_INPUTS_H

#include "backend/backend.h"
#include "model/model.h"

enum llqi_input {
  LLQI_INPUT_QKV,
  LLQI_INPUT_O,
  LLQI_INPUT_GATE_UP,
  LLQI_INPUT_DOWN,
  LLQI_N_INPUTS
};

/* Whose input it is, and one linear that has it. */
enum llqi_input llqi_input_of(enum llqi_linear linear);
enum llqi_linear llqi_input_example(enum llqi_input input);

/* Rows of a sample of an input. */
#define LLQI_INPUT_ROWS 512

/* Rows evenly spaced among [first, first + n_total) of all that are seen. */
struct llqi_input_sample {
  float *rows; /* [n_rows, n], on the host after llqi_inputs_finish() */
  int64_t first, n_total;
  int64_t n_rows;  /* so far */
  llq_view device; /* what becomes `rows`, on the backend, if it is not the host
                      and the rows come from there */
};

struct llqi_inputs {
  int64_t n;        /* width */
  int64_t n_fitted; /* rows of calibration, which come first */
  int64_t n_seen;
  struct llqi_input_sample fitted;   /* of rows of calibration */
  struct llqi_input_sample held_out; /* of those after them, if any */
  llq_backend *backend;              /* of what follows */
  llq_view gram;                     /* [n, n]; no data: not wanted */
  llq_view sums;  /* [2, n]: of magnitudes, and the largest */
  int gram_stays; /* there: the host needs no copy */

  /* After llqi_inputs_finish(), on the host. */
  float *h;       /* [n, n], symmetric: the mean of x x^T; NULL: not wanted */
  float *mean;    /* [n], of |x| */
  float *largest; /* [n] */
  float *blocks;  /* [n / block_size, block_size, block_size] of h's diagonal */
  int64_t block_size;
  void *staging; /* for rows on another backend than the one above */
  size_t n_staged;
};

/* What becomes of the second moments. On the host they always get there. */
enum llqi_gram { LLQI_GRAM_NONE, LLQI_GRAM_STAYS, LLQI_GRAM_TO_HOST };

/* Prepares for n_fitted rows of calibration, and then n_held_out to measure on.
   backend: one that has calibration operations. Close it also when open
   failed. */
int llqi_inputs_open(struct llqi_inputs *inputs, llq_backend *backend,
                     int64_t n, int64_t n_fitted, int64_t n_held_out,
                     enum llqi_gram gram);
void llqi_inputs_close(struct llqi_inputs *inputs);

/* Takes more rows, from `source`'s memory. */
int llqi_inputs_add(struct llqi_inputs *inputs, llq_backend *source,
                    const llq_view *x);

/* All rows are seen. Fails if one of calibration was not finite. */
int llqi_inputs_finish(struct llqi_inputs *inputs);

/* x[i] is divided by scale[i] from now on. */
void llqi_inputs_fold(struct llqi_inputs *inputs, const float *scale);

/* The rows to measure on: held out, if there are such. */
const struct llqi_input_sample *
llqi_inputs_measured(const struct llqi_inputs *inputs);

/* Fills in `blocks`. */
int llqi_inputs_cut_blocks(struct llqi_inputs *inputs, int64_t block_size);

#endif
