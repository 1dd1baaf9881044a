/* SPDX-License-Identifier: Apache-2.0 */
/* What verdicts allow one to say: estimates, intervals, tests. Pure functions
   of numbers; those that draw are deterministic for a seed. */
#ifndef LLQI_EVALUATOR_STATISTICS_H
#define LLQI_EVALUATOR_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

/* Bounds of a 95 % interval. */
struct llqi_interval {
  double low, high;
};

/* The unbiased estimate of pass@k from n samples of which c passed,
   1 - C(n - c, k) / C(n, k) (Chen et al., "Evaluating large language models
   trained on code", arXiv 2107.03374, section 2.1). 1 <= k <= n. */
double llqi_pass_at_k(uint64_t n, uint64_t c, uint64_t k);

/* Mean of n values; 0 for none. */
double llqi_mean(const double *values, size_t n);

/* Standard error of the mean of n independent values; 0 for fewer than two. */
double llqi_standard_error(const double *values, size_t n);

/* Wilson's score interval for a proportion (E. B. Wilson, JASA 22, 1927);
   n > 0. */
struct llqi_interval llqi_wilson(uint64_t n_passed, uint64_t n);

/* Percentile bootstrap of the mean of one value a task, over resampled tasks:
   samples of a task stay together, so their dependence counts. n > 0. */
int llqi_bootstrap_mean(const double *values, size_t n, uint64_t seed,
                        struct llqi_interval *out);

/* Two-sided exact McNemar test: the chance that of `lost` + `gained` flips,
   each as likely to be one as the other, so unequal a split or a more unequal
   one arises. */
double llqi_mcnemar(uint64_t lost, uint64_t gained);

/* A difference B - A of two runs over the same tasks. */
struct llqi_difference {
  double value;
  struct llqi_interval ci95;
  double p;          /* two-sided, of no difference */
  double detectable; /* the smallest true difference that a comparison like
                        this one would show, at p < 0.05, four times in five */
};

/* One sample a task, of n tasks: the exact McNemar test and Bonett and Price's
   adjusted Wald interval (J. Educ. Behav. Stat. 37(4), 2012).
   detectable = max((z_0.975 + z_0.8) * that interval's standard error, 6 / n):
   the normal approximation (as in E. Miller, "Adding error bars to evals",
   arXiv 2411.00640, section 5), but no less than six flips one way, since
   2 * 0.5^6 = 0.03 is the exact test's first p below 0.05. */
struct llqi_difference llqi_compare_flips(uint64_t lost, uint64_t gained,
                                          uint64_t n);

/* Several samples a task: a and b hold each task's pass rate. Tasks are drawn
   in pairs. The interval is the percentile bootstrap's; p is the share of
   resampled differences, moved to mean 0, that lie as far from 0 as the
   observed one (Efron and Tibshirani, "An introduction to the bootstrap",
   1993, section 16.4), counting the observed one.
   detectable = (z_0.975 + z_0.8) * the standard error of the paired mean. */
int llqi_compare_rates(const double *a, const double *b, size_t n,
                       uint64_t seed, struct llqi_difference *out);

#endif
