/* SPDX-License-Identifier: Apache-2.0 */
/* Estimates, intervals and tests against values worked out by hand; agreement
   with SciPy and statsmodels is in oracle_statistics.py. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "evaluator/statistics.h"
#include "support.h"

START_TEST(pass_at_k_is_unbiased) {
  ck_assert_double_eq_tol(llqi_pass_at_k(5, 2, 1), 0.4, 1e-15);
  /* 1 - C(3, 2) / C(5, 2) */
  ck_assert_double_eq_tol(llqi_pass_at_k(5, 2, 2), 0.7, 1e-15);
  ck_assert_double_eq_tol(llqi_pass_at_k(50, 1, 10), 0.2, 1e-14);
  ck_assert_double_eq(llqi_pass_at_k(50, 0, 10), 0);
  ck_assert_double_eq(llqi_pass_at_k(5, 4, 2), 1);
  ck_assert_double_eq(llqi_pass_at_k(1, 1, 1), 1);
}
END_TEST

START_TEST(wilson_intervals_stay_within_zero_and_one) {
  struct llqi_interval half = llqi_wilson(5, 10);
  ck_assert_double_eq_tol(half.low, 0.236593090512564, 1e-12);
  ck_assert_double_eq_tol(half.high, 0.763406909487436, 1e-12);
  struct llqi_interval none = llqi_wilson(0, 10), all = llqi_wilson(10, 10);
  ck_assert_double_eq(none.low, 0);
  ck_assert_double_eq_tol(none.high, 0.277532799862889, 1e-12);
  ck_assert_double_eq_tol(all.low, 1 - none.high, 1e-12);
  ck_assert_double_eq(all.high, 1);
}
END_TEST

START_TEST(mcnemar_is_the_exact_binomial_test) {
  ck_assert_double_eq(llqi_mcnemar(0, 0), 1);
  ck_assert_double_eq(llqi_mcnemar(4, 4), 1);
  ck_assert_double_eq_tol(llqi_mcnemar(0, 5), 0.0625, 1e-14);
  ck_assert_double_eq_tol(llqi_mcnemar(6, 0), 0.03125, 1e-14);
  ck_assert_double_eq_tol(llqi_mcnemar(5, 1), 0.21875, 1e-14);
  /* 2 * (1 + 12 + 66) / 2^12 */
  ck_assert_double_eq_tol(llqi_mcnemar(10, 2), 158.0 / 4096, 1e-14);
  ck_assert_double_gt(llqi_mcnemar(3000, 3000), 0.99);
  ck_assert_double_lt(llqi_mcnemar(3000, 2000), 1e-40);
}
END_TEST

START_TEST(runs_without_flips_do_not_differ_but_little_could_be_seen) {
  struct llqi_difference same = llqi_compare_flips(0, 0, 164);
  ck_assert_double_eq(same.value, 0);
  ck_assert_double_eq(same.p, 1);
  ck_assert_double_eq_tol(same.ci95.low, -same.ci95.high, 1e-15);
  ck_assert_double_gt(same.ci95.high, 0.01);
  ck_assert_double_eq_tol(same.detectable, 6.0 / 164, 1e-15);
}
END_TEST

START_TEST(flips_give_a_signed_difference_with_its_interval) {
  struct llqi_difference worse = llqi_compare_flips(12, 2, 164);
  ck_assert_double_eq_tol(worse.value, -10.0 / 164, 1e-15);
  ck_assert_double_lt(worse.ci95.low, worse.value);
  ck_assert_double_gt(worse.ci95.high, worse.value);
  ck_assert_double_lt(worse.ci95.high, 0);
  ck_assert_double_lt(worse.p, 0.05);
  struct llqi_difference better = llqi_compare_flips(2, 12, 164);
  ck_assert_double_eq_tol(better.value, -worse.value, 1e-15);
  ck_assert_double_eq(better.p, worse.p);
  ck_assert_double_eq_tol(better.ci95.low, -worse.ci95.high, 1e-15);
}
END_TEST

START_TEST(more_flips_hide_a_larger_difference) {
  double few = llqi_compare_flips(5, 5, 164).detectable;
  double many = llqi_compare_flips(30, 30, 164).detectable;
  ck_assert_double_gt(many, few);
  ck_assert_double_lt(llqi_compare_flips(30, 30, 1640).detectable, many);
}
END_TEST

static void fill(double *values, size_t n, double low, double step) {
  for (size_t i = 0; i < n; i++)
    values[i] = low + step * (double)(i % 10);
}

