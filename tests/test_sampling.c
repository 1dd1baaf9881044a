/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing tokens from logits, against probabilities known exactly. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/status.h"
#include "generator/sampling.h"
#include "support.h"

#define N 8

/* Log-probabilities of this distribution: any temperature-1 draw has it. */
static const double probabilities[N] = {0.05, 0.30, 0.02, 0.20,
                                        0.08, 0.20, 0.10, 0.05};
static float logits[N];
static struct llqi_sampler sampler;

static void set_up(void) {
  for (int i = 0; i < N; i++)
    logits[i] = (float)log(probabilities[i]);
  ck_assert_llq_ok(llqi_sampler_open(&sampler, N));
}

static void tear_down(void) {
  llqi_sampler_close(&sampler);
}

static int32_t draw_from(struct llqi_sampler *from, const float *row,
                         const llq_sampling *sampling, double u) {
  llq_draw draw = {.temperature = sampling->temperature,
                   .top_p = sampling->top_p,
                   .min_p = sampling->min_p,
                   .top_k = sampling->top_k,
                   .uniform = u};
  llqi_sample(from, row, &draw);
  ck_assert(draw.is_finite);
  return draw.id;
}

static int32_t draw(const llq_sampling *sampling, double u) {
  return draw_from(&sampler, logits, sampling, u);
}

/* The share of [0, 1) that draws each token, to 1 part in 100000. */
static void shares(const llq_sampling *sampling, double out[N]) {
  const int steps = 100000;
  memset(out, 0, N * sizeof *out);
  int32_t last = -1;
  for (int i = 0; i < steps; i++) {
    int32_t id = draw(sampling, (i + 0.5) / steps);
    ck_assert_int_ge(id, last); /* draws run in the order of ids */
    last = id;
    out[id] += 1.0 / steps;
  }
}

/* Exactly the tokens of `kept` are drawn, in proportion to the powers of their
   probabilities. */
static void check_kept(const llq_sampling *sampling, const char *kept) {
  double share[N], expected[N], sum = 0;
  shares(sampling, share);
  for (int i = 0; i < N; i++) {
    int is_kept = strchr(kept, '0' + i) != NULL;
    expected[i] =
        is_kept ? pow(probabilities[i], 1 / sampling->temperature) : 0;
    sum += expected[i];
  }
  for (int i = 0; i < N; i++)
    ck_assert_msg(fabs(share[i] - expected[i] / sum) < 3e-5,
                  "token %d: drawn %g, expected %g", i, share[i],
                  expected[i] / sum);
}

START_TEST(greedy_takes_the_smaller_id_on_a_tie) {
  float tied[] = {1, 3, 2, 3, 3};
  struct llqi_top top;
  ck_assert(llqi_logits_top(tied, 5, &top));
  ck_assert_int_eq(top.id, 1);
  ck_assert_double_eq(top.margin, 0);
}
END_TEST

START_TEST(the_margin_is_between_the_two_largest_logits) {
  float row[] = {-1.5f, 4, 0.25f, 3.5f};
  struct llqi_top top;
  ck_assert(llqi_logits_top(row, 4, &top));
  ck_assert_double_eq(top.margin, 0.5);
  float falling[] = {4, 3.5f, -INFINITY};
  ck_assert(llqi_logits_top(falling, 3, &top));
  ck_assert_double_eq(top.margin, 0.5);
  ck_assert(llqi_logits_top(row, 1, &top));
  ck_assert(isinf(top.margin));
}
END_TEST

START_TEST(logits_that_are_no_distribution_are_noticed) {
  float row[3] = {1, 2, 3};
  struct llqi_top top;
  for (int i = 0; i < 3; i++) {
    float good = row[i];
    row[i] = NAN;
    ck_assert(!llqi_logits_top(row, 3, &top));
    row[i] = INFINITY;
    ck_assert(!llqi_logits_top(row, 3, &top));
    row[i] = good;
  }
  float none[] = {-INFINITY, -INFINITY};
  ck_assert(!llqi_logits_top(none, 2, &top));
}
END_TEST

START_TEST(all_tokens_are_drawn_by_their_probability) {
  llq_sampling sampling = {.temperature = 1};
  check_kept(&sampling, "01234567");
  sampling.top_k = N;
  sampling.top_p = 1;
  check_kept(&sampling, "01234567");
}
END_TEST

