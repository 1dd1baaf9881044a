/* SPDX-License-Identifier: Apache-2.0 */
/* GPTQ (Frantar et al., "GPTQ: accurate post-training quantization for
   generative pre-trained transformers", 2023): columns are rounded one after
   another, and what each loses is made up for by those that follow. */
#ifndef LLQI_QUANTIZER_GPTQ_H
#define LLQI_QUANTIZER_GPTQ_H

#include "quantizer/grid.h"
#include "quantizer/inputs.h"

/* The order in which columns are rounded. */
enum llqi_order {
  LLQI_ORDER_NONE,   /* as they come */
  LLQI_ORDER_STATIC, /* largest inputs first; groups stay where they are */
  LLQI_ORDER_GROUP   /* largest inputs first; groups are of columns that follow
                        each other then, and the weight has a group index */
};

struct llqi_gptq_options {
  enum llqi_order order;
  double damping;  /* added to the diagonal, as a part of its mean */
  int64_t n_block; /* columns between two updates of all that follow */
  struct llqi_observer observer;
};

/* What linears with the same input share: the factor of its second moments. */
struct llqi_gptq {
  llq_backend *backend;
  struct llqi_gptq_options options;
  int64_t n;
  llq_view factor;  /* the inputs' own gram matrix, overwritten; or, where that
                       stays on the backend, of its own */
  void *own_factor; /* NULL: the inputs' */
  int32_t *columns; /* [n]: column i is column columns[i] of the weight */
  double damping;   /* what was needed */
  int64_t n_dead;   /* columns whose input was always 0 */
};

/* Turns the inputs' second moments into the factor; more damping is tried where
   the matrix is not positive definite. The inputs must outlive it; their h is
   lost. Close it also when open failed. */
int llqi_gptq_open(struct llqi_gptq *gptq, struct llqi_inputs *inputs,
                   const struct llqi_gptq_options *options);
void llqi_gptq_close(struct llqi_gptq *gptq);

/* Has the result a group index? */
int llqi_gptq_has_group_index(const struct llqi_gptq *gptq,
                              const struct llqi_grid *grid);

/* Quantizes w [n_out, n], which is lost. Unless the order is static, the grid's
   scales are found on the way, from columns that make up for others already.
   group_index: [n], filled in if llqi_gptq_has_group_index(). */
int llqi_gptq_run(const struct llqi_gptq *gptq, struct llqi_grid *grid,
                  float *w, struct llqi_threads *threads,
                  const struct llqi_quantized *to, int32_t *group_index);

#endif
