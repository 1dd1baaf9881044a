/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of calibration of every backend that has them, against the
   reference: odd shapes, guard bytes, dead and dependent columns. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <llq/quantizer.h>

#include "base/random.h"
#include "base/status.h"
#include "guarded.h"
#include "support.h"
#include "tensor/dtype.h"

/* Sums of products in another order: of the product of the columns' lengths. */
#define TOLERANCE_SUMS 5e-5
/* Of the factor's largest value. */
#define TOLERANCE_FACTOR 2e-3
/* Of the largest weight: products of up to 128 in another order. */
#define TOLERANCE_UPDATE 1e-5
/* Rows that a code which fell the other way may change. There is none where
   the reference multiplies and adds in one rounding, as x86-64-v3 does. */
#define ROWS_CHANGED 0.02

static int n_subjects;

static float *zeros(int64_t n) {
  float *values = calloc((size_t)n, sizeof *values);
  ck_assert_ptr_nonnull(values);
  return values;
}

/* Rows whose columns depend on each other; column 3 is dead. */
static float *draw_inputs(int64_t n_rows, int64_t n) {
  float *x = zeros(n_rows * n);
  normal_values(1, 1, x, (size_t)(n_rows * n));
  for (int64_t r = 0; r < n_rows; r++) {
    for (int64_t i = 1; i < n; i++)
      x[r * n + i] =
          0.8f * x[r * n + i - 1] + (float)(1 + i % 5) * x[r * n + i];
    if (n > 3)
      x[r * n + 3] = 0;
  }
  return x;
}

static struct guarded place(llq_backend *backend, int64_t n_rows,
                            int64_t n_cols, int dtype, const float *values) {
  struct guarded matrix = guarded_open(backend, n_rows, n_cols, dtype);
  guarded_set(&matrix, values);
  return matrix;
}

static void take(struct guarded *matrix, float *values) {
  guarded_get(matrix, values);
  guarded_close(matrix);
}

/* ---- Sums over rows ---- */

static const int64_t input_shapes[][2] = {{1, 1},     {3, 70},    {300, 70},
                                          {130, 257}, {64, 2100}, {2049, 64}};
#define N_INPUT_SHAPES ((int)(sizeof input_shapes / sizeof input_shapes[0]))

static void sum_rows(llq_backend *backend, const float *x, int dtype,
                     const int64_t shape[2], float *h, float *sums) {
  const int64_t n = shape[1];
  float *empty = zeros(n * n + 2 * n);
  struct guarded in = place(backend, shape[0], n, dtype, x);
  struct guarded gram = place(backend, n, n, LLQ_F32, empty);
  struct guarded magnitudes = place(backend, 2, n, LLQ_F32, empty);
  for (int twice = 0; twice < 2; twice++) {
    ck_assert_llq_ok(llqi_op_gram(backend, &in.view, &gram.view));
    ck_assert_llq_ok(llqi_op_magnitudes(backend, &in.view, &magnitudes.view));
  }
  guarded_close(&in);
  take(&gram, h);
  take(&magnitudes, sums);
  free(empty);
}

START_TEST(sums_over_rows_are_the_reference_s) {
  llq_backend *both[] = {open_reference(),
                         open_subject(_i / (2 * N_INPUT_SHAPES))};
  const int dtype = _i / N_INPUT_SHAPES % 2 == 0 ? LLQ_F32 : LLQ_BF16;
  const int64_t *shape = input_shapes[_i % N_INPUT_SHAPES], n = shape[1];
  float *x = draw_inputs(shape[0], n), *h[2], *sums[2];
  for (int b = 0; b < 2; b++) {
    h[b] = zeros(n * n);
    sums[b] = zeros(2 * n);
    sum_rows(both[b], x, dtype, shape, h[b], sums[b]);
    llq_backend_close(both[b]);
  }
  for (int64_t i = 0; i < n; i++) {
    ck_assert_double_eq_tol(sums[1][i], sums[0][i], 1e-9 + 1e-5 * sums[0][i]);
    ck_assert_float_eq(sums[1][n + i], sums[0][n + i]);
    for (int64_t j = i; j < n; j++) {
      const double size = sqrt((double)h[0][i * n + i] * h[0][j * n + j]);
      ck_assert_double_eq_tol(h[1][i * n + j], h[0][i * n + j],
                              1e-9 + TOLERANCE_SUMS * size);
    }
  }
  for (int b = 0; b < 2; b++) {
    free(h[b]);
    free(sums[b]);
  }
  free(x);
}
END_TEST

/* ---- The factor ---- */

static const int64_t sides[] = {1, 3, 70, 257, 2100};
#define N_SIDES ((int)(sizeof sides / sizeof sides[0]))
#define BELOW 123.0f /* must not be looked at, nor changed */

