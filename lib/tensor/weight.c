/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/weight.h"

#include <string.h>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/format.h"

const struct llqi_format *llqi_format_of(int format) {
  switch (format) {
  case LLQ_WEIGHT_DENSE:
    return &llqi_dense;
  case LLQ_WEIGHT_INT8:
    return &llqi_int8;
  case LLQ_WEIGHT_FP8:
    return &llqi_fp8;
  case LLQ_WEIGHT_INT4:
    return &llqi_int4;
  default:
    return NULL;
  }
}

int64_t llqi_weight_n_groups(const llq_weight *weight) {
  return weight->group_size > 0 ? weight->n_in / weight->group_size : 1;
}

size_t llqi_weight_data_bytes(const llq_weight *weight) {
  const struct llqi_format *format = llqi_format_of(weight->format);
  return format != NULL ? (size_t)weight->n_out * format->row_bytes(weight) : 0;
}

static size_t n_scales(const llq_weight *weight) {
  return (size_t)weight->n_out * (size_t)llqi_weight_n_groups(weight);
}

size_t llqi_weight_scale_bytes(const llq_weight *weight) {
  if (weight->format == LLQ_WEIGHT_DENSE)
    return 0;
  return n_scales(weight) * llqi_dtype_size(weight->dtype);
}

size_t llqi_weight_zero_bytes(const llq_weight *weight) {
  return weight->zero != NULL ? n_scales(weight) : 0;
}

size_t llqi_weight_bytes(const llq_weight *weight) {
  size_t bytes =
      llqi_weight_data_bytes(weight) + llqi_weight_scale_bytes(weight);
  size_t n_zero_words = ((size_t)weight->n_out + 7) / 8; /* eight rows a word */
  if (weight->zero != NULL)
    bytes += 4 * n_zero_words * (size_t)llqi_weight_n_groups(weight);
  if (weight->group_index != NULL)
    bytes += 4 * (size_t)weight->n_in;
  return bytes;
}

/* Scales one group of a row's codes: the difference is exact, the product is
   rounded to the type of the scale. */
static void scale_group(const llq_weight *weight, size_t group, float *values,
                        int64_t n) {
  float scale = llqi_load_f32(weight->dtype, weight->scale, group);
  float zero = weight->zero != NULL ? weight->zero[group] : 0;
  for (int64_t i = 0; i < n; i++)
    values[i] = (values[i] - zero) * scale;
}

static int64_t group_width(const llq_weight *weight) {
  if (weight->group_index != NULL)
    return 1;
  return weight->group_size > 0 ? weight->group_size : weight->n_in;
}

void llqi_weight_row(const llq_weight *weight, int64_t out, float *values) {
  llqi_format_of(weight->format)->unpack(weight, out, values);
  if (weight->format == LLQ_WEIGHT_DENSE)
    return;
  int64_t width = group_width(weight);
  size_t first = (size_t)(out * llqi_weight_n_groups(weight));
  for (int64_t in = 0; in < weight->n_in; in += width) {
    int64_t group =
        weight->group_index != NULL ? weight->group_index[in] : in / width;
    scale_group(weight, first + (size_t)group, values + in, width);
  }
  llqi_round_f32(weight->dtype, values, (size_t)weight->n_in);
}

static const struct {
  const char *name;
  int format, activation;
} schemes[] = {
    {"bf16", LLQ_WEIGHT_DENSE, LLQ_ACTIVATION_NONE},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8},
    {"w8a8-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE},
    {"w8a16-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE},
};

#define N_SCHEMES (sizeof schemes / sizeof schemes[0])

const char *llqi_scheme_name(int format, int activation) {
  for (size_t i = 0; i < N_SCHEMES; i++)
    if (schemes[i].format == format && schemes[i].activation == activation)
      return schemes[i].name;
  return "?";
}

const char *llqi_weight_scheme(const llq_weight *weight) {
  return llqi_scheme_name(weight->format, weight->activation);
}

int llqi_scheme_find(const char *scheme, int *format, int *activation) {
  LLQ_REQUIRE(scheme != NULL, "scheme: NULL");
  for (size_t i = 0; i < N_SCHEMES; i++)
    if (strcmp(schemes[i].name, scheme) == 0) {
      *format = schemes[i].format;
      *activation = schemes[i].activation;
      return LLQ_OK;
    }
  return llqi_fail(LLQ_ERROR_ARGUMENT,
                   "scheme: expected bf16, w8a8-fp, w8a8-int, w4a16-int or "
                   "w8a16-int, found '%s'",
                   scheme);
}
