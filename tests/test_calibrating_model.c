/* SPDX-License-Identifier: Apache-2.0 */
/* GPTQ of llq-micro as a whole on every backend that has operations of
   calibration, beside the reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llq/quantizer.h>

#include "base/status.h"
#include "guarded.h"
#include "support.h"

static int n_subjects;

#define N_LINEARS 70 /* of llq-micro */

static const struct {
  const char *scheme, *method, *order, *observer;
  int asymmetric;
} methods[] = {
    {"w4a16-int", "gptq", NULL, NULL, 0},
    {"w4a16-int", "gptq", "none", "mse", 1},
    {"w4a16-int", "gptq", "group", NULL, 0},
    {"w8a16-int", "gptq", NULL, NULL, 0},
    {"w4a16-int", "awq+gptq", NULL, NULL, 0},
};
#define N_METHODS ((int)(sizeof methods / sizeof methods[0]))

/* What linears lose, all on the original's activations. */
static void quantize_micro(llq_backend *backend, int m, double *errors) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  llq_model *model;
  llq_quantizer *quantizer;
  char path[1000];
  options.scheme = methods[m].scheme;
  options.method = methods[m].method;
  options.order = methods[m].order;
  options.observer = methods[m].observer;
  options.asymmetric = methods[m].asymmetric;
  options.n_samples = 16;
  options.is_parallel = options.measure = 1;
  snprintf(path, sizeof path, "%s/llq-micro/calibration.jsonl",
           getenv("LLQ_DATA"));
  ck_assert_llq_ok(llq_model_open(&model, "llq-micro", NULL));
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, backend, model, &options));
  ck_assert_llq_ok(llq_quantizer_calibrate_file(quantizer, path));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  for (uint64_t i = 0; i < N_LINEARS; i++) {
    llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
    ck_assert_llq_ok(llq_quantizer_linear(quantizer, i, &linear));
    errors[i] = linear.error / linear.power;
  }
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}

START_TEST(a_model_loses_what_it_loses_by_the_reference) {
  const int m = _i % N_METHODS;
  double errors[2][N_LINEARS], sums[2] = {0}, farthest = 0;
  if (strncmp(subjects[_i / N_METHODS], "cpu", 3) == 0)
    return; /* its operations of calibration are the reference's */
  llq_backend *both[] = {NULL, open_subject(_i / N_METHODS)};
  ck_assert_llq_ok(llq_backend_open(&both[0], "cpu", NULL));
  for (int b = 0; b < 2; b++) {
    quantize_micro(both[b], m, errors[b]);
    llq_backend_close(both[b]);
    for (int i = 0; i < N_LINEARS; i++)
      sums[b] += errors[b][i];
  }
  for (int i = 0; i < N_LINEARS; i++)
    farthest = fmax(farthest, fabs(errors[1][i] / errors[0][i] - 1));
  printf("# %s, %s, %s, order %s: %.5f of the reference's loss; one linear's "
         "at most %.1f %% from it\n",
         subjects[_i / N_METHODS], methods[m].scheme, methods[m].method,
         methods[m].order != NULL ? methods[m].order : "static",
         sums[1] / sums[0], 100 * farthest);
  ck_assert_double_eq_tol(sums[1], sums[0], 0.01 * sums[0]);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("calibrating_model");
  TCase *tests = tcase_create("calibrating_model");
  n_subjects = find_calibrating_subjects();
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, a_model_loses_what_it_loses_by_the_reference, 0,
                      n_subjects * N_METHODS);
  suite_add_tcase(suite, tests);
  return suite;
}
