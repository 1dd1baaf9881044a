/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/statistics.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/status.h"

#define N_RESAMPLES 10000
#define Z_975 1.959963984540054 /* standard normal quantiles */
#define Z_800 0.8416212335729143
/* The fewest flips, all one way, that the exact test calls significant. */
#define FLIPS_SIGNIFICANT 6

double llqi_pass_at_k(uint64_t n, uint64_t c, uint64_t k) {
  if (n - c < k)
    return 1;
  double all_fail = 1;
  for (uint64_t i = n - c + 1; i <= n; i++)
    all_fail *= 1 - (double)k / (double)i;
  return 1 - all_fail;
}

double llqi_mean(const double *values, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += values[i];
  return n > 0 ? sum / (double)n : 0;
}

double llqi_standard_error(const double *values, size_t n) {
  if (n < 2)
    return 0;
  double mean = llqi_mean(values, n), squares = 0;
  for (size_t i = 0; i < n; i++)
    squares += (values[i] - mean) * (values[i] - mean);
  return sqrt(squares / (double)(n - 1) / (double)n);
}

struct llqi_interval llqi_wilson(uint64_t n_passed, uint64_t n) {
  const double z2 = Z_975 * Z_975, count = (double)n;
  double p = (double)n_passed / count;
  double centre = (p + z2 / (2 * count)) / (1 + z2 / count);
  double half = Z_975 / (1 + z2 / count) *
                sqrt(p * (1 - p) / count + z2 / (4 * count * count));
  return (struct llqi_interval){n_passed == 0 ? 0 : centre - half,
                                n_passed == n ? 1 : centre + half};
}

/* The mean of n values drawn with replacement: draw number `resample`. */
static double resampled_mean(const double *values, size_t n, uint64_t seed,
                             uint32_t resample) {
  double sum = 0;
  for (size_t i = 0; i < n; i += 4) {
    const uint32_t counter[4] = {(uint32_t)(i / 4), resample, 0, 0};
    uint32_t draws[4];
    llqi_philox(seed, counter, draws);
    for (size_t j = 0; j < 4 && i + j < n; j++)
      sum += values[(uint64_t)draws[j] * n >> 32];
  }
  return sum / (double)n;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* N_RESAMPLES resampled means in ascending order, the caller's to llqi_free. */
static int resample(const double *values, size_t n, uint64_t seed,
                    double **out) {
  *out = NULL;
  LLQ_REQUIRE(n > 0 && n <= UINT32_MAX, "bootstrap of %zu tasks", n);
  double *means = llqi_array(N_RESAMPLES, sizeof *means);
  if (means == NULL)
    return LLQ_ERROR_MEMORY;
  for (uint32_t i = 0; i < N_RESAMPLES; i++)
    means[i] = resampled_mean(values, n, seed, i);
  qsort(means, N_RESAMPLES, sizeof *means, by_value);
  *out = means;
  return LLQ_OK;
}

/* Interpolated between neighbours, as NumPy does by default. */
static double quantile(const double *sorted, double q) {
  double at = q * (N_RESAMPLES - 1);
  size_t i = (size_t)at;
  return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

static struct llqi_interval percentiles(const double *sorted) {
  return (struct llqi_interval){quantile(sorted, 0.025),
                                quantile(sorted, 0.975)};
}

int llqi_bootstrap_mean(const double *values, size_t n, uint64_t seed,
                        struct llqi_interval *out) {
  double *means;
  LLQ_TRY(resample(values, n, seed, &means));
  *out = percentiles(means);
  llqi_free(means);
  return LLQ_OK;
}

double llqi_mcnemar(uint64_t lost, uint64_t gained) {
  double n = (double)(lost + gained), tail = 0;
  uint64_t fewer = lost < gained ? lost : gained;
  int sign;
  for (uint64_t i = 0; i <= fewer; i++)
    tail += exp(lgamma_r(n + 1, &sign) - lgamma_r((double)i + 1, &sign) -
                lgamma_r(n - (double)i + 1, &sign) - n * M_LN2);
  return fmin(1, 2 * tail);
}

struct llqi_difference llqi_compare_flips(uint64_t lost, uint64_t gained,
                                          uint64_t n) {
  const double count = (double)n + 2;
  double up = ((double)gained + 1) / count, down = ((double)lost + 1) / count;
  double error = sqrt((up + down - (up - down) * (up - down)) / count);
  double value = ((double)gained - (double)lost) / (double)n;
  return (struct llqi_difference){
      .value = value,
      .ci95 = {fmax(-1, up - down - Z_975 * error),
               fmin(1, up - down + Z_975 * error)},
      .p = llqi_mcnemar(lost, gained),
      .detectable =
          fmin(1, fmax((Z_975 + Z_800) * error, FLIPS_SIGNIFICANT / (double)n)),
  };
}

/* How many of the resampled means lie as far from their centre as the
   observed difference from 0. The tolerance keeps equal sums that were added
   in another order equal. */
static size_t count_extreme(const double *means, double observed) {
  const double far = fabs(observed) * (1 - 1e-12);
  size_t n = 0;
  for (size_t i = 0; i < N_RESAMPLES; i++)
    n += fabs(means[i] - observed) >= far;
  return n;
}

int llqi_compare_rates(const double *a, const double *b, size_t n,
                       uint64_t seed, struct llqi_difference *out) {
  double *differences = llqi_array(n, sizeof *differences), *means = NULL;
  if (differences == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n; i++)
    differences[i] = b[i] - a[i];
  int status = resample(differences, n, seed, &means);
  if (status >= 0) {
    double observed = llqi_mean(differences, n);
    *out = (struct llqi_difference){
        .value = observed,
        .ci95 = percentiles(means),
        .p = (double)(count_extreme(means, observed) + 1) / (N_RESAMPLES + 1),
        .detectable = (Z_975 + Z_800) * llqi_standard_error(differences, n),
    };
  }
  llqi_free(means);
  llqi_free(differences);
  return status;
}