START_TEST(temperature_sharpens_and_flattens) {
  llq_sampling sampling = {.temperature = 0.2};
  check_kept(&sampling, "01234567");
  sampling.temperature = 3;
  check_kept(&sampling, "01234567");
}
END_TEST

START_TEST(tiny_and_huge_temperatures_stay_finite) {
  llq_sampling sampling = {.temperature = 1e-300};
  for (int i = 0; i < 100; i++)
    ck_assert_int_eq(draw(&sampling, i / 100.0), 1);
  sampling.temperature = 1e300;
  double share[N];
  shares(&sampling, share);
  for (int i = 0; i < N; i++)
    ck_assert_double_eq_tol(share[i], 1.0 / N, 3e-5);
}
END_TEST

/* 3 and 5 tie: at k = 2 the smaller id stays. */
START_TEST(top_k_keeps_exactly_k) {
  static const char *const kept[] = {"1",     "13",     "135",     "1356",
                                     "13456", "013456", "0134567", "01234567"};
  for (int k = 1; k <= N; k++) {
    llq_sampling sampling = {.temperature = 1, .top_k = k};
    check_kept(&sampling, kept[k - 1]);
  }
  llq_sampling more = {.temperature = 1, .top_k = 1000};
  check_kept(&more, "01234567");
}
END_TEST

