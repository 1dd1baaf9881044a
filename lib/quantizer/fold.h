/* SPDX-License-Identifier: Apache-2.0 */
/* Scales of inputs that are moved into what makes the input: the norm before
   q, k and v and before gate and up, the rows of v before o, and those of up
   before down. */
#ifndef LLQI_QUANTIZER_FOLD_H
#define LLQI_QUANTIZER_FOLD_H

#include "quantizer/layer.h"

/* Finds the layer's scales by the methods of its linears, and folds them into
   its norms and what is known of its inputs. */
int llqi_fold_layer(struct llqi_layer_job *job);

/* AWQ (Lin et al., "AWQ: activation-aware weight quantization", 2024): of
   scales made from the sizes of inputs and weights, the one that loses the
   least of the outputs. sizes: [n] of |x|, w_sizes: [n] of |w| in its group. */
int llqi_awq_search(struct llqi_layer_job *job, enum llqi_input input,
                    const float *sizes, const float *w_sizes, float *scale);

/* Makes scales those that are left once they are folded into a norm, if that is
   what makes the input: a search then tries what it will get. */
int llqi_fold_settle(const struct llqi_layer_job *job, enum llqi_input input,
                     float *scale);

#endif
