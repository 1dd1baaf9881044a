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
  int asymmetric;     /* with zero points */
};

/* The grids of consecutive groups: code = value / scale + zero. */
struct llqi_grids {
  size_t n, width; /* groups, and values in each */
  float *scale, *zero;
};

/* Fills in scales and zero points for values of the rule's type. A scale is
   infinite where a value is, or is NaN, or where the type cannot hold the width
   of an asymmetric range. */
void llqi_observe(const struct llqi_rule *rule, const float *values,
                  const struct llqi_grids *grids);

/* The same, of ranges that are known: minima in `zero`, maxima in `scale`. */
void llqi_observe_ranges(const struct llqi_rule *rule,
                         const struct llqi_grids *grids);

/* Just the ranges: minima to `zero`, maxima to `scale`. 0 is in all. */
void llqi_ranges(const float *values, const struct llqi_grids *grids);

/* Turns values into codes within the range, not yet rounded to a format's. */
void llqi_to_codes(const struct llqi_rule *rule, const struct llqi_grids *grids,
                   float *values);

#endif
