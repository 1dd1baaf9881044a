/* SPDX-License-Identifier: Apache-2.0 */
/* Memory runs out at the n-th allocation, for every n, in each part of the main
   job: the code is LLQ_ERROR_MEMORY, everything still closes, and (under the
   sanitizers' build) nothing leaks. */
#include <llq/llq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "support.h"

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
    " \"hidden_size\": 64, \"intermediate_size\": 128,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
    " \"num_key_value_heads\": 1, \"vocab_size\": 64,"
    " \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-05,"
    " \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
    " \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\"}";

static const char task[] =
    "{\"task_id\": \"t/0\", \"prompt\": \"def one():\\n\", \"entry_point\":"
    " \"one\", \"canonical_solution\": \"    return 1\\n\", \"test\":"
    " \"def check(f):\\n    assert f() == 1\\n\"}\n";
static const char samples[] =
    "{\"task_id\": \"t/0\", \"completion\": \"    return 1\\n\"}\n";

static char source[512];

/* What the parts work on; opened once, before memory runs out. */
static llq_backend *backend;
static llq_model *model;

static int open_and_close(void) {
  llq_model *opened = NULL;
  int status = llq_model_open(&opened, source, NULL);
  ck_assert((status == LLQ_OK) == (opened != NULL));
  llq_model_close(opened);
  return status;
}

static int quantize(void) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = "w4a16-int";
  options.group_size = 32;
  options.asymmetric = 1;
  llq_quantizer *quantizer = NULL;
  llq_model *quantized = NULL;
  int status = llq_quantizer_open(&quantizer, NULL, model, &options);
  if (status == LLQ_OK)
    status = llq_quantizer_run(quantizer);
  if (status == LLQ_OK)
    status = llq_quantizer_take(quantizer, &quantized);
  llq_quantizer_close(quantizer);
  if (status == LLQ_OK) {
    status = llq_model_save(quantized, test_empty_directory("saved"), NULL);
  }
  llq_model_close(quantized);
  return status;
}

static int generate(void) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  options.n_context = 64;
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  sampling.temperature = 1;
  sampling.n_tokens_max = 4;
  const int32_t ids[] = {1, 2, 3};
  int64_t first;
  llq_generator *generator = NULL;
  int status = llq_generator_open(&generator, backend, model, &options);
  if (status == LLQ_OK)
    status = llq_generator_submit(generator, ids, 3, &sampling, 2, &first);
  if (status == LLQ_OK)
    status = llq_generator_run(generator);
  llq_generator_close(generator);
  return status;
}

static int evaluate(void) {
  const char *directory = test_empty_directory("run");
  llq_evaluator_options options = LLQ_EVALUATOR_OPTIONS_INIT;
  options.task = test_path("task.jsonl");
  options.samples = test_path("samples.jsonl");
  options.directory = directory;
  llq_evaluator *evaluator = NULL;
  int status = llq_evaluator_open_samples(&evaluator, &options);
  if (status == LLQ_OK)
    status = llq_evaluator_run(evaluator);
  llq_evaluator_close(evaluator);
  return status;
}

static void setup(void) {
  const char *path = test_path("config.json");
  ck_assert_llq_ok(llqi_file_write(path, config, strlen(config)));
  ck_assert_llq_ok(
      llqi_file_write(test_path("task.jsonl"), task, strlen(task)));
  ck_assert_llq_ok(
      llqi_file_write(test_path("samples.jsonl"), samples, strlen(samples)));
  snprintf(source, sizeof source, "random:%s", path);
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.n_threads = 1;
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu", &options));
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
}

static void teardown(void) {
  llq_model_close(model);
  llq_backend_close(backend);
}

/* Runs a part with the n-th allocation failing, for n = 1, 2, ... until it
   makes fewer than n allocations. */
static void fail_every_allocation(int (*part)(void)) {
  ck_assert_llq_ok(part());
  long n = 0;
  int status;
  do {
    n++;
    llqi_alloc_fail_at(n, 0);
    status = part();
    long count = llqi_alloc_count();
    llqi_alloc_fail_at(0, 0);
    if (count < n)
      break;
    ck_assert_msg(status == LLQ_OK || status == LLQ_ERROR_MEMORY,
                  "allocation %ld: %s: %s", n, llq_status_name(status),
                  llq_error_message());
  } while (n < 100000);
  ck_assert_llq_ok(status);
  ck_assert_int_gt(n, 5);
}

START_TEST(opening_a_model_survives_it) {
  fail_every_allocation(open_and_close);
}
END_TEST

START_TEST(quantizing_and_saving_survive_it) {
  fail_every_allocation(quantize);
}
END_TEST

START_TEST(generating_survives_it) {
  fail_every_allocation(generate);
}
END_TEST

START_TEST(evaluating_survives_it) {
  fail_every_allocation(evaluate);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("memory");
  TCase *tests = tcase_create("memory");
  tcase_set_timeout(tests, 600);
  tcase_add_checked_fixture(tests, setup, teardown);
  tcase_add_test(tests, opening_a_model_survives_it);
  tcase_add_test(tests, quantizing_and_saving_survive_it);
  tcase_add_test(tests, generating_survives_it);
  tcase_add_test(tests, evaluating_survives_it);
  suite_add_tcase(suite, tests);
  return suite;
}
