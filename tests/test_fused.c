/* SPDX-License-Identifier: Apache-2.0 */
/* Fused operations of every backend that has them: against the operations they
   stand for on the reference, and against the host's draws. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "generator/sampling.h"
#include "guarded.h"
#include "support.h"
#include "tensor/dtype.h"
#include "weights.h"

/* Of a row's largest value: a few roundings to bf16, 2^-8 at most each. A norm
   or an activation that rounds the other way moves a whole product. */
#define TOLERANCE 1.6e-2f

#define ROWS_MAX 300
#define EPS 1e-5f

static const int64_t shapes[][2] = {
    {32, 64}, {96, 192}, {480, 128}, {256, 1024}, {67, 96}};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static const int row_counts[] = {1,  2,  3,  5,  8,  9,   15,  16,
                                 17, 31, 33, 64, 65, 130, 257, ROWS_MAX};
#define N_ROW_COUNTS ((int)(sizeof row_counts / sizeof row_counts[0]))

static int n_subjects;

/* What surrounds the product. */
struct around {
  int has_norm, swiglu, adds;
};
static const struct around arounds[] = {
    {0, 0, 0}, {1, 0, 0}, {0, 0, 1}, {1, 0, 1}, {1, 1, 0}};
#define N_AROUNDS ((int)(sizeof arounds / sizeof arounds[0]))

/* Values of a linear and what surrounds it, on the host. */
struct values {
  float *x, *norm, *residual;
};

static struct guarded filled(llq_backend *backend, int64_t n_rows,
                             int64_t n_cols, const float *values) {
  struct guarded matrix = guarded_open(backend, n_rows, n_cols, LLQ_BF16);
  guarded_set(&matrix, values);
  return matrix;
}

static void give(struct guarded *matrix, float *values) {
  guarded_get(matrix, values);
  guarded_close(matrix);
}

/* gate | up, row by row, as one operation on the reference. */
static void swiglu_halves(llq_backend *backend, const float *y, int64_t n_rows,
                          int64_t n_cols, float *out) {
  struct guarded gate = guarded_open(backend, n_rows, n_cols, LLQ_BF16);
  struct guarded up = guarded_open(backend, n_rows, n_cols, LLQ_BF16);
  float *half = malloc((size_t)(n_rows * n_cols) * sizeof *half);
  for (int which = 0; which < 2; which++) {
    for (int64_t r = 0; r < n_rows; r++)
      memcpy(half + r * n_cols, y + (2 * r + which) * n_cols,
             (size_t)n_cols * sizeof *half);
    guarded_set(which == 0 ? &gate : &up, half);
  }
  ck_assert_llq_ok(llqi_op_swiglu(backend, &gate.view, &up.view, &gate.view));
  free(half);
  guarded_close(&up);
  give(&gate, out);
}

static void compose(llq_backend *backend, const llq_weight *weight,
                    const struct around *around, const struct values *in,
                    float *out) {
  struct llqi_linear_handle linear;
  int64_t n_cols = weight->n_out / (around->swiglu ? 2 : 1);
  float *y = malloc((size_t)(ROWS_MAX * weight->n_out) * sizeof *y);
  struct guarded x = filled(backend, ROWS_MAX, weight->n_in, in->x);
  struct guarded norm = filled(backend, 1, weight->n_in, in->norm);
  struct guarded normed =
      guarded_open(backend, ROWS_MAX, weight->n_in, LLQ_BF16);
  struct guarded product =
      guarded_open(backend, ROWS_MAX, weight->n_out, LLQ_BF16);
  ck_assert_llq_ok(llqi_linear_upload(backend, weight, LLQ_BF16, &linear));
  ck_assert_llq_ok(
      llqi_op_rms_norm(backend, &x.view, &norm.view, EPS, &normed.view));
  ck_assert_llq_ok(llqi_op_linear(backend, &linear,
                                  around->has_norm ? &normed.view : &x.view,
                                  &product.view));
  llqi_linear_free(backend, &linear);
  give(&product, y);
  if (around->swiglu)
    swiglu_halves(backend, y, ROWS_MAX, n_cols, out);
  else
    memcpy(out, y, (size_t)(ROWS_MAX * n_cols) * sizeof *y);
  if (around->adds) {
    struct guarded sum = filled(backend, ROWS_MAX, n_cols, in->residual);
    struct guarded more = filled(backend, ROWS_MAX, n_cols, out);
    ck_assert_llq_ok(llqi_op_add(backend, &sum.view, &more.view));
    guarded_close(&more);
    give(&sum, out);
  }
  guarded_close(&x);
  guarded_close(&norm);
  guarded_close(&normed);
  free(y);
}

