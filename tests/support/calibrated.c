/* SPDX-License-Identifier: Apache-2.0 */
#include "calibrated.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "model/model.h"
#include "support.h"
#include "tensor/weight.h"

llq_backend *calibrated_backend;

void calibrated_setup(void) {
  ck_assert_llq_ok(llq_backend_open(&calibrated_backend, NULL, NULL));
}

void calibrated_teardown(void) {
  llq_backend_close(calibrated_backend);
}

llq_quantizer_options calibrated_options(const char *scheme,
                                         const char *method) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = scheme;
  options.method = method;
  options.n_samples = 8;
  options.measure = 1;
  options.is_parallel = 1;
  return options;
}

llq_model *calibrated_small(void) {
  static const char text[] =
      "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
      "\"hidden_size\": 64, \"intermediate_size\": 96,"
      "\"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
      "\"num_key_value_heads\": 1, \"vocab_size\": 40,"
      "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5,"
      "\"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
      "\"torch_dtype\": \"bfloat16\", \"tie_word_embeddings\": false}";
  char source[600];
  llq_model *model;
  ck_assert_llq_ok(
      llqi_file_write(test_path("shape.json"), text, strlen(text)));
  snprintf(source, sizeof source, "random:%s", test_path("shape.json"));
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  return model;
}

static void expect_same_rows(const llq_weight *a, const llq_weight *b) {
  float row_a[96], row_b[96];
  ck_assert_int_eq(a->format, b->format);
  for (int64_t r = 0; r < a->n_out; r++) {
    llqi_weight_row(a, r, row_a);
    llqi_weight_row(b, r, row_b);
    ck_assert_mem_eq(row_a, row_b, (size_t)a->n_in * sizeof *row_a);
  }
}

void expect_same_weights(const llq_model *a, const llq_model *b) {
  for (int l = 0; l < 2; l++)
    for (int i = 0; i < LLQI_N_LINEARS; i++)
      expect_same_rows(&a->layers[l].linears[i], &b->layers[l].linears[i]);
  expect_same_rows(&a->output, &b->output);
}
