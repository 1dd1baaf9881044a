/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/observer.h"

#include <math.h>

#include "base/vector.h"
#include "tensor/dtype.h"

struct range {
  float min, max;
};

/* Without zero-signed and NaN subtleties, so that the loop vectorizes. */
LLQI_VECTOR
static struct range find_range(const float *values, size_t n) {
  struct range range = {0, 0}; /* 0 always has a code */
  for (size_t i = 0; i < n; i++) {
    range.min = values[i] < range.min ? values[i] : range.min;
    range.max = values[i] > range.max ? values[i] : range.max;
  }
  return range;
}

static float rounded(const struct llqi_rule *rule, float x) {
  llqi_round_f32(rule->dtype, &x, 1);
  return x;
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

static struct llqi_grid symmetric(const struct llqi_rule *rule,
                                  struct range range) {
  float width = rule->q_max - rule->q_min;
  float largest = range.max > -range.min ? range.max : -range.min;
  struct llqi_grid grid = {rounded(rule, largest / (width / 2)), 0};
  return grid;
}

static struct llqi_grid asymmetric(const struct llqi_rule *rule,
                                   struct range range) {
  float width = rounded(rule, range.max - range.min);
  struct llqi_grid grid;
  grid.scale = rounded(rule, width / (rule->q_max - rule->q_min));
  float steps = rounded(rule, range.min / grid.scale);
  float zero = rintf(rounded(rule, rule->q_min - steps));
  zero = zero < rule->q_min ? rule->q_min : zero;
  zero = zero > rule->q_max ? rule->q_max : zero;
  grid.zero = isnan(zero) ? 0 : zero; /* 0 / 0: no width that the type holds */
  return grid;
}

struct llqi_grid llqi_observe(const struct llqi_rule *rule, const float *values,
                              size_t n) {
  struct range range = find_range(values, n);
  struct llqi_grid grid =
      rule->asymmetric ? asymmetric(rule, range) : symmetric(rule, range);
  if (grid.scale == 0)
    grid.scale = epsilon(rule->dtype);
  return grid;
}

LLQI_VECTOR
static void divide(float *values, size_t n, float by) {
  for (size_t i = 0; i < n; i++)
    values[i] /= by;
}

LLQI_VECTOR
static void add(float *values, size_t n, float x) {
  for (size_t i = 0; i < n; i++)
    values[i] += x;
}

LLQI_VECTOR
static void clamp(float *values, size_t n, float low, float high) {
  for (size_t i = 0; i < n; i++) {
    float x = values[i] < low ? low : values[i];
    values[i] = x > high ? high : x;
  }
}

/* The zero point is added even if it is 0: that makes -0 a +0. */
void llqi_to_codes(const struct llqi_rule *rule, struct llqi_grid grid,
                   float *values, size_t n) {
  divide(values, n, grid.scale);
  llqi_round_f32(rule->dtype, values, n);
  add(values, n, grid.zero);
  if (rule->asymmetric)
    llqi_round_f32(rule->dtype, values, n);
  clamp(values, n, rule->q_min, rule->q_max);
}