/* Begins a step of one segment, whose results may depend on what is in it. */
static void *begin_fast(llq_backend *backend, int n_rows) {
  static const int32_t zeros[ROWS_MAX];
  const llq_fused_plan options = {sizeof options, ROWS_MAX, ROWS_MAX, 1, 1};
  const llq_segment segment = {0, n_rows, 0, 0};
  const llq_batch batch = {&segment, zeros, 1, 1, ROWS_MAX, n_rows};
  const llq_fused_step step = {
      .struct_size = sizeof step, .batch = &batch, .ids = zeros};
  void *plan;
  int is_recorded;
  ck_assert_llq_ok(llqi_plan_open(backend, &options, &plan));
  ck_assert_llq_ok(llqi_fused_begin(backend, plan, &step, &is_recorded));
  return plan;
}

static void run_fused(llq_backend *backend,
                      const struct llqi_linear_handle *linear,
                      const struct around *around, const struct values *in,
                      int is_fast, int n_rows, float *out) {
  int64_t n_cols = linear->n_out / (around->swiglu ? 2 : 1);
  struct guarded x = filled(backend, n_rows, linear->n_in, in->x);
  struct guarded norm = filled(backend, 1, linear->n_in, in->norm);
  struct guarded y = guarded_open(backend, n_rows, n_cols, LLQ_BF16);
  if (around->adds)
    guarded_set(&y, in->residual);
  const struct llqi_linear_call call = {
      linear, &x.view,        around->has_norm ? &norm.view : NULL,
      EPS,    around->swiglu, around->adds,
      &y.view};
  void *plan = is_fast ? begin_fast(backend, n_rows) : NULL;
  ck_assert_llq_ok(llqi_fused_linear(backend, &call));
  if (is_fast)
    ck_assert_llq_ok(llqi_fused_end(backend, LLQ_OK, NULL));
  llqi_plan_close(backend, plan);
  guarded_close(&x);
  guarded_close(&norm);
  give(&y, out);
}

static float *random_values(uint64_t seed, float sigma, size_t n) {
  float *values = malloc(n * sizeof *values);
  normal_values(seed, sigma, values, n);
  return values;
}

static void compare(llq_backend *reference, llq_backend *subject,
                    const llq_weight *weight, const char *name,
                    const struct around *around) {
  struct llqi_linear_handle linear;
  int64_t n_cols = weight->n_out / (around->swiglu ? 2 : 1);
  size_t n = (size_t)(ROWS_MAX * n_cols);
  struct values in = {random_values(3, 1, (size_t)(ROWS_MAX * weight->n_in)),
                      random_values(4, 1, (size_t)weight->n_in),
                      random_values(5, 1, n)};
  float *expected = malloc(n * sizeof *expected),
        *all = malloc(n * sizeof *all);
  float *part = malloc(n * sizeof *part);
  char what[96];
  in.x[7 * weight->n_in + 1] = NAN; /* a row that must not reach others */
  snprintf(what, sizeof what, "%s [%d, %d]%s%s%s", name, (int)weight->n_out,
           (int)weight->n_in, around->has_norm ? " norm" : "",
           around->swiglu ? " swiglu" : "", around->adds ? " add" : "");
  compose(reference, weight, around, &in, expected);
  ck_assert_llq_ok(llqi_linear_upload(subject, weight, LLQ_BF16, &linear));
  run_fused(subject, &linear, around, &in, 0, ROWS_MAX, all);
  expect_close(expected, all, ROWS_MAX, n_cols, TOLERANCE, what);
  int step = around == &arounds[0] ? 1 : 5; /* others, for a few counts */
  for (int i = 0; i < N_ROW_COUNTS; i += step) {
    int n_rows = row_counts[i];
    run_fused(subject, &linear, around, &in, 0, n_rows, part);
    ck_assert_msg(memcmp(all, part, (size_t)(n_rows * n_cols) * sizeof *part) ==
                      0,
                  "%s: %d rows differ from the same rows among %d", what,
                  n_rows, ROWS_MAX);
    run_fused(subject, &linear, around, &in, 1, n_rows, part);
    expect_close(expected, part, n_rows, n_cols, TOLERANCE, what);
  }
  llqi_linear_free(subject, &linear);
  free(in.x);
  free(in.norm);
  free(in.residual);
  free(expected);
  free(all);
  free(part);
}

