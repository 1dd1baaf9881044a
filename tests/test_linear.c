/* SPDX-License-Identifier: Apache-2.0 */
/* The linear of every backend against the reference: every format, odd shapes,
   1 to 40 rows, extreme values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "guarded.h"
#include "support.h"
#include "tensor/dtype.h"
#include "weights.h"

/* Of the largest output of a row. Sums of up to 1,200 products in float; and
   one rounding to bf16, 2^-8 at most. Int8 products are exact, and scaled in
   the order that the reference scales in. */
#define TOLERANCE_F32 4e-6f
#define TOLERANCE_BF16 3.9e-3f
#define TOLERANCE_INT8_F32 0

#define ROWS_MAX 40

static const int64_t shapes[][2] = {{1, 8},    {5, 24},    {67, 96},
                                    {19, 384}, {130, 264}, {33, 1152},
                                    {96, 512}, {200, 768}};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

/* The first n_rows rows of x through the linear. */
static void multiply(llq_backend *backend,
                     const struct llqi_linear_handle *linear, const float *x,
                     int64_t n_rows, int x_type, int out_type, float *y) {
  struct guarded in = guarded_open(backend, n_rows, linear->n_in, x_type);
  struct guarded out = guarded_open(backend, n_rows, linear->n_out, out_type);
  guarded_set(&in, x);
  ck_assert_llq_ok(llqi_op_linear(backend, linear, &in.view, &out.view));
  guarded_get(&out, y);
  guarded_close(&in);
  guarded_close(&out);
}

/* GPUs multiply 2^-32 of integer weights with activations that are no codes. */
static float smallest_input(const struct weight_format *format) {
  int is_integer =
      format->format == LLQ_WEIGHT_INT4 || format->format == LLQ_WEIGHT_INT8;
  return is_integer && format->activation == LLQ_ACTIVATION_NONE ? 1e-24f
                                                                 : 1e-36f;
}

static void random_inputs(const struct weight_format *format, float *x,
                          int64_t n_in) {
  normal_values(17, 1, x, (size_t)(ROWS_MAX * n_in));
  for (int64_t i = 0; i < n_in; i++) {
    x[1 * n_in + i] = 0;
    x[2 * n_in + i] *= 1e18f;
    x[3 * n_in + i] *= smallest_input(format);
  }
  x[4 * n_in + n_in / 2] = NAN;
  x[5 * n_in + n_in - 1] = INFINITY;
  x[6 * n_in] = -INFINITY;
}

static float tolerance_of(const struct weight_format *format, int out_type) {
  if (out_type == LLQ_BF16)
    return TOLERANCE_BF16;
  return format->activation == LLQ_ACTIVATION_INT8 ? TOLERANCE_INT8_F32
                                                   : TOLERANCE_F32;
}

struct sides {
  llq_backend *reference, *subject;
  struct llqi_linear_handle expected, found;
};

static void compare(const struct sides *sides,
                    const struct weight_format *format, const float *x,
                    int x_type, int out_type) {
  int64_t n_out = sides->found.n_out, n_in = sides->found.n_in;
  size_t n = (size_t)(ROWS_MAX * n_out);
  float *expected = malloc(n * sizeof *expected);
  float *found = malloc(n * sizeof *found), *part = malloc(n * sizeof *part);
  char what[80];
  snprintf(what, sizeof what, "%s [%d, %d]", format->name, (int)n_out,
           (int)n_in);
  multiply(sides->reference, &sides->expected, x, ROWS_MAX, x_type, out_type,
           expected);
  multiply(sides->subject, &sides->found, x, ROWS_MAX, x_type, out_type, found);
  expect_close(expected, found, ROWS_MAX, n_out, tolerance_of(format, out_type),
               what);
  for (int rows = 1; rows < ROWS_MAX; rows += rows < 14 ? 1 : 5) {
    multiply(sides->subject, &sides->found, x, rows, x_type, out_type, part);
    ck_assert_msg(
        memcmp(found, part, (size_t)(rows * n_out) * sizeof *part) == 0,
        "%s: %d rows differ from the same rows among %d", what, rows, ROWS_MAX);
  }
  free(expected);
  free(found);
  free(part);
}

