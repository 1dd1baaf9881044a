/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation but the linear, of every backend against the reference: odd
   shapes, guard bytes, and rows that don't see each other. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "guarded.h"
#include "support.h"
#include "tensor/dtype.h"

/* Of the largest value of a row: a few roundings in float; one to bf16, or, in
   norms, two. */
#define TOLERANCE_F32 2e-6f
#define TOLERANCE_BF16 3.9e-3f
#define TOLERANCE_NORM_BF16 7.9e-3f
/* Of the largest value: weights that sum to 1 of up to 70 exponentials. */
#define TOLERANCE_ATTENTION_F32 4e-6f

#define ROWS 7
#define COLS_MAX 520

static const int64_t widths[] = {2, 16, 30, 96, 257, 512};
#define N_WIDTHS ((int)(sizeof widths / sizeof widths[0]))

static int n_subjects;

/* Subject, type and width of a loop's i-th turn. */
struct turn {
  llq_backend *backends[2]; /* reference, subject */
  int dtype;
  int64_t n_cols;
};

static struct turn turn_of(int i) {
  struct turn turn = {{open_reference(), open_subject(i / (2 * N_WIDTHS))},
                      i / N_WIDTHS % 2 == 0 ? LLQ_F32 : LLQ_BF16,
                      widths[i % N_WIDTHS]};
  return turn;
}

static void end_turn(struct turn *turn) {
  llq_backend_close(turn->backends[0]);
  llq_backend_close(turn->backends[1]);
}

static struct guarded matrix_of(llq_backend *backend, int64_t n_rows,
                                int64_t n_cols, int dtype, uint64_t seed,
                                float sigma) {
  float *values = malloc((size_t)(n_rows * n_cols) * sizeof *values);
  struct guarded matrix = guarded_open(backend, n_rows, n_cols, dtype);
  normal_values(seed, sigma, values, (size_t)(n_rows * n_cols));
  guarded_set(&matrix, values);
  free(values);
  return matrix;
}

START_TEST(rms_norm_is_the_reference_s) {
  struct turn turn = turn_of(_i);
  static float out[2][ROWS * COLS_MAX], alone[COLS_MAX];
  for (int b = 0; b < 2; b++) {
    llq_backend *backend = turn.backends[b];
    struct guarded x = matrix_of(backend, ROWS, turn.n_cols, turn.dtype, 1, 3);
    struct guarded weight =
        matrix_of(backend, 1, turn.n_cols, turn.dtype, 2, 1);
    struct guarded y = guarded_open(backend, ROWS, turn.n_cols, turn.dtype);
    ck_assert_llq_ok(
        llqi_op_rms_norm(backend, &x.view, &weight.view, 1e-5f, &y.view));
    guarded_get(&y, out[b]);
    x.view.n_rows = y.view.n_rows = 1; /* the first row by itself */
    ck_assert_llq_ok(
        llqi_op_rms_norm(backend, &x.view, &weight.view, 1e-5f, &y.view));
    y.view.n_rows = ROWS;
    static float again[ROWS * COLS_MAX];
    guarded_get(&y, again);
    memcpy(alone, again, (size_t)turn.n_cols * sizeof *alone);
    ck_assert_mem_eq(alone, out[b], (size_t)turn.n_cols * sizeof *alone);
    guarded_close(&x);
    guarded_close(&weight);
    guarded_close(&y);
  }
  expect_close(out[0], out[1], ROWS, turn.n_cols,
               turn.dtype == LLQ_F32 ? TOLERANCE_F32 : TOLERANCE_NORM_BF16,
               "rms_norm");
  end_turn(&turn);
}
END_TEST

