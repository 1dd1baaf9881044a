/* SPDX-License-Identifier: Apache-2.0 */
#include "weights.h"

#include <stdlib.h>

#include "base/random.h"
#include "guarded.h"
#include "tensor/dtype.h"

const struct weight_format weight_formats[] = {
    {"f32", LLQ_WEIGHT_DENSE, LLQ_F32, 0, 0, 0, 0},
    {"f16", LLQ_WEIGHT_DENSE, LLQ_F16, 0, 0, 0, 0},
    {"bf16", LLQ_WEIGHT_DENSE, LLQ_BF16, 0, 0, 0, 0},
    {"w8a16-int", LLQ_WEIGHT_INT8, LLQ_BF16, 0, 0, 0, 0},
    {"w8a16-int f16", LLQ_WEIGHT_INT8, LLQ_F16, 0, 0, 0, 0},
    {"w8a16-int groups", LLQ_WEIGHT_INT8, LLQ_BF16, 0, 32, 0, 0},
    {"w8a8-int", LLQ_WEIGHT_INT8, LLQ_BF16, LLQ_ACTIVATION_INT8, 0, 0, 0},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_BF16, LLQ_ACTIVATION_FP8, 0, 0, 0},
    {"w8a16-fp", LLQ_WEIGHT_FP8, LLQ_F32, 0, 0, 0, 0},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 0, 0, 0},
    {"w4a16-int f32", LLQ_WEIGHT_INT4, LLQ_F32, 0, 0, 1, 0},
    {"w4a16-int 32", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 32, 1, 0},
    {"w4a16-int 64", LLQ_WEIGHT_INT4, LLQ_F16, 0, 64, 0, 0},
    {"w4a16-int 96", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 96, 0, 0},
    {"w4a16-int 128", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 128, 0, 0},
    {"w4a16-int 128 zero", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 128, 1, 0},
    {"w4a16-int 128 order", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 128, 1, 1},
    {"w4a16-int 256", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 256, 0, 0},
};
const int n_weight_formats =
    (int)(sizeof weight_formats / sizeof weight_formats[0]);

static uint32_t random_bits(uint64_t seed, uint64_t i) {
  return (uint32_t)(llqi_uniform(seed, 7, i) * 4294967296.0);
}

static void random_codes(const llq_weight *weight, uint8_t *data, size_t n) {
  for (size_t i = 0; i < n; i++) {
    data[i] = (uint8_t)random_bits(11, i);
    if (weight->format == LLQ_WEIGHT_FP8 && (data[i] & 0x7f) == 0x7f)
      data[i] = 0x7e; /* NaN to the largest number */
  }
}

static void *random_floats(int dtype, float sigma, size_t n) {
  float *values = malloc(n * sizeof *values);
  void *out = malloc(n * sizeof *values);
  normal_values(3, sigma, values, n);
  llqi_from_f32(dtype, values, n, out);
  free(values);
  return out;
}

/* Every input a group, each group its share, in a scattered order. */
static int32_t *random_order(int64_t n_in, int64_t group_size) {
  int32_t *order = malloc((size_t)n_in * sizeof *order);
  for (int64_t i = 0; i < n_in; i++)
    order[i] = (int32_t)(i / group_size);
  for (int64_t i = n_in - 1; i > 0; i--) {
    int64_t j = random_bits(5, (uint64_t)i) % (uint32_t)(i + 1);
    int32_t other = order[i];
    order[i] = order[j];
    order[j] = other;
  }
  return order;
}

int random_weight(const struct weight_format *format, int64_t n_out,
                  int64_t n_in, llq_weight *weight) {
  int64_t group = format->group_size > 0 ? format->group_size : n_in;
  if (n_in % group != 0)
    return 0;
  *weight = (llq_weight){sizeof *weight,
                         format->format,
                         format->dtype,
                         format->activation,
                         0,
                         n_out,
                         n_in,
                         group,
                         NULL,
                         NULL,
                         NULL,
                         NULL};
  size_t n = (size_t)(n_out * n_in), n_scales = (size_t)(n_out * n_in / group);
  if (format->format == LLQ_WEIGHT_DENSE) {
    weight->data = random_floats(format->dtype, 1, n);
    return 1;
  }
  uint8_t *data = malloc(n);
  random_codes(weight, data, format->format == LLQ_WEIGHT_INT4 ? n / 2 : n);
  weight->data = data;
  weight->scale = random_floats(format->dtype, 0.01f, n_scales);
  if (format->has_zero) {
    int8_t *zero = malloc(n_scales);
    for (size_t i = 0; i < n_scales; i++)
      zero[i] = (int8_t)(random_bits(13, i) % 16 - 8);
    weight->zero = zero;
  }
  if (format->has_order)
    weight->group_index = random_order(n_in, group);
  return 1;
}

void random_weight_free(llq_weight *weight) {
  free((void *)weight->data);
  free((void *)weight->scale);
  free((void *)weight->zero);
  free((void *)weight->group_index);
}
