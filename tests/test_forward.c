/* SPDX-License-Identifier: Apache-2.0 */
/* The forward pass: a sequence's logits don't depend on how it is cut up, on
   its neighbours, or on threads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "forward_run.h"
#include "support.h"

#define N_TOKENS 37
#define N_VOCAB 301
#define N_LAYERS 2

static const char config_json[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
    " \"hidden_size\": 96, \"intermediate_size\": 168,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 6,"
    " \"num_key_value_heads\": 2, \"head_dim\": 32, \"vocab_size\": 301,"
    " \"max_position_embeddings\": 256, \"rms_norm_eps\": 1e-5,"
    " \"rope_theta\": 10000.0, \"tie_word_embeddings\": false,"
    " \"hidden_act\": \"silu\", \"torch_dtype\": \"bfloat16\"}";

static llq_model *random_model(void) {
  char source[600];
  const char *path = test_path("config.json");
  ck_assert_llq_ok(llqi_file_write(path, config_json, strlen(config_json)));
  snprintf(source, sizeof source, "random:%s", path);
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  return model;
}

static llq_backend *open_backend(const char *arch, int n_threads) {
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.arch = arch;
  options.n_threads = n_threads;
  llq_backend *backend;
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu", &options));
  return backend;
}

static void random_ids(int32_t ids[N_TOKENS]) {
  for (int i = 0; i < N_TOKENS; i++)
    ids[i] = (i * 7919 + 13) % N_VOCAB;
}

/* The logits of all tokens, with the sequence cut into chunks. */
static void logits_in_chunks(llq_backend *backend, llq_model *model,
                             int compute, int chunk, float *logits) {
  struct forward_run run;
  int32_t ids[N_TOKENS];
  random_ids(ids);
  ck_assert_llq_ok(
      forward_run_open(&run, backend, model, compute, chunk, N_TOKENS));
  for (int first = 0; first < N_TOKENS; first += chunk) {
    int n = N_TOKENS - first < chunk ? N_TOKENS - first : chunk;
    ck_assert_llq_ok(forward_run_tokens(&run, ids + first, n, first, n,
                                        logits + first * N_VOCAB));
  }
  forward_run_close(&run);
}

static void expect_same_in_chunks(const char *arch, int compute) {
  static float whole[N_TOKENS * N_VOCAB], parts[N_TOKENS * N_VOCAB];
  static const int chunks[] = {1, 2, 5, 16, 36};
  llq_model *model = random_model();
  llq_backend *backend = open_backend(arch, 1);
  logits_in_chunks(backend, model, compute, N_TOKENS, whole);
  for (size_t i = 0; i < N_TOKENS * N_VOCAB; i++)
    ck_assert(isfinite(whole[i]));
  for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
    logits_in_chunks(backend, model, compute, chunks[i], parts);
    ck_assert_msg(memcmp(whole, parts, sizeof whole) == 0,
                  "chunks of %d differ", chunks[i]);
  }
  llq_backend_close(backend);
  backend = open_backend(arch, 2);
  logits_in_chunks(backend, model, compute, 5, parts);
  ck_assert_mem_eq(whole, parts, sizeof whole);
  llq_backend_close(backend);
  llq_model_close(model);
}

START_TEST(f32_logits_do_not_depend_on_chunks_or_threads) {
  expect_same_in_chunks(_i == 0 ? "reference" : NULL, LLQ_F32);
}
END_TEST

START_TEST(bf16_logits_do_not_depend_on_chunks_or_threads) {
  expect_same_in_chunks(_i == 0 ? "reference" : NULL, LLQ_BF16);
}
END_TEST

START_TEST(kernels_agree_with_the_reference) {
  static float expected[N_TOKENS * N_VOCAB], found[N_TOKENS * N_VOCAB];
  llq_model *model = random_model();
  llq_backend *reference = open_backend("reference", 1);
  llq_backend *best = open_backend(NULL, 1);
  logits_in_chunks(reference, model, LLQ_F32, 7, expected);
  logits_in_chunks(best, model, LLQ_F32, 7, found);
  float largest = 0, difference = 0;
  for (int i = 0; i < N_TOKENS * N_VOCAB; i++) {
    largest = fmaxf(largest, fabsf(expected[i]));
    difference = fmaxf(difference, fabsf(expected[i] - found[i]));
  }
  ck_assert_float_gt(largest, 0);
  ck_assert_float_le(difference, 1e-5f * largest);
  llq_backend_close(reference);
  llq_backend_close(best);
  llq_model_close(model);
}
END_TEST

/* Two sequences in one batch, the second at a later position. */
START_TEST(neighbours_in_a_batch_change_nothing) {
  int32_t ids[N_TOKENS];
  random_ids(ids);
  llq_model *model = random_model();
  llq_backend *backend = open_backend(NULL, 1);
  struct forward_run run;
  static float alone[N_VOCAB], together[2 * N_VOCAB];
  ck_assert_llq_ok(
      forward_run_open(&run, backend, model, LLQ_F32, N_TOKENS, N_TOKENS));
  ck_assert_llq_ok(forward_run_tokens(&run, ids + 3, 9, 0, 1, alone));
  llq_kv caches[N_LAYERS];
  for (int i = 0; i < N_LAYERS; i++)
    caches[i] = run.caches[i];
  int32_t pages[2] = {2, 0};
  llq_segment segments[2] = {{0, 11, 0, 0}, {11, 9, 0, 1}};
  llq_batch batch = {segments, pages, 2, 2, 16, 20};
  int32_t both[20], last[2] = {10, 19};
  memcpy(both, ids, 11 * sizeof *ids);
  memcpy(both + 11, ids + 3, 9 * sizeof *ids);
  struct llqi_step step = {.batch = &batch,
                           .ids = both,
                           .caches = caches,
                           .logit_rows = last,
                           .n_logit_rows = 2,
                           .logits = together};
  ck_assert_llq_ok(llqi_forward_run(run.forward, &step));
  ck_assert_mem_eq(alone, together + N_VOCAB, sizeof alone);
  ck_assert_mem_ne(alone, together, sizeof alone);
  forward_run_close(&run);
  llq_backend_close(backend);
  llq_model_close(model);
}
END_TEST

