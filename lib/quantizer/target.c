/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/target.h"

#include "base/status.h"
#include "tensor/weight.h"

const struct llqi_target llqi_target_dense = {LLQ_WEIGHT_DENSE,
                                              LLQ_ACTIVATION_NONE, -1, 0};

static int read_group_size(const llq_quantizer_options *options,
                           struct llqi_target *out) {
  int32_t size = options->group_size;
  if (out->format != LLQ_WEIGHT_INT4) {
    LLQ_REQUIRE(size == 0 || size == -1, "group_size: %s has none, found %d",
                options->scheme, size);
    out->group_size = -1;
    return LLQ_OK;
  }
  LLQ_REQUIRE(size == 0 || size == -1 || size == 32 || size == 64 ||
                  size == 128,
              "group_size: expected 32, 64, 128 or -1, found %d", size);
  out->group_size = size == 0 ? 128 : size;
  return LLQ_OK;
}

int llqi_target_read(const llq_quantizer_options *options,
                     struct llqi_target *out) {
  LLQ_TRY(llqi_scheme_find(options->scheme, &out->format, &out->activation));
  LLQ_TRY(read_group_size(options, out));
  LLQ_REQUIRE(options->asymmetric == 0 || options->asymmetric == 1,
              "asymmetric: expected 0 or 1, found %d", options->asymmetric);
  LLQ_REQUIRE(!options->asymmetric || out->format == LLQ_WEIGHT_INT4,
              "asymmetric: %s is symmetric", options->scheme);
  out->asymmetric = options->asymmetric;
  return LLQ_OK;
}

int llqi_target_check(const struct llqi_target *target,
                      const llq_weight *from) {
  if (from->format != LLQ_WEIGHT_DENSE)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED, "is quantized already, to %s",
                     llqi_weight_scheme(from));
  int64_t divisor = target->group_size;
  if (divisor < 0)
    divisor = target->format == LLQ_WEIGHT_INT4 ? 8 : 1;
  if (from->n_in % divisor != 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "width %lld is not a multiple of %lld",
                     (long long)from->n_in, (long long)divisor);
  return LLQ_OK;
}

void llqi_target_shape(const struct llqi_target *target, const llq_weight *from,
                       llq_weight *to) {
  int dense = target->format == LLQ_WEIGHT_DENSE;
  *to = (llq_weight){
      .struct_size = sizeof *to,
      .format = target->format,
      .dtype = dense ? LLQ_BF16 : from->dtype,
      .activation = target->activation,
      .n_out = from->n_out,
      .n_in = from->n_in,
      .group_size = target->group_size > 0 ? target->group_size : from->n_in,
  };
}