/* In rank: 1 (.30) 3 (.50) 5 (.70) 6 (.80) 4 (.88) 0 (.93) 7 (.98) 2 (1). */
START_TEST(top_p_keeps_the_fewest_that_reach_p) {
  static const struct {
    double p;
    const char *kept;
  } cases[] = {{0.001, "1"},      {0.29, "1"},        {0.31, "13"},
               {0.49, "13"},      {0.51, "135"},      {0.69, "135"},
               {0.79, "1356"},    {0.81, "13456"},    {0.89, "013456"},
               {0.94, "0134567"}, {0.985, "01234567"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    llq_sampling sampling = {.temperature = 1, .top_p = cases[i].p};
    check_kept(&sampling, cases[i].kept);
  }
}
END_TEST

START_TEST(top_p_reached_exactly_keeps_no_more) {
  for (int i = 0; i < N; i++)
    logits[i] = 0; /* eight times 1/8: all sums are exact */
  llq_sampling sampling = {.temperature = 1, .top_p = 0.5};
  for (int i = 0; i < 1000; i++)
    ck_assert_int_eq(draw(&sampling, i / 1000.0), i / 250);
}
END_TEST

/* 0.05 / 0.30 = 1/6, 0.10 / 0.30 = 1/3. */
START_TEST(min_p_keeps_those_likely_enough) {
  llq_sampling sampling = {.temperature = 1, .min_p = 0.34};
  check_kept(&sampling, "135");
  sampling.min_p = 0.33;
  check_kept(&sampling, "1356");
  sampling.min_p = 0.17;
  check_kept(&sampling, "13456");
  sampling.min_p = 0.16;
  check_kept(&sampling, "0134567");
  sampling.min_p = 1;
  check_kept(&sampling, "1");
}
END_TEST

/* Of the three that top-k keeps (0.7 together), 1 and 3 have 0.5 / 0.7 = 0.714:
   top-p counts what top-k left. Min-p then drops 3 (2/3 as likely as 1). */
START_TEST(filters_apply_in_the_documented_order) {
  llq_sampling sampling = {.temperature = 1, .top_k = 3, .top_p = 0.71};
  check_kept(&sampling, "13");
  sampling.top_p = 0.72;
  check_kept(&sampling, "135");
  sampling.min_p = 0.67;
  check_kept(&sampling, "1");
}
END_TEST

/* At temperature 0.5 the squares count: 1 alone has 0.09 / 0.1928 = 0.47. */
START_TEST(temperature_comes_before_the_filters) {
  llq_sampling sampling = {.temperature = 0.5, .top_p = 0.46};
  check_kept(&sampling, "1");
  sampling.top_p = 0.47;
  check_kept(&sampling, "13");
}
END_TEST

START_TEST(filters_agree_with_a_full_sort_on_large_rows) {
  enum { LARGE = 5000 };
  static float row[LARGE];
  static double weight[LARGE];
  struct llqi_sampler large;
  struct llqi_top top;
  ck_assert_llq_ok(llqi_sampler_open(&large, LARGE));
  for (uint64_t i = 0; i < LARGE; i++) /* steps of 1/8: many ties */
    row[i] = (float)floor(llqi_uniform(7, 0, i) * 64) / 8;
  ck_assert(llqi_logits_top(row, LARGE, &top));
  for (int i = 0; i < LARGE; i++)
    weight[i] = exp((double)row[i] - top.largest);
  for (int k = 1; k <= LARGE; k += 333) {
    llq_sampling sampling = {.temperature = 1, .top_k = k};
    for (int j = 0; j < 50; j++) {
      int32_t id = draw_from(&large, row, &sampling, (j + 0.5) / 50);
      int n_before = 0; /* tokens that rank before it */
      for (int i = 0; i < LARGE; i++)
        n_before +=
            weight[i] > weight[id] || (weight[i] == weight[id] && i < id);
      ck_assert_int_lt(n_before, k);
    }
  }
  llqi_sampler_close(&large);
}
END_TEST

/* 99.9 % of chi-square with 7 degrees of freedom lies below 24.32; the seed is
   fixed, so this passes always or never. */
START_TEST(draws_follow_the_distribution) {
  llq_sampling sampling = {.temperature = 1};
  const int n = 40000;
  int counts[N] = {0};
  for (int i = 0; i < n; i++)
    counts[draw(&sampling, llqi_uniform(11, (uint64_t)i % 50, (uint64_t)i))]++;
  double chi2 = 0;
  for (int i = 0; i < N; i++) {
    double expected = n * probabilities[i];
    chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  ck_assert_double_lt(chi2, 24.32);
  ck_assert_double_gt(chi2, 0.6); /* nor better than chance: 0.1 % */
}
END_TEST

START_TEST(wrong_numbers_are_named) {
  static const struct {
    llq_sampling sampling;
    const char *name;
  } cases[] = {
      {{.temperature = -1}, "temperature is -1"},
      {{.temperature = NAN}, "temperature is nan"},
      {{.temperature = INFINITY}, "temperature is inf"},
      {{.top_p = 1.5}, "top_p is 1.5"},
      {{.top_p = -0.5}, "top_p is -0.5"},
      {{.min_p = 2}, "min_p is 2"},
      {{.min_p = NAN}, "min_p is nan"},
      {{.top_k = -3}, "top_k is -3"},
      {{.n_tokens_max = -1}, "n_tokens_max is -1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    llqi_error_clear();
    ck_assert_llq_fails(llqi_sampling_check(&cases[i].sampling),
                        LLQ_ERROR_ARGUMENT, cases[i].name);
  }
}
END_TEST

START_TEST(a_sampler_without_memory_fails_cleanly) {
  for (long n = 1; n <= 2; n++) {
    struct llqi_sampler poor;
    llqi_error_clear();
    llqi_alloc_fail_at(n, 0);
    int status = llqi_sampler_open(&poor, 100);
    llqi_alloc_fail_at(0, 0);
    ck_assert_int_eq(status, LLQ_ERROR_MEMORY);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("sampling");
  TCase *tests = tcase_create("sampling");
  tcase_add_checked_fixture(tests, set_up, tear_down);
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, greedy_takes_the_smaller_id_on_a_tie);
  tcase_add_test(tests, the_margin_is_between_the_two_largest_logits);
  tcase_add_test(tests, logits_that_are_no_distribution_are_noticed);
  tcase_add_test(tests, all_tokens_are_drawn_by_their_probability);
  tcase_add_test(tests, temperature_sharpens_and_flattens);
  tcase_add_test(tests, tiny_and_huge_temperatures_stay_finite);
  tcase_add_test(tests, top_k_keeps_exactly_k);
  tcase_add_test(tests, top_p_keeps_the_fewest_that_reach_p);
  tcase_add_test(tests, top_p_reached_exactly_keeps_no_more);
  tcase_add_test(tests, min_p_keeps_those_likely_enough);
  tcase_add_test(tests, filters_apply_in_the_documented_order);
  tcase_add_test(tests, temperature_comes_before_the_filters);
  tcase_add_test(tests, filters_agree_with_a_full_sort_on_large_rows);
  tcase_add_test(tests, draws_follow_the_distribution);
  tcase_add_test(tests, wrong_numbers_are_named);
  tcase_add_test(tests, a_sampler_without_memory_fails_cleanly);
  suite_add_tcase(suite, tests);
  return suite;
}