struct taps {
  int n;
  int fail_at;
  int64_t n_cols[N_LAYERS * LLQI_N_LINEARS];
};

static int count_tap(void *user, int layer, enum llqi_linear linear,
                     const llq_view *input) {
  struct taps *taps = user;
  ck_assert_int_eq(taps->n, layer * LLQI_N_LINEARS + (int)linear);
  taps->n_cols[taps->n++] = input->n_cols;
  return taps->n == taps->fail_at ? llqi_fail(LLQ_ERROR_STATE, "enough")
                                  : LLQ_OK;
}

START_TEST(a_tap_sees_every_input_and_can_stop_the_pass) {
  llq_model *model = random_model();
  llq_backend *backend = open_backend(NULL, 1);
  struct forward_run run;
  ck_assert_llq_ok(forward_run_open(&run, backend, model, LLQ_F32, 4, 16));
  int32_t ids[4] = {1, 2, 3, 4};
  llq_segment segment = {0, 4, 0, 0};
  llq_batch batch = {&segment, run.pages, 1, run.n_pages, 16, 4};
  struct taps taps = {0};
  struct llqi_step step = {.batch = &batch,
                           .ids = ids,
                           .caches = run.caches,
                           .tap = count_tap,
                           .user = &taps};
  ck_assert_llq_ok(llqi_forward_run(run.forward, &step));
  ck_assert_int_eq(taps.n, N_LAYERS * LLQI_N_LINEARS);
  ck_assert_int_eq(taps.n_cols[LLQI_Q], 96);
  ck_assert_int_eq(taps.n_cols[LLQI_O], 192);
  ck_assert_int_eq(taps.n_cols[LLQI_DOWN], 168);
  taps = (struct taps){0};
  step.is_for_tap = 1;
  ck_assert_llq_ok(llqi_forward_run(run.forward, &step));
  ck_assert_int_eq(taps.n, N_LAYERS * LLQI_N_LINEARS);
  step.tap = NULL;
  ck_assert_llq_fails(llqi_forward_run(run.forward, &step), LLQ_ERROR_ARGUMENT,
                      "no tap");
  step.tap = count_tap;
  step.is_for_tap = 0;
  taps = (struct taps){.fail_at = 3};
  llqi_error_clear();
  ck_assert_llq_fails(llqi_forward_run(run.forward, &step), LLQ_ERROR_STATE,
                      "enough");
  ck_assert_int_eq(taps.n, 3);
  forward_run_close(&run);
  llq_backend_close(backend);
  llq_model_close(model);
}
END_TEST

START_TEST(ids_rows_and_sizes_out_of_range_are_refused) {
  llq_model *model = random_model();
  llq_backend *backend = open_backend(NULL, 1);
  struct forward_run run;
  static float logits[N_VOCAB];
  int32_t ids[5] = {1, 2, 3, 4, N_VOCAB};
  ck_assert_llq_ok(forward_run_open(&run, backend, model, LLQ_F32, 4, 16));
  ck_assert_llq_fails(forward_run_tokens(&run, ids, 5, 0, 1, logits),
                      LLQ_ERROR_ARGUMENT, "5 rows");
  llqi_error_clear();
  ck_assert_llq_fails(forward_run_tokens(&run, ids + 2, 3, 0, 1, logits),
                      LLQ_ERROR_ARGUMENT, "301");
  llqi_error_clear();
  ck_assert_llq_fails(forward_run_tokens(&run, ids, 4, 13, 1, logits),
                      LLQ_ERROR_ARGUMENT, "listed");
  forward_run_close(&run);
  llq_backend_close(backend);
  llq_model_close(model);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_with_sizes) {
  llq_model *model = random_model();
  llq_backend *backend = open_backend(NULL, 1);
  struct llqi_forward *forward;
  const struct llqi_forward_options options = {
      .compute = LLQ_F32, .n_rows_max = INT32_MAX, .n_positions_max = 16};
  ck_assert_llq_fails(llqi_forward_open(&forward, backend, model, &options),
                      LLQ_ERROR_MEMORY, "bytes on cpu:0, where");
  llq_backend_close(backend);
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("forward");
  TCase *tests = tcase_create("forward");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, f32_logits_do_not_depend_on_chunks_or_threads, 0,
                      2);
  tcase_add_loop_test(tests, bf16_logits_do_not_depend_on_chunks_or_threads, 0,
                      2);
  tcase_add_test(tests, kernels_agree_with_the_reference);
  tcase_add_test(tests, neighbours_in_a_batch_change_nothing);
  tcase_add_test(tests, a_tap_sees_every_input_and_can_stop_the_pass);
  tcase_add_test(tests, ids_rows_and_sizes_out_of_range_are_refused);
  tcase_add_test(tests, what_does_not_fit_is_refused_with_sizes);
  suite_add_tcase(suite, tests);
  return suite;
}
