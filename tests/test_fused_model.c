/* SPDX-License-Identifier: Apache-2.0 */
/* Whole steps in fused operations, of every backend that has them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "forward_run.h"
#include "guarded.h"
#include "micro.h"
#include "support.h"

static int n_subjects;

#define N_PROMPT 150
#define N_TOKENS 12
/* How much farther from float32 than the reference's bf16, in root mean
   square. A single logit says little: a value that lies between two roundings,
   or two codes, may go to either, and moves all that follows. */
#define FARTHER 1.2

static const struct {
  const char *scheme;
  int kv_dtype; /* 0: the cache has the compute type */
} schemes[] = {{"bf16", 0},          {"w8a8-fp", 0},   {"w8a8-int", 0},
               {"w8a16-int", 0},     {"w4a16-int", 0}, {"bf16", LLQ_I8},
               {"bf16", LLQ_F8_E4M3}};
#define N_SCHEMES ((int)(sizeof schemes / sizeof schemes[0]))

/* llq-micro's keys are up to 16, its values up to 22. */
static llq_model *micro_of(int i) {
  llq_model *model = quantized_micro(schemes[i].scheme);
  const float code = schemes[i].kv_dtype == LLQ_I8 ? 127 : 448;
  model->kv_dtype = schemes[i].kv_dtype;
  for (int64_t l = 0; l < model->config.n_layers; l++) {
    model->layers[l].key_scale = 16 / code;
    model->layers[l].value_scale = 22 / code;
  }
  return model;
}

/* Logits of a prompt in chunks, then token by token. */
static void run_model(llq_backend *backend, llq_model *model, int compute,
                      int is_fast, int n_chunk, float *logits) {
  const struct llqi_forward_options options = {.compute = compute,
                                               .n_rows_max = N_PROMPT,
                                               .n_positions_max =
                                                   N_PROMPT + N_TOKENS,
                                               .is_fast = is_fast};
  struct forward_run run;
  int n_vocab = (int)model->config.n_vocab, at = 0;
  int32_t ids[N_PROMPT + N_TOKENS];
  for (int i = 0; i < N_PROMPT + N_TOKENS; i++)
    ids[i] = (i * 389 + 11) % n_vocab;
  ck_assert_llq_ok(forward_run_open_with(&run, backend, model, &options));
  while (at < N_PROMPT + N_TOKENS) {
    int n = at < N_PROMPT ? n_chunk : 1;
    n = at < N_PROMPT && at + n > N_PROMPT ? N_PROMPT - at : n;
    ck_assert_llq_ok(forward_run_tokens(&run, ids + at, n, at, n,
                                        logits + (size_t)(at * n_vocab)));
    at += n;
  }
  forward_run_close(&run);
}

static double distance(const float *a, const float *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
  return sqrt(sum / (double)n);
}

START_TEST(a_model_s_logits_are_the_reference_s_however_it_is_cut) {
  llq_backend *subject = open_subject(_i / N_SCHEMES);
  llq_backend *reference = open_reference();
  llq_model *model = micro_of(_i % N_SCHEMES);
  int64_t n_rows = N_PROMPT + N_TOKENS, n_vocab = model->config.n_vocab;
  size_t n = (size_t)(n_rows * n_vocab);
  float *expected = malloc(n * sizeof *expected);
  float *found = malloc(n * sizeof *found), *cut = malloc(n * sizeof *cut);
  run_model(reference, model, LLQ_F32, 0, N_PROMPT, expected);
  run_model(reference, model, LLQ_BF16, 0, N_PROMPT, cut);
  run_model(subject, model, LLQ_BF16, 0, N_PROMPT, found);
  double farthest = FARTHER * distance(expected, cut, n);
  ck_assert_msg(distance(expected, found, n) <= farthest,
                "%s: %g from float32, expected at most %g",
                schemes[_i % N_SCHEMES].scheme, distance(expected, found, n),
                farthest);
  static const int chunks[] = {1, 7, 64, 100};
  for (int i = 0; i < 4; i++) {
    run_model(subject, model, LLQ_BF16, 0, chunks[i], cut);
    ck_assert_msg(memcmp(found, cut, n * sizeof *cut) == 0,
                  "%s: chunks of %d give other logits",
                  schemes[_i % N_SCHEMES].scheme, chunks[i]);
    run_model(subject, model, LLQ_BF16, 1, chunks[i], cut);
    ck_assert_msg(distance(expected, cut, n) <= farthest,
                  "%s, fast, chunks of %d: %g from float32, expected at most "
                  "%g",
                  schemes[_i % N_SCHEMES].scheme, chunks[i],
                  distance(expected, cut, n), farthest);
  }
  free(expected);
  free(found);
  free(cut);
  llq_model_close(model);
  llq_backend_close(reference);
  llq_backend_close(subject);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("fused_model");
  TCase *tests = tcase_create("fused_model");
  n_subjects = find_fused_subjects();
  if (n_subjects == 0)
    printf("# SKIP no device with fused operations\n");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests,
                      a_model_s_logits_are_the_reference_s_however_it_is_cut, 0,
                      n_subjects * N_SCHEMES);
  suite_add_tcase(suite, tests);
  return suite;
}