START_TEST(swiglu_is_the_reference_s_to_both_ends_of_exp) {
  struct turn turn = turn_of(_i);
  static float out[2][ROWS * COLS_MAX];
  static const float ends[] = {0, -87, 87, -104, 104, 1e30f, -1e30f, NAN};
  for (int b = 0; b < 2; b++) {
    llq_backend *backend = turn.backends[b];
    struct guarded up = matrix_of(backend, ROWS, turn.n_cols, turn.dtype, 4, 2);
    struct guarded gate = guarded_open(backend, ROWS, turn.n_cols, turn.dtype);
    static float values[ROWS * COLS_MAX];
    normal_values(3, 10, values, (size_t)(ROWS * turn.n_cols));
    for (int64_t i = 0; i < 8 && i < turn.n_cols; i++)
      values[i] = ends[i];
    guarded_set(&gate, values);
    ck_assert_llq_ok(llqi_op_swiglu(backend, &gate.view, &up.view, &gate.view));
    guarded_get(&gate, out[b]);
    guarded_close(&up);
    guarded_close(&gate);
  }
  for (int64_t i = 0; i < ROWS * turn.n_cols; i++) /* each value by itself */
    expect_close(out[0] + i, out[1] + i, 1, 1,
                 turn.dtype == LLQ_F32 ? TOLERANCE_F32 : TOLERANCE_BF16,
                 "swiglu");
  end_turn(&turn);
}
END_TEST

START_TEST(add_embed_and_gather_are_exact) {
  struct turn turn = turn_of(_i);
  static float out[2][3][ROWS * COLS_MAX];
  static const int32_t rows[ROWS] = {6, 0, 3, 3, 1, 6, 2};
  for (int b = 0; b < 2; b++) {
    llq_backend *backend = turn.backends[b];
    struct guarded x = matrix_of(backend, ROWS, turn.n_cols, turn.dtype, 5, 1);
    struct guarded y = matrix_of(backend, ROWS, turn.n_cols, turn.dtype, 6, 1);
    struct guarded table = matrix_of(backend, ROWS, turn.n_cols, LLQ_F16, 7, 1);
    ck_assert_llq_ok(llqi_op_add(backend, &x.view, &y.view));
    guarded_get(&x, out[b][0]);
    ck_assert_llq_ok(llqi_op_gather(backend, &x.view, rows, &y.view));
    guarded_get(&y, out[b][1]);
    ck_assert_llq_ok(llqi_op_embed(backend, &table.view, rows, &y.view));
    guarded_get(&y, out[b][2]);
    guarded_close(&x);
    guarded_close(&y);
    guarded_close(&table);
  }
  ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
  end_turn(&turn);
}
END_TEST

/* ---- Attention and the cache ---- */

#define PAGE 8
#define N_PAGES 24

struct heads {
  int n_kv_heads, per_kv_head, head_size;
};
static const struct heads shapes[] = {{1, 1, 32}, {2, 2, 64}, {1, 4, 128},
                                      {2, 8, 64}, {3, 1, 48}, {2, 4, 32}};
#define N_HEADS ((int)(sizeof shapes / sizeof shapes[0]))

/* Four sequences, one of them empty, at different positions. */
static const llq_segment segments[] = {
    {0, 9, 0, 0}, {9, 1, 63, 2}, {10, 0, 5, 0}, {10, 5, 14, 11}};
static const int32_t pages[] = {23, 4,  0, 7, 6,  5,  9, 8,
                                1,  22, 3, 2, 17, 11, 10};
#define BATCH_ROWS 15
#define N_LISTED ((int)(sizeof pages / sizeof pages[0]))
static const llq_batch batch = {segments, pages, 4, N_LISTED, PAGE, BATCH_ROWS};

struct scene {
  llq_backend *backend;
  struct guarded q, k, v, out, cos_sin, keys, values;
  llq_kv cache;
};

/* Some of the normal values that become codes are too large for any. */
static float scale_of(int kv_type) {
  return kv_type == LLQ_I8 ? 0.05f : kv_type == LLQ_F8_E4M3 ? 0.015f : 1;
}

