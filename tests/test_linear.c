/* SPDX-License-Identifier: Apache-2.0 */
/* The linear of every backend against the reference: every format, odd shapes,
   1 to 40 rows, extreme values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "guarded.h"
#include "support.h"
#include "tensor/dtype.h"

/* Of the largest output of a row. Sums of up to 1,200 products in float; and
   one rounding to bf16, 2^-8 at most. Int8 products are exact, and scaled in
   the order that the reference scales in. */
#define TOLERANCE_F32 4e-6f
#define TOLERANCE_BF16 3.9e-3f
#define TOLERANCE_INT8_F32 0

#define ROWS_MAX 40

struct format {
  const char *name;
  int format, dtype, activation, group_size; /* 0: per channel */
  int has_zero, has_order;
};

static const struct format formats[] = {
    {"f32", LLQ_WEIGHT_DENSE, LLQ_F32, 0, 0, 0, 0},
    {"f16", LLQ_WEIGHT_DENSE, LLQ_F16, 0, 0, 0, 0},
    {"bf16", LLQ_WEIGHT_DENSE, LLQ_BF16, 0, 0, 0, 0},
    {"w8a16-int", LLQ_WEIGHT_INT8, LLQ_BF16, 0, 0, 0, 0},
    {"w8a16-int f16", LLQ_WEIGHT_INT8, LLQ_F16, 0, 0, 0, 0},
    {"w8a16-int groups", LLQ_WEIGHT_INT8, LLQ_BF16, 0, 32, 0, 0},
    {"w8a8-int", LLQ_WEIGHT_INT8, LLQ_BF16, LLQ_ACTIVATION_INT8, 0, 0, 0},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_BF16, LLQ_ACTIVATION_FP8, 0, 0, 0},
    {"w8a16-fp", LLQ_WEIGHT_FP8, LLQ_F32, 0, 0, 0, 0},
    {"w4a16-int", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 0, 0, 0},
    {"w4a16-int f32", LLQ_WEIGHT_INT4, LLQ_F32, 0, 0, 1, 0},
    {"w4a16-int 32", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 32, 1, 0},
    {"w4a16-int 64", LLQ_WEIGHT_INT4, LLQ_F16, 0, 64, 0, 0},
    {"w4a16-int 96", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 96, 0, 0},
    {"w4a16-int 128", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 128, 0, 0},
    {"w4a16-int 128 zero", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 128, 1, 0},
    {"w4a16-int 128 order", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 128, 1, 1},
    {"w4a16-int 256", LLQ_WEIGHT_INT4, LLQ_BF16, 0, 256, 0, 0},
};
#define N_FORMATS ((int)(sizeof formats / sizeof formats[0]))

static const int64_t shapes[][2] = {{1, 8},    {5, 24},    {67, 96},
                                    {19, 384}, {130, 264}, {33, 1152},
                                    {96, 512}, {200, 768}};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static uint32_t random_bits(uint64_t seed, uint64_t i) {
  return (uint32_t)(llqi_uniform(seed, 7, i) * 4294967296.0);
}

static void random_codes(const llq_weight *weight, uint8_t *data, size_t n) {
  for (size_t i = 0; i < n; i++) {
    data[i] = (uint8_t)random_bits(11, i);
    if (weight->format == LLQ_WEIGHT_FP8 && (data[i] & 0x7f) == 0x7f)
      data[i] = 0x7e; /* NaN to the largest number */
  }
}

static void *random_floats(int dtype, float sigma, size_t n) {
  float *values = malloc(n * sizeof *values);
  void *out = malloc(n * sizeof *values);
  normal_values(3, sigma, values, n);
  llqi_from_f32(dtype, values, n, out);
  free(values);
  return out;
}

/* Every input a group, each group its share, in a scattered order. */
static int32_t *random_order(int64_t n_in, int64_t group_size) {
  int32_t *order = malloc((size_t)n_in * sizeof *order);
  for (int64_t i = 0; i < n_in; i++)
    order[i] = (int32_t)(i / group_size);
  for (int64_t i = n_in - 1; i > 0; i--) {
    int64_t j = random_bits(5, (uint64_t)i) % (uint32_t)(i + 1);
    int32_t other = order[i];
    order[i] = order[j];
    order[j] = other;
  }
  return order;
}

