/* SPDX-License-Identifier: Apache-2.0 */
/* libllq.so as a C program sees it: the README's example, and a generation with
   what it saved. */
#include <llq/llq.h>

#include <string.h>

#include "support.h"

static llq_model *quantize(const char *source, const char *scheme) {
  llq_model *model, *quantized;
  llq_quantizer *quantizer;
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = scheme;
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, model, &options));
  llq_model_close(model); /* the quantizer has a reference of its own */
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &quantized));
  llq_quantizer_close(quantizer);
  return quantized;
}

START_TEST(a_quantized_model_is_saved_and_writes_code) {
  const char *directory = test_path("w4a16");
  llq_model *quantized = quantize("llq-micro", "w4a16-int");
  ck_assert_llq_ok(llq_model_save(quantized, directory, NULL));
  llq_model_close(quantized);

  llq_model *model;
  llq_backend *backend;
  llq_generator *generator;
  const llq_tokenizer *tokenizer;
  ck_assert_llq_ok(llq_model_open(&model, directory, NULL));
  ck_assert_llq_ok(llq_model_tokenizer(model, &tokenizer));
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu", NULL));
  ck_assert_llq_ok(llq_generator_open(&generator, backend, model, NULL));
  const char *prompt = "def add(a, b):\n    \"\"\"Return the sum of a and b.\n"
                       "    >>> add(1, 2)\n    3\n    \"\"\"\n";
  int32_t ids[256];
  size_t n_ids;
  ck_assert_llq_ok(llq_tokenizer_encode(tokenizer, prompt, strlen(prompt),
                                        LLQ_ENCODE_BOS, ids, 256, &n_ids));
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  sampling.n_tokens_max = 32;
  int64_t sequence;
  ck_assert_llq_ok(
      llq_generator_submit(generator, ids, n_ids, &sampling, 1, &sequence));
  ck_assert_llq_ok(llq_generator_run(generator));
  llq_generation generation = LLQ_GENERATION_INIT;
  ck_assert_llq_ok(llq_generator_get(generator, sequence, &generation));
  ck_assert_ptr_nonnull(strstr(generation.text, "return"));
  llq_generator_close(generator);
  llq_backend_close(backend);
  llq_model_close(model);
}
END_TEST

START_TEST(sizes_of_structs_are_told_by_name) {
  ck_assert_uint_eq(llq_sizeof("llq_sampling"), sizeof(llq_sampling));
  ck_assert_uint_eq(llq_sizeof("llq_evaluator_options"),
                    sizeof(llq_evaluator_options));
  ck_assert_uint_eq(llq_sizeof("llq_model"), 0);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("api");
  TCase *tests = tcase_create("api");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, a_quantized_model_is_saved_and_writes_code);
  tcase_add_test(tests, sizes_of_structs_are_told_by_name);
  suite_add_tcase(suite, tests);
  return suite;
}