START_TEST(a_fused_linear_is_what_it_stands_for) {
  llq_backend *subject = open_subject(_i % n_subjects);
  const struct weight_format *format = &weight_formats[_i / n_subjects];
  llq_backend *reference = open_reference();
  for (int s = 0; s < N_SHAPES; s++)
    for (int a = 0; a < N_AROUNDS; a++) {
      llq_weight weight;
      if ((arounds[a].swiglu && shapes[s][0] % 2 != 0) ||
          !random_weight(format, shapes[s][0], shapes[s][1], &weight))
        continue;
      compare(reference, subject, &weight, format->name, &arounds[a]);
      random_weight_free(&weight);
    }
  llq_backend_close(reference);
  llq_backend_close(subject);
}
END_TEST

/* Joined weights give what each gives, side by side. */
START_TEST(joined_linears_lie_side_by_side) {
  llq_backend *subject = open_subject(_i % n_subjects);
  static const int64_t n_outs[3] = {64, 32, 32};
  enum { N_IN = 128, N_ALL = 128 };
  const struct weight_format *format = &weight_formats[_i / n_subjects];
  static float x[4 * N_IN], all[4 * N_ALL], one[4 * N_ALL];
  const struct values in = {x, x, NULL};
  const struct around none = {0, 0, 0};
  llq_weight weights[3];
  const llq_weight *pointers[3] = {&weights[0], &weights[1], &weights[2]};
  struct llqi_linear_handle joined, single;
  normal_values(1, 1, x, 4 * N_IN);
  int fits = 1;
  for (int i = 0; i < 3; i++)
    fits = random_weight(format, n_outs[i], N_IN, &weights[i]) && fits;
  if (fits && llqi_weights_join(pointers, 3)) {
    ck_assert_llq_ok(llqi_linear_join(subject, pointers, 3, &joined));
    run_fused(subject, &joined, &none, &in, 0, 4, all);
    for (int64_t i = 0, at = 0; i < 3; at += n_outs[i++]) {
      ck_assert_llq_ok(
          llqi_linear_upload(subject, &weights[i], LLQ_BF16, &single));
      run_fused(subject, &single, &none, &in, 0, 4, one);
      for (int64_t r = 0; r < 4; r++)
        ck_assert_mem_eq(all + r * N_ALL + at, one + r * n_outs[i],
                         (size_t)n_outs[i] * sizeof *one);
      llqi_linear_free(subject, &single);
    }
    llqi_linear_free(subject, &joined);
  }
  for (int i = 0; i < 3 && fits; i++)
    random_weight_free(&weights[i]);
  llq_backend_close(subject);
}
END_TEST

#define N_DRAWS 9

/* Every kind of sampling, in turn. */
static llq_draw draw_number(int i, double uniform) {
  static const llq_draw kinds[N_DRAWS] = {
      {.temperature = 0},
      {.temperature = 1},
      {.temperature = 0.2, .top_p = 0.95},
      {.temperature = 1, .top_k = 50},
      {.temperature = 2, .top_k = 1000, .top_p = 0.9, .min_p = 0.01},
      {.temperature = 1, .top_k = 1},
      {.temperature = 1, .top_p = 1e-9},
      {.temperature = 1e-300},
      {.temperature = 0.7, .min_p = 0.3}};
  llq_draw draw = kinds[i];
  draw.uniform = uniform;
  return draw;
}

/* Rows of logits with ties. */
static float *random_logits(int n_vocab) {
  float *logits = random_values(9, 3, (size_t)(N_DRAWS * n_vocab));
  for (int i = 0; i < N_DRAWS * n_vocab; i++)
    logits[i] = roundf(64 * logits[i]) / 64;
  return logits;
}

