/* SPDX-License-Identifier: Apache-2.0 */
/* Rope, append and attention as one operation, of every backend that has fused
   operations: against the reference's three, and row by row. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guarded.h"
#include "support.h"
#include "tensor/dtype.h"

/* Of a row's largest value: weights are rounded to bf16, and the result. */
#define TOLERANCE 1.6e-2f

#define PAGE 16
#define N_SEGMENTS 6
#define N_ROWS 38
#define N_LISTED 52
#define N_POSITIONS 260

/* Chunks and single tokens; within a tile of 64 positions, at its ends, and
   some tiles on. */
static const llq_segment segments[N_SEGMENTS] = {
    {0, 9, 0, 0},     {9, 1, 63, 1},    {10, 1, 64, 5},
    {11, 21, 50, 10}, {32, 1, 251, 15}, {33, 5, 190, 33}};

struct shape {
  int n_kv_heads, per_kv_head, head_size;
};
static const struct shape shapes[] = {{2, 4, 64}, {1, 2, 32}, {2, 4, 128},
                                      {1, 8, 96}, {2, 1, 64}, {1, 3, 48}};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static const int kv_types[] = {LLQ_BF16, LLQ_I8, LLQ_F8_E4M3};
#define N_TYPES ((int)(sizeof kv_types / sizeof kv_types[0]))

static int n_subjects;
static int32_t pages[N_LISTED];

static llq_batch batch_of(const llq_segment *list, int n, int n_rows) {
  for (int i = 0; i < N_LISTED; i++)
    pages[i] = (i * 11 + 5) % N_LISTED;
  return (llq_batch){list, pages, n, N_LISTED, PAGE, n_rows};
}

/* The same numbers on any backend. */
struct scene {
  llq_backend *backend;
  int64_t n_q, n_kv;
  struct guarded qkv, out, cos_sin, keys, values;
  llq_kv cache;
};

static struct guarded random_matrix(llq_backend *backend, int64_t n_rows,
                                    int64_t n_cols, int dtype, uint64_t seed,
                                    float sigma) {
  size_t n = (size_t)(n_rows * n_cols);
  float *values = malloc(n * sizeof *values);
  struct guarded matrix = guarded_open(backend, n_rows, n_cols, dtype);
  normal_values(seed, sigma, values, n);
  guarded_set(&matrix, values);
  free(values);
  return matrix;
}

static void open_scene(struct scene *s, llq_backend *backend,
                       const struct shape *shape, int kv_type) {
  float scale = kv_type == LLQ_I8 ? 0.05f : kv_type == LLQ_F8_E4M3 ? 0.015f : 1;
  s->backend = backend;
  s->n_kv = (int64_t)shape->n_kv_heads * shape->head_size;
  s->n_q = s->n_kv * shape->per_kv_head;
  s->qkv =
      random_matrix(backend, N_ROWS, s->n_q + 2 * s->n_kv, LLQ_BF16, 1, 1.5f);
  s->out = guarded_open(backend, N_ROWS, s->n_q, LLQ_BF16);
  s->cos_sin =
      random_matrix(backend, N_POSITIONS, shape->head_size, LLQ_F32, 2, 0.7f);
  s->keys = random_matrix(backend, (int64_t)N_LISTED * PAGE, s->n_kv, kv_type,
                          3, 1 / scale);
  s->values = random_matrix(backend, (int64_t)N_LISTED * PAGE, s->n_kv, kv_type,
                            4, 1 / scale);
  s->cache = (llq_kv){
      s->keys.view.data, s->values.view.data, kv_type, N_LISTED,    PAGE,
      shape->n_kv_heads, shape->head_size,    scale,   0.8f * scale};
}

static void close_scene(struct scene *s) {
  guarded_close(&s->qkv);
  guarded_close(&s->out);
  guarded_close(&s->cos_sin);
  guarded_close(&s->keys);
  guarded_close(&s->values);
}

/* Columns first .. first + n of a matrix. */
static struct guarded columns(const struct guarded *from, int64_t first,
                              int64_t n) {
  int64_t n_rows = from->view.n_rows, width = from->view.n_cols;
  float *all = malloc((size_t)(n_rows * width) * sizeof *all);
  struct guarded part = guarded_open(from->backend, n_rows, n, LLQ_BF16);
  guarded_get(from, all);
  for (int64_t r = 0; r < n_rows; r++)
    memmove(all + r * n, all + r * width + first, (size_t)n * sizeof *all);
  guarded_set(&part, all);
  free(all);
  return part;
}

/* The three operations that attend stands for. */
static void compose(struct scene *s, float scale) {
  llq_batch batch = batch_of(segments, N_SEGMENTS, N_ROWS);
  struct guarded q = columns(&s->qkv, 0, s->n_q);
  struct guarded k = columns(&s->qkv, s->n_q, s->n_kv);
  struct guarded v = columns(&s->qkv, s->n_q + s->n_kv, s->n_kv);
  ck_assert_llq_ok(llqi_op_rope_append(s->backend, &batch, &s->cos_sin.view,
                                       &q.view, &k.view, &v.view, &s->cache));
  ck_assert_llq_ok(llqi_op_attention(s->backend, &batch, &q.view, &s->cache,
                                     scale, &s->out.view));
  guarded_close(&q);
  guarded_close(&k);
  guarded_close(&v);
}