static void open_scene(struct scene *scene, llq_backend *backend,
                       const struct heads *heads, int dtype, int kv_type) {
  int d = heads->head_size, n_kv = heads->n_kv_heads * d;
  int n_q = n_kv * heads->per_kv_head;
  scene->backend = backend;
  scene->q = matrix_of(backend, BATCH_ROWS, n_q, dtype, 1, 2);
  scene->k = matrix_of(backend, BATCH_ROWS, n_kv, dtype, 2, 2);
  scene->v = matrix_of(backend, BATCH_ROWS, n_kv, dtype, 3, 1);
  scene->out = guarded_open(backend, BATCH_ROWS, n_q, dtype);
  scene->cos_sin = matrix_of(backend, 64, d, LLQ_F32, 4, 0.7f);
  float scale = scale_of(kv_type);
  scene->keys = matrix_of(backend, N_PAGES * PAGE, n_kv, kv_type, 5, 1 / scale);
  scene->values =
      matrix_of(backend, N_PAGES * PAGE, n_kv, kv_type, 6, 1 / scale);
  scene->cache = (llq_kv){scene->keys.view.data,
                          scene->values.view.data,
                          kv_type,
                          N_PAGES,
                          PAGE,
                          heads->n_kv_heads,
                          d,
                          scale,
                          1.5f * scale};
}

static void close_scene(struct scene *scene) {
  guarded_close(&scene->q);
  guarded_close(&scene->k);
  guarded_close(&scene->v);
  guarded_close(&scene->out);
  guarded_close(&scene->cos_sin);
  guarded_close(&scene->keys);
  guarded_close(&scene->values);
}

static const int types[][2] = {{LLQ_F32, LLQ_F32},     {LLQ_F32, LLQ_BF16},
                               {LLQ_BF16, LLQ_BF16},   {LLQ_F32, LLQ_I8},
                               {LLQ_F32, LLQ_F8_E4M3}, {LLQ_BF16, LLQ_I8},
                               {LLQ_BF16, LLQ_F8_E4M3}};
#define N_TYPES ((int)(sizeof types / sizeof types[0]))

/* Keys that were rotated a little differently, as stored: the next code of
   those that there are, at most. */
static float stored_tolerance(int kv_type) {
  return kv_type == LLQ_F32    ? TOLERANCE_F32
         : kv_type == LLQ_BF16 ? TOLERANCE_BF16
         : kv_type == LLQ_I8   ? 1 / 64.0f
                               : 1 / 8.0f;
}

/* What comes after sees the same keys, to be compared more closely. */
static void copy(const struct guarded *from, struct guarded *to) {
  void *bytes = malloc(guarded_size(from));
  guarded_read(from, bytes);
  guarded_write(to, bytes);
  free(bytes);
}

START_TEST(attention_and_the_cache_are_the_reference_s) {
  llq_backend *backends[2] = {open_reference(),
                              open_subject(_i / (N_TYPES * N_HEADS))};
  const struct heads *heads = &shapes[_i % N_HEADS];
  const int *type = types[_i / N_HEADS % N_TYPES];
  float scale = 1 / sqrtf((float)heads->head_size);
  struct scene scenes[2];
  for (int b = 0; b < 2; b++) {
    struct scene *s = &scenes[b];
    open_scene(s, backends[b], heads, type[0], type[1]);
    ck_assert_llq_ok(llqi_op_rope_append(s->backend, &batch, &s->cos_sin.view,
                                         &s->q.view, &s->k.view, &s->v.view,
                                         &s->cache));
    ck_assert_llq_ok(llqi_op_page_copy(s->backend, &s->cache, 4, 20));
  }
  float one = type[0] == LLQ_F32 ? TOLERANCE_F32 : TOLERANCE_BF16;
  guarded_compare(&scenes[0].q, &scenes[1].q, one, "rotated q");
  guarded_compare(&scenes[0].k, &scenes[1].k, one, "rotated k");
  guarded_compare(&scenes[0].keys, &scenes[1].keys, stored_tolerance(type[1]),
                  "cached keys");
  guarded_compare(&scenes[0].values, &scenes[1].values, 0, "cached values");
  copy(&scenes[0].keys, &scenes[1].keys);
  for (int b = 0; b < 2; b++)
    ck_assert_llq_ok(llqi_op_attention(backends[b], &batch, &scenes[b].q.view,
                                       &scenes[b].cache, scale,
                                       &scenes[b].out.view));
  guarded_compare(&scenes[0].out, &scenes[1].out,
                  type[0] == LLQ_F32 ? TOLERANCE_ATTENTION_F32 : TOLERANCE_BF16,
                  "attention");
  for (int b = 0; b < 2; b++) {
    close_scene(&scenes[b]);
    llq_backend_close(backends[b]);
  }
}
END_TEST