static void compare_weight(llq_backend *reference, llq_backend *subject,
                           const struct weight_format *format,
                           const llq_weight *weight) {
  static const int types[][2] = {
      {LLQ_F32, LLQ_F32}, {LLQ_BF16, LLQ_BF16}, {LLQ_BF16, LLQ_F32}};
  float *x = malloc((size_t)(ROWS_MAX * weight->n_in) * sizeof *x);
  random_inputs(format, x, weight->n_in);
  for (int t = 0; t < 3; t++) {
    struct sides sides = {reference, subject, {0}, {0}};
    int compute = types[t][0];
    ck_assert_llq_ok(
        llqi_linear_upload(reference, weight, compute, &sides.expected));
    ck_assert_llq_ok(
        llqi_linear_upload(subject, weight, compute, &sides.found));
    compare(&sides, format, x, compute, types[t][1]);
    llqi_linear_free(reference, &sides.expected);
    llqi_linear_free(subject, &sides.found);
  }
  free(x);
}

static int n_subjects;

START_TEST(a_linear_is_the_reference_s_whatever_the_rows) {
  llq_backend *reference = open_reference();
  llq_backend *subject = open_subject(_i / n_weight_formats);
  const struct weight_format *format = &weight_formats[_i % n_weight_formats];
  int n_compared = 0;
  for (int s = 0; s < N_SHAPES; s++) {
    llq_weight weight;
    if (!random_weight(format, shapes[s][0], shapes[s][1], &weight))
      continue;
    compare_weight(reference, subject, format, &weight);
    random_weight_free(&weight);
    n_compared++;
  }
  ck_assert_int_gt(n_compared, 0);
  llq_backend_close(subject);
  llq_backend_close(reference);
}
END_TEST

/* All CPU kernels but the plain ones add in one order. */
START_TEST(instruction_sets_give_the_same_bits) {
  const struct weight_format *format = &weight_formats[_i];
  static float first[ROWS_MAX * 200], other[ROWS_MAX * 200];
  llq_weight weight;
  ck_assert_int_eq(random_weight(format, 200, 768, &weight), 1);
  float *x = malloc((size_t)(ROWS_MAX * weight.n_in) * sizeof *x);
  random_inputs(format, x, weight.n_in);
  int n_compared = 0;
  for (int s = 0; s < n_subjects; s++) {
    if (strncmp(subjects[s], "cpu", 3) != 0)
      continue;
    llq_backend *subject = open_subject(s);
    struct llqi_linear_handle linear;
    ck_assert_llq_ok(llqi_linear_upload(subject, &weight, LLQ_F32, &linear));
    multiply(subject, &linear, x, ROWS_MAX, LLQ_F32, LLQ_F32,
             n_compared > 0 ? other : first);
    if (n_compared++ > 0)
      for (int i = 0; i < ROWS_MAX * 200; i++)
        ck_assert(other[i] == first[i] || (isnan(other[i]) && isnan(first[i])));
    llqi_linear_free(subject, &linear);
    llq_backend_close(subject);
  }
  free(x);
  random_weight_free(&weight);
}
END_TEST

/* Weights that a checkpoint should not have, but may. */
START_TEST(weights_that_are_no_numbers_reach_the_output) {
  llq_backend *reference = open_reference(), *subject = open_subject(_i);
  llq_weight weight;
  random_weight(&weight_formats[7], 67, 96, &weight);
  ((uint8_t *)weight.data)[5] = 0x7f;
  compare_weight(reference, subject, &weight_formats[7], &weight);
  random_weight_free(&weight);
  random_weight(&weight_formats[14], 33, 1152, &weight);
  ((uint16_t *)weight.scale)[3] = 0x7f80;
  compare_weight(reference, subject, &weight_formats[14], &weight);
  random_weight_free(&weight);
  random_weight(&weight_formats[16], 33, 1152,
                &weight); /* one group has too many */
  ((int32_t *)weight.group_index)[0] = 1 - weight.group_index[0] % 2;
  compare_weight(reference, subject, &weight_formats[16], &weight);
  random_weight_free(&weight);
  llq_backend_close(subject);
  llq_backend_close(reference);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("linear");
  TCase *tests = tcase_create("linear");
  n_subjects = find_subjects();
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, a_linear_is_the_reference_s_whatever_the_rows, 0,
                      n_subjects * n_weight_formats);
  tcase_add_loop_test(tests, instruction_sets_give_the_same_bits, 0,
                      n_weight_formats);
  tcase_add_loop_test(tests, weights_that_are_no_numbers_reach_the_output, 0,
                      n_subjects);
  suite_add_tcase(suite, tests);
  return suite;
}