/* One step of nothing else. */
static void attend(struct scene *s, const llq_batch *batch, const llq_view *qkv,
                   float scale, llq_view *out) {
  const llq_fused_plan options = {sizeof options, N_ROWS, N_POSITIONS, 0, 1};
  static const int32_t ids[N_ROWS];
  const llq_fused_step step = {
      .struct_size = sizeof step, .batch = batch, .ids = ids};
  void *plan;
  int is_recorded;
  ck_assert_llq_ok(llqi_plan_open(s->backend, &options, &plan));
  ck_assert_llq_ok(llqi_fused_begin(s->backend, plan, &step, &is_recorded));
  int status = llqi_fused_attend(s->backend, batch, &s->cos_sin.view, qkv,
                                 &s->cache, scale, out);
  ck_assert_llq_ok(llqi_fused_end(s->backend, status, NULL));
  ck_assert_llq_ok(s->backend->table->memory->synchronize(s->backend->self));
  llqi_plan_close(s->backend, plan);
}

/* A key that was rotated a little differently is stored as the next number of
   those that there are, at most. */
static float stored_tolerance(int kv_type) {
  return kv_type == LLQ_BF16 ? 3.9e-3f : kv_type == LLQ_I8 ? 1 / 64.0f : 0.125f;
}

START_TEST(attend_is_what_it_stands_for) {
  llq_backend *subject = open_subject(_i / (N_SHAPES * N_TYPES));
  llq_backend *reference = open_reference();
  const struct shape *shape = &shapes[_i / N_TYPES % N_SHAPES];
  int kv_type = kv_types[_i % N_TYPES];
  float scale = 1 / sqrtf((float)shape->head_size);
  llq_batch batch = batch_of(segments, N_SEGMENTS, N_ROWS);
  struct scene expected, found;
  open_scene(&expected, reference, shape, kv_type);
  open_scene(&found, subject, shape, kv_type);
  compose(&expected, scale);
  attend(&found, &batch, &found.qkv.view, scale, &found.out.view);
  guarded_compare(&expected.keys, &found.keys, stored_tolerance(kv_type),
                  "keys");
  guarded_compare(&expected.values, &found.values, 0, "values");
  guarded_compare(&expected.out, &found.out, TOLERANCE, "attention");
  close_scene(&expected);
  close_scene(&found);
  llq_backend_close(reference);
  llq_backend_close(subject);
}
END_TEST

/* A row of its own as it was among others. */
static void expect_same_alone(struct scene *s, const llq_segment *segment,
                              int row, float scale, const uint16_t *together) {
  const llq_segment alone = {0, 1, segment->first_position + row,
                             segment->first_page};
  llq_batch batch = batch_of(&alone, 1, 1);
  int64_t width = s->n_q + 2 * s->n_kv, at = segment->first_row + row;
  uint16_t *all = malloc(guarded_size(&s->qkv));
  uint16_t *out = malloc((size_t)s->n_q * sizeof *out);
  struct guarded qkv = guarded_open(s->backend, 1, width, LLQ_BF16);
  struct guarded single = guarded_open(s->backend, 1, s->n_q, LLQ_BF16);
  guarded_read(&s->qkv, all);
  guarded_write(&qkv, all + at * width);
  attend(s, &batch, &qkv.view, scale, &single.view);
  guarded_read(&single, out);
  ck_assert_msg(
      memcmp(out, together + at * s->n_q, (size_t)s->n_q * sizeof *out) == 0,
      "row %d of %d at %d differs alone", row, segment->n_rows,
      segment->first_position);
  guarded_close(&qkv);
  guarded_close(&single);
  free(out);
  free(all);
}

START_TEST(a_row_is_the_same_alone) {
  llq_backend *subject = open_subject(_i / (N_SHAPES * N_TYPES));
  const struct shape *shape = &shapes[_i / N_TYPES % N_SHAPES];
  float scale = 1 / sqrtf((float)shape->head_size);
  llq_batch batch = batch_of(segments, N_SEGMENTS, N_ROWS);
  struct scene s;
  open_scene(&s, subject, shape, kv_types[_i % N_TYPES]);
  /* Its queries are rotated where they lie by kernels that are not fused. */
  struct guarded qkv = columns(&s.qkv, 0, s.n_q + 2 * s.n_kv);
  attend(&s, &batch, &qkv.view, scale, &s.out.view);
  uint16_t *together = malloc(guarded_size(&s.out));
  guarded_read(&s.out, together);
  for (int i = 0; i < N_SEGMENTS; i++)
    for (int row = 0; row < segments[i].n_rows; row += 4)
      expect_same_alone(&s, &segments[i], row, scale, together);
  free(together);
  guarded_close(&qkv);
  close_scene(&s);
  llq_backend_close(subject);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("fused_attend");
  TCase *tests = tcase_create("fused_attend");
  n_subjects = find_fused_subjects();
  if (n_subjects == 0)
    printf("# SKIP no device with fused operations\n");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, attend_is_what_it_stands_for, 0,
                      n_subjects * N_SHAPES * N_TYPES);
  tcase_add_loop_test(tests, a_row_is_the_same_alone, 0,
                      n_subjects * N_SHAPES * N_TYPES);
  suite_add_tcase(suite, tests);
  return suite;
}