START_TEST(a_row_s_attention_is_the_same_alone) {
  static const int kv_types[] = {LLQ_BF16, LLQ_I8, LLQ_F8_E4M3};
  llq_backend *backend = open_subject(_i / (3 * N_HEADS));
  struct scene s;
  open_scene(&s, backend, &shapes[_i % N_HEADS], LLQ_F32,
             kv_types[_i / N_HEADS % 3]);
  static float together[BATCH_ROWS * 1024], alone[1024];
  int64_t n = s.q.view.n_cols;
  ck_assert_llq_ok(llqi_op_attention(backend, &batch, &s.q.view, &s.cache, 0.2f,
                                     &s.out.view));
  guarded_get(&s.out, together);
  for (int row = 10; row < 15; row++) {
    llq_segment segment = {0, 1, 14 + row - 10, 11};
    llq_batch single = {&segment, pages, 1, N_LISTED, PAGE, 1};
    llq_view q = {(float *)s.q.view.data + row * n, 1, n, LLQ_F32};
    struct guarded out = guarded_open(backend, 1, n, LLQ_F32);
    ck_assert_llq_ok(
        llqi_op_attention(backend, &single, &q, &s.cache, 0.2f, &out.view));
    guarded_get(&out, alone);
    ck_assert_mem_eq(alone, together + row * n, (size_t)n * sizeof *alone);
    guarded_close(&out);
  }
  close_scene(&s);
  llq_backend_close(backend);
}
END_TEST

START_TEST(the_rest_of_the_cache_stays_as_it_was) {
  llq_backend *backend = _i == 0 ? open_reference() : open_subject(_i - 1);
  struct scene s;
  open_scene(&s, backend, &shapes[1], LLQ_F32, LLQ_F32);
  static float before[N_PAGES * PAGE * 128], after[N_PAGES * PAGE * 128];
  guarded_get(&s.keys, before);
  ck_assert_llq_ok(llqi_op_rope_append(backend, &batch, &s.cos_sin.view,
                                       &s.q.view, &s.k.view, &s.v.view,
                                       &s.cache));
  guarded_get(&s.keys, after);
  int n_changed = 0;
  for (int slot = 0; slot < N_PAGES * PAGE; slot++)
    n_changed += memcmp(before + slot * 128, after + slot * 128,
                        128 * sizeof *before) != 0;
  ck_assert_int_eq(n_changed, BATCH_ROWS);
  close_scene(&s);
  llq_backend_close(backend);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("operations");
  TCase *tests = tcase_create("operations");
  n_subjects = find_subjects();
  int n_turns = n_subjects * 2 * N_WIDTHS;
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, rms_norm_is_the_reference_s, 0, n_turns);
  tcase_add_loop_test(tests, swiglu_is_the_reference_s_to_both_ends_of_exp, 0,
                      n_turns);
  tcase_add_loop_test(tests, add_embed_and_gather_are_exact, 0, n_turns);
  tcase_add_loop_test(tests, attention_and_the_cache_are_the_reference_s, 0,
                      n_subjects * N_TYPES * N_HEADS);
  tcase_add_loop_test(tests, a_row_s_attention_is_the_same_alone, 0,
                      n_subjects * 3 * N_HEADS);
  tcase_add_loop_test(tests, the_rest_of_the_cache_stays_as_it_was, 0,
                      1 + n_subjects);
  suite_add_tcase(suite, tests);
  return suite;
}
