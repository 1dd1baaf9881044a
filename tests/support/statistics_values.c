/* SPDX-License-Identifier: Apache-2.0 */
/* Answers questions such as "wilson 5 10" on standard input with numbers on
   standard output, for oracle_statistics.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator/statistics.h"

#define N_MAX 1000

static unsigned long long whole(void) {
  unsigned long long n;
  if (scanf("%llu", &n) != 1)
    exit(2);
  return n;
}

static void reals(double *values, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (scanf("%lf", &values[i]) != 1)
      exit(2);
  }
}

static void print_difference(struct llqi_difference d) {
  printf("%.17g %.17g %.17g %.17g %.17g\n", d.value, d.ci95.low, d.ci95.high,
         d.p, d.detectable);
}

static void answer(const char *question) {
  static double a[N_MAX], b[N_MAX];
  struct llqi_interval interval;
  struct llqi_difference difference;
  unsigned long long x = whole(), y, z;
  if (strcmp(question, "pass") == 0) {
    y = whole(), z = whole();
    printf("%.17g\n", llqi_pass_at_k(x, y, z));
  } else if (strcmp(question, "wilson") == 0) {
    interval = llqi_wilson(x, whole());
    printf("%.17g %.17g\n", interval.low, interval.high);
  } else if (strcmp(question, "flips") == 0) {
    y = whole(), z = whole();
    print_difference(llqi_compare_flips(x, y, z));
  } else if (strcmp(question, "mean") == 0 && x <= N_MAX) {
    reals(a, x);
    if (llqi_bootstrap_mean(a, x, 1, &interval) < 0)
      exit(1);
    printf("%.17g %.17g\n", interval.low, interval.high);
  } else if (strcmp(question, "rates") == 0 && x <= N_MAX) {
    reals(a, x);
    reals(b, x);
    if (llqi_compare_rates(a, b, x, 1, &difference) < 0)
      exit(1);
    print_difference(difference);
  } else {
    exit(2);
  }
}

int main(void) {
  char question[16];
  while (scanf("%15s", question) == 1)
    answer(question);
  return 0;
}
