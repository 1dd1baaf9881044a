/* SPDX-License-Identifier: Apache-2.0 */
#include "micro.h"

#include "support.h"

llq_model *quantized_micro(const char *scheme) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  llq_quantizer *quantizer;
  llq_model *base, *model;
  options.scheme = scheme;
  ck_assert_llq_ok(llq_model_open(&base, "llq-micro", NULL));
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, base, &options));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &model));
  llq_quantizer_close(quantizer);
  llq_model_close(base);
  return model;
}