static void draw_on(llq_backend *backend, const float *logits, int n_vocab,
                    llq_draw *draws) {
  const llq_fused_plan options = {sizeof options, N_DRAWS, 64, 0, 0};
  llq_segment segments[N_DRAWS];
  int32_t zeros[N_DRAWS] = {0}, rows[N_DRAWS];
  for (int i = 0; i < N_DRAWS; i++) {
    segments[i] = (llq_segment){i, 1, 0, 0};
    rows[i] = i;
  }
  const llq_batch batch = {segments, zeros, N_DRAWS, 1, 64, N_DRAWS};
  const llq_fused_step step = {.struct_size = sizeof step,
                               .batch = &batch,
                               .ids = zeros,
                               .logit_rows = rows,
                               .n_logit_rows = N_DRAWS,
                               .n_draws = N_DRAWS,
                               .draws = draws};
  struct guarded matrix = guarded_open(backend, N_DRAWS, n_vocab, LLQ_F32);
  void *plan;
  int is_recorded;
  guarded_set(&matrix, logits);
  ck_assert_llq_ok(llqi_plan_open(backend, &options, &plan));
  for (int turn = 0; turn < 4; turn++) { /* recorded on the way */
    ck_assert_llq_ok(llqi_fused_begin(backend, plan, &step, &is_recorded));
    int status = is_recorded ? LLQ_OK : llqi_fused_draw(backend, &matrix.view);
    ck_assert_llq_ok(llqi_fused_end(backend, status, draws));
  }
  llqi_plan_close(backend, plan);
  guarded_close(&matrix);
}

static const struct vocabulary {
  const char *name;
  int n;
} vocabularies[] = {{"draws of 1", 1},
                    {"draws of 37", 37},
                    {"draws of 2048", 2048},
                    {"draws of 9001", 9001},
                    {"draws of 128256", 128256}};
#define N_VOCABULARIES ((int)(sizeof vocabularies / sizeof vocabularies[0]))

#define N_TURNS 6

START_TEST(draws_are_the_host_s) {
  llq_backend *subject = open_subject(_i % n_subjects);
  const int n_vocab = vocabularies[_i / n_subjects].n;
  float *logits = random_logits(n_vocab);
  struct llqi_sampler sampler;
  ck_assert_llq_ok(llqi_sampler_open(&sampler, n_vocab));
  for (int turn = 0; turn < N_TURNS; turn++) {
    const double uniform = 0.999999 * turn / (N_TURNS - 1);
    llq_draw found[N_DRAWS], expected;
    for (int i = 0; i < N_DRAWS; i++)
      found[i] = draw_number(i, uniform);
    draw_on(subject, logits, n_vocab, found);
    for (int i = 0; i < N_DRAWS; i++) {
      expected = draw_number(i, uniform);
      llqi_sample(&sampler, logits + (size_t)i * (size_t)n_vocab, &expected);
      ck_assert_int_eq(found[i].id, expected.id);
      ck_assert_int_eq(found[i].is_finite, 1);
      ck_assert(found[i].margin == expected.margin);
    }
  }
  logits[n_vocab / 2] = NAN;
  llq_draw draws[N_DRAWS] = {{0}};
  draw_on(subject, logits, n_vocab, draws);
  ck_assert_int_eq(draws[0].is_finite, 0);
  ck_assert_int_eq(draws[1].is_finite, 1);
  llqi_sampler_close(&sampler);
  free(logits);
  llq_backend_close(subject);
}
END_TEST

/* A case that CK_RUN_CASE can choose: all under a sanitizer take long. */
static TCase *add_case(Suite *suite, const char *name) {
  TCase *tests = tcase_create(name);
  tcase_set_timeout(tests, 120);
  suite_add_tcase(suite, tests);
  return tests;
}

Suite *test_suite(void) {
  Suite *suite = suite_create("fused");
  n_subjects = find_fused_subjects();
  if (n_subjects == 0)
    printf("# SKIP no device with fused operations\n");
  for (int f = 0; f < n_weight_formats; f++) {
    TCase *tests = add_case(suite, weight_formats[f].name);
    const int first = f * n_subjects, end = first + n_subjects;
    tcase_add_loop_test(tests, a_fused_linear_is_what_it_stands_for, first,
                        end);
    tcase_add_loop_test(tests, joined_linears_lie_side_by_side, first, end);
  }
  for (int v = 0; v < N_VOCABULARIES; v++)
    tcase_add_loop_test(add_case(suite, vocabularies[v].name),
                        draws_are_the_host_s, v * n_subjects,
                        (v + 1) * n_subjects);
  return suite;
}
