/* SPDX-License-Identifier: Apache-2.0 */
/* The scale rules of compressed-tensors: from the range of some weights to the
   scale and zero point of their codes. Every operation is rounded to the type
   of the weights, as that package computes. */
#ifndef LLQI_QUANTIZER_OBSERVER_H
#define LLQI_QUANTIZER_OBSERVER_H

#include <stddef.h>

/* What codes are wanted of weights of what type. */
struct llqi_rule {
  int dtype;          /* of enum llq_dtype: F32, F16, BF16 */
  float q_min, q_max; /* range of the codes */
  int asymmetric;     /* with a zero point */
};

/* code = value / scale + zero */
struct llqi_grid {
  float scale, zero;
};

/* The grid of n finite values of the rule's type. The scale is infinite if the
   type cannot hold the width of an asymmetric range. */
struct llqi_grid llqi_observe(const struct llqi_rule *rule, const float *values,
                              size_t n);

/* values[i] = clamp(values[i] / scale + zero), not yet rounded to a code. */
void llqi_to_codes(const struct llqi_rule *rule, struct llqi_grid grid,
                   float *values, size_t n);

#endif
