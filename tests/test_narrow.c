/* SPDX-License-Identifier: Apache-2.0 */
/* Narrower ranges of rows: the best of those that are tried. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "base/threads.h"
#include "quantizer/narrow.h"
#include "support.h"
#include "tensor/dtype.h"

#define N_OUT 530 /* more than are tried at a time */
#define N_IN 96
#define N_ROWS 40
#define N_STEPS 11
#define STEP 0.05f

static float w[N_OUT * N_IN], x[N_ROWS * N_IN];
static float scales[N_OUT], zeros[N_OUT];

/* Weights of bf16 with a few that stand out; inputs of different sizes. */
static void draw(void) {
  for (size_t i = 0; i < N_OUT * N_IN; i++) {
    const double u = llqi_uniform(1, 0, i), v = llqi_uniform(1, 1, i);
    w[i] = (float)((u + v - 1) * (i % 37 == 0 ? 3 : 1));
  }
  llqi_round_f32(LLQ_BF16, w, N_OUT * N_IN);
  for (size_t i = 0; i < N_ROWS * N_IN; i++)
    x[i] = (float)((llqi_uniform(2, 0, i) - 0.3) * (1 + i % N_IN % 5));
}

static struct llqi_grid grid_of(int asymmetric) {
  return (struct llqi_grid){.format = LLQ_WEIGHT_INT4,
                            .rule = {LLQ_BF16, -8, 7, asymmetric},
                            .n_out = N_OUT,
                            .n_in = N_IN,
                            .n_groups = 1,
                            .group_size = N_IN,
                            .scale = scales,
                            .zero = zeros};
}

static int narrow(struct llqi_grid *grid) {
  const struct llqi_observer observer = {N_STEPS, STEP, NULL};
  const struct llqi_input_sample sample = {.rows = x, .n_rows = N_ROWS};
  struct llqi_threads *threads;
  ck_assert_llq_ok(llqi_threads_open(&threads, 2));
  int status = llqi_grid_narrow(grid, &observer, w, &sample, threads);
  llqi_threads_close(threads);
  return status;
}

/* The squares of what a row's outputs lose. */
static double loss_of(const struct llqi_grid *grid, int row) {
  float codes[N_IN], values[N_IN];
  double sum = 0;
  llqi_grid_encode(grid, row, w + row * N_IN, N_IN, codes);
  llqi_grid_decode(grid, row, codes, N_IN, values);
  for (int r = 0; r < N_ROWS; r++) {
    double lost = 0;
    for (int i = 0; i < N_IN; i++)
      lost += ((double)values[i] - w[row * N_IN + i]) * x[r * N_IN + i];
    sum += lost * lost;
  }
  return sum;
}

/* Sets a row's grid to a part of its range. */
static void set_part(struct llqi_grid *grid, int row, float part) {
  const struct llqi_grids one = {1, N_IN, grid->scale + row, grid->zero + row};
  llqi_ranges(w + row * N_IN, &one);
  *one.scale *= part;
  *one.zero *= part;
  llqi_observe_ranges(&grid->rule, &one);
}

START_TEST(of_all_ranges_the_one_that_loses_least_is_taken) {
  struct llqi_grid grid = grid_of(_i);
  int n_narrower = 0;
  draw();
  ck_assert_llq_ok(narrow(&grid));
  for (int row = 0; row < N_OUT; row++) {
    const float scale = scales[row], zero = zeros[row];
    const double found = loss_of(&grid, row);
    int is_there = 0;
    for (int i = 0; i < N_STEPS; i++) {
      set_part(&grid, row, 1 - (float)i * STEP);
      is_there |= scales[row] == scale && zeros[row] == zero;
      n_narrower += i == 0 && scale < scales[row];
      ck_assert_double_le(found, 1.001 * loss_of(&grid, row));
    }
    ck_assert(is_there);
  }
  ck_assert_int_gt(n_narrower, N_OUT / 4);
}
END_TEST

START_TEST(what_is_not_finite_is_named) {
  struct llqi_grid grid = grid_of(0);
  draw();
  w[5 * N_IN + 7] = INFINITY;
  ck_assert_llq_fails(narrow(&grid), LLQ_ERROR_FORMAT, "infinity at [5, 7]");
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("narrow");
  TCase *tests = tcase_create("narrow");
  tcase_add_loop_test(tests, of_all_ranges_the_one_that_loses_least_is_taken, 0,
                      2);
  tcase_add_test(tests, what_is_not_finite_is_named);
  suite_add_tcase(suite, tests);
  return suite;
}