/* 0 if the format does not go with the shape. */
static int make_weight(const struct format *format, int64_t n_out, int64_t n_in,
                       llq_weight *weight) {
  int64_t group = format->group_size > 0 ? format->group_size : n_in;
  if (n_in % group != 0)
    return 0;
  *weight = (llq_weight){sizeof *weight,
                         format->format,
                         format->dtype,
                         format->activation,
                         0,
                         n_out,
                         n_in,
                         group,
                         NULL,
                         NULL,
                         NULL,
                         NULL};
  size_t n = (size_t)(n_out * n_in), n_scales = (size_t)(n_out * n_in / group);
  if (format->format == LLQ_WEIGHT_DENSE) {
    weight->data = random_floats(format->dtype, 1, n);
    return 1;
  }
  uint8_t *data = malloc(n);
  random_codes(weight, data, format->format == LLQ_WEIGHT_INT4 ? n / 2 : n);
  weight->data = data;
  weight->scale = random_floats(format->dtype, 0.01f, n_scales);
  if (format->has_zero) {
    int8_t *zero = malloc(n_scales);
    for (size_t i = 0; i < n_scales; i++)
      zero[i] = (int8_t)(random_bits(13, i) % 16 - 8);
    weight->zero = zero;
  }
  if (format->has_order)
    weight->group_index = random_order(n_in, group);
  return 1;
}

static void free_weight(llq_weight *weight) {
  free((void *)weight->data);
  free((void *)weight->scale);
  free((void *)weight->zero);
  free((void *)weight->group_index);
}

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

static void random_inputs(float *x, int64_t n_in) {
  normal_values(17, 1, x, (size_t)(ROWS_MAX * n_in));
  for (int64_t i = 0; i < n_in; i++) {
    x[1 * n_in + i] = 0;
    x[2 * n_in + i] *= 1e18f;
    x[3 * n_in + i] *= 1e-36f;
  }
  x[4 * n_in + n_in / 2] = NAN;
  x[5 * n_in + n_in - 1] = INFINITY;
  x[6 * n_in] = -INFINITY;
}

static float tolerance_of(const struct format *format, int out_type) {
  if (out_type == LLQ_BF16)
    return TOLERANCE_BF16;
  return format->activation == LLQ_ACTIVATION_INT8 ? TOLERANCE_INT8_F32
                                                   : TOLERANCE_F32;
}

struct sides {
  llq_backend *reference, *subject;
  struct llqi_linear_handle expected, found;
};

static void compare(const struct sides *sides, const struct format *format,
                    const float *x, int x_type, int out_type) {
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
                           const struct format *format,
                           const llq_weight *weight) {
  static const int types[][2] = {
      {LLQ_F32, LLQ_F32}, {LLQ_BF16, LLQ_BF16}, {LLQ_BF16, LLQ_F32}};
  float *x = malloc((size_t)(ROWS_MAX * weight->n_in) * sizeof *x);
  random_inputs(x, weight->n_in);
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
  llq_backend *subject = open_subject(_i / N_FORMATS);
  const struct format *format = &formats[_i % N_FORMATS];
  int n_compared = 0;
  for (int s = 0; s < N_SHAPES; s++) {
    llq_weight weight;
    if (!make_weight(format, shapes[s][0], shapes[s][1], &weight))
      continue;
    compare_weight(reference, subject, format, &weight);
    free_weight(&weight);
    n_compared++;
  }
  ck_assert_int_gt(n_compared, 0);
  llq_backend_close(subject);
  llq_backend_close(reference);
}
END_TEST

/* All CPU kernels but the plain ones add in one order. */
START_TEST(instruction_sets_give_the_same_bits) {
  const struct format *format = &formats[_i];
  static float first[ROWS_MAX * 200], other[ROWS_MAX * 200];
  llq_weight weight;
  ck_assert_int_eq(make_weight(format, 200, 768, &weight), 1);
  float *x = malloc((size_t)(ROWS_MAX * weight.n_in) * sizeof *x);
  random_inputs(x, weight.n_in);
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
  free_weight(&weight);
}
END_TEST

/* Weights that a checkpoint should not have, but may. */
START_TEST(weights_that_are_no_numbers_reach_the_output) {
  llq_backend *reference = open_reference(), *subject = open_subject(_i);
  llq_weight weight;
  make_weight(&formats[7], 67, 96, &weight);
  ((uint8_t *)weight.data)[5] = 0x7f;
  compare_weight(reference, subject, &formats[7], &weight);
  free_weight(&weight);
  make_weight(&formats[14], 33, 1152, &weight);
  ((uint16_t *)weight.scale)[3] = 0x7f80;
  compare_weight(reference, subject, &formats[14], &weight);
  free_weight(&weight);
  make_weight(&formats[16], 33, 1152, &weight); /* one group has too many */
  ((int32_t *)weight.group_index)[0] = 1 - weight.group_index[0] % 2;
  compare_weight(reference, subject, &formats[16], &weight);
  free_weight(&weight);
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
                      n_subjects * N_FORMATS);
  tcase_add_loop_test(tests, instruction_sets_give_the_same_bits, 0, N_FORMATS);
  tcase_add_loop_test(tests, weights_that_are_no_numbers_reach_the_output, 0,
                      n_subjects);
  suite_add_tcase(suite, tests);
  return suite;
}