/* Second moments of inputs, damped as GPTQ damps them: the upper triangle. */
static float *draw_moments(int64_t n) {
  const int64_t n_rows = n < 300 ? 2 * n + 1 : 700;
  const int64_t shape[] = {n_rows, n};
  llq_backend *reference = open_reference();
  float *x = draw_inputs(n_rows, n), *h = zeros(n * n), *sums = zeros(2 * n);
  double mean = 0;
  sum_rows(reference, x, LLQ_F32, shape, h, sums);
  for (int64_t i = 0; i < n; i++) {
    if (h[i * n + i] == 0)
      h[i * n + i] = 1;
    mean += h[i * n + i] / (double)n;
    for (int64_t j = 0; j < i; j++)
      h[i * n + j] = BELOW;
  }
  for (int64_t i = 0; i < n; i++)
    h[i * n + i] += (float)(0.01 * mean);
  llq_backend_close(reference);
  free(x);
  free(sums);
  return h;
}

static void factor(llq_backend *backend, const float *h, int64_t n, float *u,
                   int *definite) {
  struct guarded matrix = place(backend, n, n, LLQ_F32, h);
  *definite = -1;
  ck_assert_llq_ok(llqi_op_factor(backend, &matrix.view, definite));
  take(&matrix, u);
}

START_TEST(the_factor_is_the_reference_s) {
  llq_backend *both[] = {open_reference(), open_subject(_i / N_SIDES)};
  const int64_t n = sides[_i % N_SIDES];
  float *h = draw_moments(n), *u[2] = {zeros(n * n), zeros(n * n)};
  double largest = 0;
  for (int b = 0; b < 2; b++) {
    int definite;
    factor(both[b], h, n, u[b], &definite);
    ck_assert_int_eq(definite, 1);
  }
  for (int64_t i = 0; i < n * n; i++)
    if (i % n >= i / n)
      largest = fmax(largest, fabs(u[0][i]));
  for (int64_t i = 0; i < n * n; i++)
    if (i % n >= i / n)
      ck_assert_double_eq_tol(u[1][i], u[0][i], TOLERANCE_FACTOR * largest);
    else
      ck_assert_float_eq(u[1][i], BELOW);
  for (int bad = 0; bad < 2; bad++) { /* the last, then the first pivot */
    int definite;
    h[bad == 0 ? 0 : n * n - 1] = -1;
    factor(both[1], h, n, u[1], &definite);
    ck_assert_int_eq(definite, 0);
  }
  for (int b = 0; b < 2; b++) {
    llq_backend_close(both[b]);
    free(u[b]);
  }
  free(h);
}
END_TEST

START_TEST(second_moments_are_put_into_order) {
  llq_backend *subject = open_subject(_i / N_SIDES);
  const int64_t n = sides[_i % N_SIDES];
  if (!llqi_has_arrange(subject)) {
    llq_backend_close(subject);
    return;
  }
  float *h = draw_moments(n), *out = zeros(n * n), *diagonal = zeros(n);
  int32_t *columns = calloc((size_t)n, sizeof *columns);
  normal_values(8, 1, diagonal, (size_t)n);
  for (int64_t i = 0; i < n; i++) /* 37 divides none of the sides */
    columns[i] = (int32_t)((i * 37 + 1) % n);
  struct guarded from = place(subject, n, n, LLQ_F32, h);
  struct guarded to = place(subject, n, n, LLQ_F32, out);
  ck_assert_llq_ok(
      llqi_op_arrange(subject, &from.view, columns, 0.37f, diagonal, &to.view));
  take(&to, out);
  guarded_close(&from);
  for (int64_t i = 0; i < n; i++) {
    ck_assert_float_eq(out[i * n + i], diagonal[i]);
    for (int64_t j = i + 1; j < n; j++) {
      const int64_t a = columns[i], b = columns[j];
      ck_assert_float_eq(out[i * n + j],
                         0.37f * h[a < b ? a * n + b : b * n + a]);
    }
  }
  llq_backend_close(subject);
  free(h);
  free(out);
  free(diagonal);
  free(columns);
}
END_TEST

/* ---- Rounding ---- */

static const struct {
  int64_t n_out, n, first, width;
  int format, dtype;
} blocks[] = {
    {1, 1, 0, 1, LLQ_WEIGHT_INT4, LLQ_F32},
    {37, 70, 0, 70, LLQ_WEIGHT_INT4, LLQ_BF16},
    {300, 257, 128, 128, LLQ_WEIGHT_INT4, LLQ_BF16},
    {300, 257, 256, 1, LLQ_WEIGHT_INT4, LLQ_F16},
    {64, 257, 7, 33, LLQ_WEIGHT_INT8, LLQ_BF16},
    {64, 257, 0, 128, LLQ_WEIGHT_INT8, LLQ_F32},
    {64, 257, 100, 128, LLQ_WEIGHT_FP8, LLQ_BF16},
    {33, 2100, 1000, 1024, LLQ_WEIGHT_INT4, LLQ_BF16},
};
#define N_BLOCKS ((int)(sizeof blocks / sizeof blocks[0]))
#define N_GROUPS 5