START_TEST(the_bootstrap_is_deterministic_for_a_seed) {
  double values[40];
  fill(values, 40, 0, 0.1);
  struct llqi_interval a, b, c;
  ck_assert_llq_ok(llqi_bootstrap_mean(values, 40, 1, &a));
  ck_assert_llq_ok(llqi_bootstrap_mean(values, 40, 1, &b));
  ck_assert_llq_ok(llqi_bootstrap_mean(values, 40, 2, &c));
  ck_assert_mem_eq(&a, &b, sizeof a);
  ck_assert(a.low != c.low || a.high != c.high);
  ck_assert_double_lt(a.low, 0.45);
  ck_assert_double_gt(a.high, 0.45);
}
END_TEST

START_TEST(the_bootstrap_has_the_width_of_the_standard_error) {
  double values[200];
  fill(values, 200, 0, 0.1);
  double error = llqi_standard_error(values, 200);
  ck_assert_double_eq_tol(error, sqrt(16.5 / 199 / 200), 1e-12);
  struct llqi_interval interval;
  ck_assert_llq_ok(llqi_bootstrap_mean(values, 200, 3, &interval));
  ck_assert_double_eq_tol(interval.high - interval.low, 2 * 1.96 * error,
                          0.05 * error);
}
END_TEST

START_TEST(equal_rates_are_no_difference) {
  double a[20];
  fill(a, 20, 0, 0.1);
  struct llqi_difference same;
  ck_assert_llq_ok(llqi_compare_rates(a, a, 20, 1, &same));
  ck_assert_double_eq(same.value, 0);
  ck_assert_double_eq(same.p, 1);
  ck_assert_double_eq(same.ci95.low, 0);
  ck_assert_double_eq(same.ci95.high, 0);
}
END_TEST

START_TEST(a_steady_loss_is_significant_and_a_lone_one_is_not) {
  double a[100], b[100];
  fill(a, 100, 0.1, 0.09);
  for (size_t i = 0; i < 100; i++)
    b[i] = a[i] - (i % 2 == 0 ? 0.1 : 0.02);
  struct llqi_difference steady;
  ck_assert_llq_ok(llqi_compare_rates(a, b, 100, 1, &steady));
  ck_assert_double_eq_tol(steady.value, -0.06, 1e-12);
  ck_assert_double_lt(steady.p, 0.001);
  ck_assert_double_lt(steady.ci95.high, 0);
  memcpy(b, a, sizeof b);
  b[7] -= 0.5;
  struct llqi_difference lone;
  ck_assert_llq_ok(llqi_compare_rates(a, b, 100, 1, &lone));
  ck_assert_double_gt(lone.p, 0.2);
  ck_assert_double_eq(lone.ci95.high, 0);
}
END_TEST

START_TEST(running_out_of_memory_is_reported) {
  double values[4] = {0, 0, 1, 1};
  struct llqi_interval interval;
  struct llqi_difference difference;
  llqi_alloc_fail_at(1, 0);
  ck_assert_int_eq(llqi_bootstrap_mean(values, 4, 1, &interval),
                   LLQ_ERROR_MEMORY);
  for (int n = 1; n <= 2; n++) {
    llqi_alloc_fail_at(n, 0);
    ck_assert_int_eq(llqi_compare_rates(values, values, 4, 1, &difference),
                     LLQ_ERROR_MEMORY);
  }
  llqi_alloc_fail_at(0, 0);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("statistics");
  TCase *test = tcase_create("statistics");
  tcase_add_test(test, pass_at_k_is_unbiased);
  tcase_add_test(test, wilson_intervals_stay_within_zero_and_one);
  tcase_add_test(test, mcnemar_is_the_exact_binomial_test);
  tcase_add_test(test,
                 runs_without_flips_do_not_differ_but_little_could_be_seen);
  tcase_add_test(test, flips_give_a_signed_difference_with_its_interval);
  tcase_add_test(test, more_flips_hide_a_larger_difference);
  tcase_add_test(test, the_bootstrap_is_deterministic_for_a_seed);
  tcase_add_test(test, the_bootstrap_has_the_width_of_the_standard_error);
  tcase_add_test(test, equal_rates_are_no_difference);
  tcase_add_test(test, a_steady_loss_is_significant_and_a_lone_one_is_not);
  tcase_add_test(test, running_out_of_memory_is_reported);
  suite_add_tcase(suite, test);
  return suite;
}
