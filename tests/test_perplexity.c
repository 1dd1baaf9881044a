/* SPDX-License-Identifier: Apache-2.0 */
/* How well a model predicts tokens, against sums written out from its
   logits. */
#include <math.h>
#include <string.h>

#include <llq/evaluator.h>

#include "generating.h"
#include "support.h"

#define N_IDS 150
#define WINDOW 40

static llq_backend *backend;
static llq_model *model, *quantized;
static llq_generator *generator, *other;
static int32_t ids[N_IDS];

static llq_model *quantize(llq_model *from) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  llq_quantizer *quantizer;
  llq_model *out;
  options.scheme = "w8a8-int";
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, from, &options));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &out));
  llq_quantizer_close(quantizer);
  return out;
}

static void set_up(void) {
  backend = cpu_backend();
  model = tiny_random_model();
  quantized = quantize(model);
  generator = open_generator(backend, model, 1, 64);
  other = open_generator(backend, quantized, 1, 64);
  for (int i = 0; i < N_IDS; i++)
    ids[i] = (i * i * 7 + 3 * i) % TINY_VOCAB;
}

static void tear_down(void) {
  llq_generator_close(other);
  llq_generator_close(generator);
  llq_model_close(quantized);
  llq_model_close(model);
  llq_backend_close(backend);
}

static double log_probability(const float *row, int32_t id) {
  long double sum = 0;
  for (int i = 0; i < TINY_VOCAB; i++)
    sum += expl((long double)row[i]);
  return (double)((long double)row[id] - logl(sum));
}

static int top(const float *row) {
  int best = 0;
  for (int i = 0; i < TINY_VOCAB; i++)
    best = row[i] > row[best] ? i : best;
  return best;
}

struct expected {
  double n, nll, kl, agreed;
};

static void add_window(const int32_t *window, size_t n, struct expected *sums) {
  static float rows[WINDOW][TINY_VOCAB], base[WINDOW][TINY_VOCAB];
  ck_assert_llq_ok(llq_generator_logits(other, window, n, rows[0]));
  ck_assert_llq_ok(llq_generator_logits(generator, window, n, base[0]));
  for (size_t i = 0; i + 1 < n; i++) {
    sums->n++;
    sums->nll -= log_probability(rows[i], window[i + 1]);
    sums->agreed += top(rows[i]) == top(base[i]);
    for (int j = 0; j < TINY_VOCAB; j++) {
      double p = log_probability(base[i], j);
      sums->kl += exp(p) * (p - log_probability(rows[i], j));
    }
  }
}

START_TEST(windows_are_scored_each_on_its_own) {
  struct expected sums = {0};
  llq_perplexity found = LLQ_PERPLEXITY_INIT;
  for (size_t i = 0; i < N_IDS; i += WINDOW)
    add_window(ids + i, N_IDS - i < WINDOW ? N_IDS - i : WINDOW, &sums);
  ck_assert_llq_ok(
      llq_perplexity_measure(other, generator, ids, N_IDS, WINDOW, &found));
  ck_assert_uint_eq(found.n_tokens, N_IDS - 4);
  ck_assert_double_eq_tol(found.nll, sums.nll / sums.n, 1e-6);
  ck_assert_double_eq_tol(found.perplexity, exp(sums.nll / sums.n), 1e-4);
  ck_assert_double_eq_tol(found.kl, sums.kl / sums.n, 1e-6);
  ck_assert_double_eq_tol(found.agreement, sums.agreed / sums.n, 1e-12);
  ck_assert_double_gt(found.kl, 0);
  ck_assert_double_gt(found.nll_error, 0);
}
END_TEST

START_TEST(a_text_in_pieces_gives_the_same_as_whole) {
  llq_perplexity whole = LLQ_PERPLEXITY_INIT, pieces = LLQ_PERPLEXITY_INIT;
  ck_assert_llq_ok(
      llq_perplexity_measure(other, generator, ids, N_IDS, WINDOW, &whole));
  ck_assert_llq_ok(llq_perplexity_measure(other, generator, ids, 2 * WINDOW,
                                          WINDOW, &pieces));
  ck_assert_llq_ok(llq_perplexity_measure(other, generator, ids + 2 * WINDOW,
                                          N_IDS - 2 * WINDOW, WINDOW, &pieces));
  ck_assert_uint_eq(pieces.n_tokens, whole.n_tokens);
  ck_assert_double_eq_tol(pieces.nll, whole.nll, 1e-12);
  ck_assert_double_eq_tol(pieces.nll_error, whole.nll_error, 1e-12);
  ck_assert_double_eq_tol(pieces.kl, whole.kl, 1e-12);
  ck_assert_double_eq_tol(pieces.kl_error, whole.kl_error, 1e-12);
  ck_assert_double_eq_tol(pieces.agreement, whole.agreement, 1e-12);
}
END_TEST

START_TEST(a_model_agrees_with_itself) {
  llq_perplexity found = LLQ_PERPLEXITY_INIT;
  ck_assert_llq_ok(
      llq_perplexity_measure(generator, generator, ids, N_IDS, WINDOW, &found));
  ck_assert_double_eq_tol(found.kl, 0, 1e-15);
  ck_assert_double_eq(found.agreement, 1);
}
END_TEST

START_TEST(without_a_base_there_is_no_divergence) {
  llq_perplexity found = LLQ_PERPLEXITY_INIT;
  ck_assert_llq_ok(
      llq_perplexity_measure(generator, NULL, ids, N_IDS, WINDOW, &found));
  ck_assert(isnan(found.kl) && isnan(found.agreement));
  ck_assert_llq_fails(
      llq_perplexity_measure(generator, other, ids, N_IDS, WINDOW, &found),
      LLQ_ERROR_ARGUMENT, "without a base");
}
END_TEST

START_TEST(windows_must_fit_the_context) {
  llq_perplexity found = LLQ_PERPLEXITY_INIT;
  ck_assert_llq_fails(
      llq_perplexity_measure(generator, NULL, ids, N_IDS, 1, &found),
      LLQ_ERROR_ARGUMENT, "window of 1");
  ck_assert_llq_fails(llq_perplexity_measure(generator, NULL, ids, N_IDS,
                                             TINY_CONTEXT + 1, &found),
                      LLQ_ERROR_ARGUMENT, "window of 257");
  ck_assert_llq_ok(
      llq_perplexity_measure(generator, NULL, ids, 1, WINDOW, &found));
  ck_assert_uint_eq(found.n_tokens, 0);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("perplexity");
  TCase *test = tcase_create("perplexity");
  tcase_add_checked_fixture(test, set_up, tear_down);
  tcase_add_test(test, windows_are_scored_each_on_its_own);
  tcase_add_test(test, a_text_in_pieces_gives_the_same_as_whole);
  tcase_add_test(test, a_model_agrees_with_itself);
  tcase_add_test(test, without_a_base_there_is_no_divergence);
  tcase_add_test(test, windows_must_fit_the_context);
  suite_add_tcase(suite, test);
  return suite;
}