struct encoded {
  float *w, *errors, *updated;
};

static void encode(llq_backend *backend, int b, const float *u,
                   struct encoded *out) {
  const int64_t n_out = blocks[b].n_out, n = blocks[b].n;
  float scale[300 * N_GROUPS], zero[300 * N_GROUPS];
  int32_t groups[1024];
  for (int64_t i = 0; i < n_out * N_GROUPS; i++) {
    scale[i] = 0.01f + 0.002f * (float)(i % 7);
    zero[i] = blocks[b].format == LLQ_WEIGHT_INT4 ? (float)(i % 5 - 2) : 0;
  }
  for (int i = 0; i < 1024; i++)
    groups[i] = i * 3 % N_GROUPS;
  out->w = zeros(n_out * n);
  out->updated = zeros(n_out * n);
  out->errors = zeros(n_out * blocks[b].width);
  normal_values(2, 0.06f, out->w, (size_t)(n_out * n));
  struct guarded w = place(backend, n_out, n, LLQ_F32, out->w);
  struct guarded errors =
      place(backend, n_out, blocks[b].width, LLQ_F32, out->errors);
  struct guarded factor = place(backend, n, n, LLQ_F32, u);
  struct guarded scales = place(backend, n_out, N_GROUPS, LLQ_F32, scale);
  struct guarded zeros_of = place(backend, n_out, N_GROUPS, LLQ_F32, zero);
  const llq_encoding encoding = {.struct_size = sizeof encoding,
                                 .format = blocks[b].format,
                                 .dtype = blocks[b].dtype,
                                 .first = blocks[b].first,
                                 .n = blocks[b].width,
                                 .groups = groups,
                                 .scale = &scales.view,
                                 .zero = &zeros_of.view};
  ck_assert_llq_ok(
      llqi_op_encode(backend, &encoding, &factor.view, &w.view, &errors.view));
  guarded_get(&w, out->w);
  ck_assert_llq_ok(llqi_op_update(backend, blocks[b].first, &errors.view,
                                  &factor.view, &w.view));
  take(&w, out->updated);
  take(&errors, out->errors);
  guarded_close(&factor);
  guarded_close(&scales);
  guarded_close(&zeros_of);
}

static int differs(const float *a, const float *b, int64_t n, double by) {
  for (int64_t i = 0; i < n; i++)
    if (!(fabs((double)a[i] - b[i]) <= by))
      return 1;
  return 0;
}

START_TEST(a_block_is_rounded_as_by_the_reference) {
  llq_backend *both[] = {open_reference(), open_subject(_i / N_BLOCKS)};
  const int b = _i % N_BLOCKS;
  const int64_t n_out = blocks[b].n_out, n = blocks[b].n;
  float *h = draw_moments(n), *u = zeros(n * n);
  struct encoded found[2];
  int definite, n_changed = 0;
  factor(both[0], h, n, u, &definite);
  for (int k = 0; k < 2; k++) {
    encode(both[k], b, u, &found[k]);
    llq_backend_close(both[k]);
  }
  double largest = 0;
  for (int64_t i = 0; i < n_out * n; i++)
    largest = fmax(largest, fabs(found[0].updated[i]));
  for (int64_t r = 0; r < n_out; r++) {
    const int64_t at = r * n, wide = r * blocks[b].width;
    n_changed += differs(found[0].w + at, found[1].w + at, n, 0) ||
                 differs(found[0].errors + wide, found[1].errors + wide,
                         blocks[b].width, 0) ||
                 differs(found[0].updated + at, found[1].updated + at, n,
                         TOLERANCE_UPDATE * largest);
  }
  ck_assert_msg(n_changed <= ROWS_CHANGED * (double)n_out,
                "%d of %lld rows differ", n_changed, (long long)n_out);
  for (int k = 0; k < 2; k++) {
    free(found[k].w);
    free(found[k].errors);
    free(found[k].updated);
  }
  free(h);
  free(u);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("calibrating");
  TCase *tests = tcase_create("calibrating");
  n_subjects = find_calibrating_subjects();
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, sums_over_rows_are_the_reference_s, 0,
                      n_subjects * 2 * N_INPUT_SHAPES);
  tcase_add_loop_test(tests, the_factor_is_the_reference_s, 0,
                      n_subjects * N_SIDES);
  tcase_add_loop_test(tests, second_moments_are_put_into_order, 0,
                      n_subjects * N_SIDES);
  tcase_add_loop_test(tests, a_block_is_rounded_as_by_the_reference, 0,
                      n_subjects * N_BLOCKS);
  suite_add_tcase(suite, tests);
  return suite;
}
