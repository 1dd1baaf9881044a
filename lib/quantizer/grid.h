/* SPDX-License-Identifier: Apache-2.0 */
/* The scales and zero points of a whole matrix, and how they are found when
   that is more than a look at the range. All numbers here are floats; scales
   are values of the type that they will be stored in. */
#ifndef LLQI_QUANTIZER_GRID_H
#define LLQI_QUANTIZER_GRID_H

#include <stdint.h>

#include "base/threads.h"
#include "quantizer/observer.h"
#include "quantizer/rtn.h"

struct llqi_grid {
  int32_t format; /* of the codes, of enum llq_weight_format */
  struct llqi_rule rule;
  int64_t n_out, n_in, n_groups, group_size;
  float *scale, *zero; /* [n_out, n_groups] */
};

/* The grid of a weight that is to be, without memory. */
struct llqi_grid llqi_grid_header(const struct llqi_quantized *to);

/* For a weight that is to be; scales and zero points are not yet set. Close it
   also when open failed. */
int llqi_grid_open(struct llqi_grid *grid, const struct llqi_quantized *to);
void llqi_grid_close(struct llqi_grid *grid);

/* Which of several grids with ranges ever narrower is the best. */
struct llqi_observer {
  int n_steps;    /* 1: only the whole range */
  float step;     /* by which the range narrows, as a part of the whole */
  const float *h; /* [n_groups, group_size, group_size]: squares of errors are
                     measured by this matrix of each group; NULL: as they are */
};

/* Sets the grids of some consecutive groups of all rows, from w [n_out, n_in].
   Fails with LLQ_ERROR_FORMAT, naming the place, where a value is not finite or
   the range too wide. */
int llqi_grid_observe(struct llqi_grid *grid,
                      const struct llqi_observer *observer, const float *w,
                      int64_t first_group, int64_t n_groups,
                      struct llqi_threads *threads);

/* Codes of n values of one group, and what codes stand for. */
void llqi_grid_encode(const struct llqi_grid *grid, int64_t at, const float *w,
                      int64_t n, float *codes);
void llqi_grid_decode(const struct llqi_grid *grid, int64_t at,
                      const float *codes, int64_t n, float *values);

/* Rounds all of w to nearest, and stores codes and grids. */
int llqi_grid_round(const struct llqi_grid *grid, const float *w,
                    struct llqi_threads *threads,
                    const struct llqi_quantized *to);

/* Stores the scales and zero points. */
void llqi_grid_store(const struct llqi_grid *grid,
                     const struct llqi_quantized *to);

#endif
