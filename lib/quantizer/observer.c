/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/observer.h"

#include <math.h>

#include "base/vector.h"
#include "tensor/dtype.h"

/* Floats as integers of the same order; NaNs lie beyond the infinities. */
static inline int32_t key_of(float x) {
  int32_t bits = (int32_t)llqi_f32_bits(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

static inline float of_key(int32_t key) {
  return llqi_f32_of_bits((uint32_t)(key ^ ((key >> 31) & 0x7fffffff)));
}

/* The range of each group, and 0, which always has a code. By integers, since
   the compiler may not reorder comparisons of floats. */
LLQI_VECTOR
static void find_ranges(const float *values, size_t n_groups, size_t width,
                        float *min, float *max) {
  for (size_t g = 0; g < n_groups; g++) {
    int32_t low = 0, high = 0;
    for (size_t i = 0; i < width; i++) {
      int32_t key = key_of(values[g * width + i]);
      low = key < low ? key : low;
      high = key > high ? key : high;
    }
    int finite = low > key_of(-INFINITY) && high < key_of(INFINITY);
    min[g] = of_key(low);
    max[g] = finite ? of_key(high) : INFINITY;
  }
}

/* What a scale of zero becomes: the spacing of the type's values after 1. */
static float epsilon(int dtype) {
  switch (dtype) {
  case LLQ_BF16:
    return 0x1p-7f;
  case LLQ_F16:
    return 0x1p-10f;
  default:
    return 0x1p-23f;
  }
}

static inline float clamped(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

/* From `zero` with the minima and `scale` with the maxima, in place. */
LLQI_VECTOR
static void find_symmetric(const struct llqi_rule *rule, size_t n, float *scale,
                           float *zero) {
  float half = (rule->q_max - rule->q_min) / 2;
  for (size_t g = 0; g < n; g++) {
    float largest = scale[g] > -zero[g] ? scale[g] : -zero[g];
    scale[g] = largest / half;
    zero[g] = 0;
  }
  llqi_round_f32(rule->dtype, scale, n);
}

LLQI_VECTOR
static void find_asymmetric(const struct llqi_rule *rule, size_t n,
                            float *scale, float *zero) {
  for (size_t g = 0; g < n; g++)
    scale[g] -= zero[g];
  llqi_round_f32(rule->dtype, scale, n);
  for (size_t g = 0; g < n; g++)
    scale[g] /= rule->q_max - rule->q_min;
  llqi_round_f32(rule->dtype, scale, n);
  for (size_t g = 0; g < n; g++)
    zero[g] /= scale[g];
  llqi_round_f32(rule->dtype, zero, n);
  for (size_t g = 0; g < n; g++)
    zero[g] = rule->q_min - zero[g];
  llqi_round_f32(rule->dtype, zero, n);
  for (size_t g = 0; g < n; g++) {
    /* 0 / 0, where the scale is too small for its type, is NaN. */
    float x = zero[g] == zero[g] ? zero[g] : 0;
    zero[g] = (float)llqi_f32_to_int(clamped(x, rule->q_min, rule->q_max));
  }
}

void llqi_ranges(const float *values, const struct llqi_grids *grids) {
  find_ranges(values, grids->n, grids->width, grids->zero, grids->scale);
}

void llqi_observe(const struct llqi_rule *rule, const float *values,
                  const struct llqi_grids *grids) {
  llqi_ranges(values, grids);
  llqi_observe_ranges(rule, grids);
}

void llqi_observe_ranges(const struct llqi_rule *rule,
                         const struct llqi_grids *grids) {
  size_t n = grids->n;
  if (rule->asymmetric)
    find_asymmetric(rule, n, grids->scale, grids->zero);
  else
    find_symmetric(rule, n, grids->scale, grids->zero);
  for (size_t g = 0; g < n; g++)
    if (grids->scale[g] == 0)
      grids->scale[g] = epsilon(rule->dtype);
}

LLQI_VECTOR
static void divide(float *values, size_t n_groups, size_t width,
                   const float *scale) {
  for (size_t g = 0; g < n_groups; g++)
    for (size_t i = 0; i < width; i++)
      values[g * width + i] /= scale[g];
}

LLQI_VECTOR
static void add(float *values, size_t n_groups, size_t width,
                const float *zero) {
  for (size_t g = 0; g < n_groups; g++)
    for (size_t i = 0; i < width; i++)
      values[g * width + i] += zero[g];
}

LLQI_VECTOR
static void clamp(float *values, size_t n, float low, float high) {
  for (size_t i = 0; i < n; i++)
    values[i] = clamped(values[i], low, high);
}

/* The zero point is added even if it is 0: that makes -0 a +0. */
void llqi_to_codes(const struct llqi_rule *rule, const struct llqi_grids *grids,
                   float *values) {
  size_t n = grids->n * grids->width;
  divide(values, grids->n, grids->width, grids->scale);
  llqi_round_f32(rule->dtype, values, n);
  add(values, grids->n, grids->width, grids->zero);
  if (rule->asymmetric)
    llqi_round_f32(rule->dtype, values, n);
  clamp(values, n, rule->q_min, rule->q_max);
}
