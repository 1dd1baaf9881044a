/* SPDX-License-Identifier: Apache-2.0 */
#include "rounding.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "support.h"

int rounding_n_threads;

llq_model *rounding_model(const char *dtype, int intermediate, int tied) {
  char text[1000];
  snprintf(text, sizeof text,
           "{\"architectures\": [\"LlamaForCausalLM\"],"
           "\"model_type\": \"llama\", \"hidden_size\": 64,"
           "\"intermediate_size\": %d, \"num_hidden_layers\": 3,"
           "\"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
           "\"vocab_size\": 40, \"max_position_embeddings\": 64,"
           "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0,"
           "\"hidden_act\": \"silu\", \"torch_dtype\": \"%s\","
           "\"tie_word_embeddings\": %s}",
           intermediate, dtype, tied ? "true" : "false");
  ck_assert_llq_ok(
      llqi_file_write(test_path("shape.json"), text, strlen(text)));
  char source[600];
  snprintf(source, sizeof source, "random:%s", test_path("shape.json"));
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  return model;
}

llq_quantizer_options rounding_options(const char *scheme, int32_t group_size,
                                       int32_t asymmetric) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = scheme;
  options.group_size = group_size;
  options.asymmetric = asymmetric;
  options.n_threads = rounding_n_threads;
  return options;
}

llq_model *rounding_result(llq_model *model, const char *scheme,
                           int32_t group_size, int32_t asymmetric) {
  llq_quantizer_options options =
      rounding_options(scheme, group_size, asymmetric);
  llq_quantizer *quantizer;
  llq_model *result;
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, model, &options));
  llq_model_close(model);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_quantizer_close(quantizer);
  return result;
}
