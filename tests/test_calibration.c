/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of calibration, each beside its definition; and what samples a
   file gives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llq/quantizer.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/random.h"
#include "base/status.h"
#include "quantizer/calibration.h"
#include "quantizer/gptq.h"
#include "support.h"
#include "tensor/dtype.h"

#define N 70
#define N_ROWS 300
#define N_OUT 37

static llq_backend *open_cpu(void) {
  llq_backend *backend;
  ck_assert_llq_ok(llq_backend_open(&backend, "cpu", NULL));
  return backend;
}

static llq_view matrix(int64_t n_rows, int64_t n_cols, float *data) {
  return (llq_view){data, n_rows, n_cols, LLQ_F32};
}

static float *draw(size_t n, uint64_t seed) {
  float *values = llqi_array(n + 4, sizeof *values);
  for (size_t i = 0; i < n; i += 4)
    llqi_normal4(seed, i, 0, values + i);
  return values;
}

/* Correlated rows, so that one column says something about the next. */
static float *draw_inputs(int64_t n_rows, int64_t n) {
  float *x = draw((size_t)(n_rows * n), 1);
  for (int64_t r = 0; r < n_rows; r++)
    for (int64_t i = 1; i < n; i++)
      x[r * n + i] =
          0.8f * x[r * n + i - 1] + (float)(1 + i % 5) * x[r * n + i];
  return x;
}

START_TEST(gram_and_magnitudes_are_sums_over_rows) {
  llq_backend *backend = open_cpu();
  float *x = draw_inputs(N_ROWS, N), *h = llqi_calloc(N * N, sizeof *h);
  float *sums = llqi_calloc(2 * N, sizeof *sums);
  uint16_t *narrow = llqi_array(N_ROWS * N, sizeof *narrow);
  llqi_from_f32(LLQ_BF16, x, N_ROWS * N, narrow);
  llq_view in = {_i == 0 ? (void *)x : narrow, N_ROWS, N,
                 _i == 0 ? LLQ_F32 : LLQ_BF16};
  if (_i == 1)
    llqi_to_f32(LLQ_BF16, narrow, N_ROWS * N, x);
  llq_view gram = matrix(N, N, h), magnitudes = matrix(2, N, sums);
  for (int twice = 0; twice < 2; twice++) {
    ck_assert_llq_ok(llqi_op_gram(backend, &in, &gram));
    ck_assert_llq_ok(llqi_op_magnitudes(backend, &in, &magnitudes));
  }
  for (int i = 0; i < N; i++) {
    double size = 0, largest = 0;
    for (int r = 0; r < N_ROWS; r++) {
      size += fabs(x[r * N + i]);
      largest = fmax(largest, fabs(x[r * N + i]));
    }
    ck_assert_double_eq_tol(sums[i], 2 * size, 1e-4 * size);
    ck_assert_double_eq(sums[N + i], largest);
    for (int j = i; j < N; j++) {
      double sum = 0;
      for (int r = 0; r < N_ROWS; r++)
        sum += (double)x[r * N + i] * x[r * N + j];
      ck_assert_double_eq_tol(h[i * N + j], 2 * sum, 0.05 + 1e-5 * fabs(sum));
    }
  }
  llqi_free(x);
  llqi_free(h);
  llqi_free(sums);
  llqi_free(narrow);
  llq_backend_close(backend);
}
END_TEST

/* The mean of x x^T, both triangles. */
static float *moments(const float *x, int64_t n_rows, int64_t n) {
  float *h = llqi_array((size_t)(n * n), sizeof *h);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = 0;
      for (int64_t r = 0; r < n_rows; r++)
        sum += (double)x[r * n + i] * x[r * n + j];
      h[i * n + j] = (float)(sum / (double)n_rows);
    }
  return h;
}

START_TEST(the_factor_of_the_inverse_undoes_the_matrix) {
  llq_backend *backend = open_cpu();
  float *x = draw_inputs(N_ROWS, N), *h = moments(x, N_ROWS, N);
  float *u = llqi_array(N * N, sizeof *u);
  memcpy(u, h, N * N * sizeof *u);
  for (int i = 0; i < N; i++)
    for (int j = 0; j < i; j++)
      u[i * N + j] = 123; /* must not be looked at, nor changed */
  llq_view factor = matrix(N, N, u);
  int definite = 0;
  ck_assert_llq_ok(llqi_op_factor(backend, &factor, &definite));
  ck_assert_int_eq(definite, 1);
  /* U h U^T is the identity. */
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = i; k < N; k++)
        for (int m = j; m < N; m++)
          sum += (double)u[i * N + k] * h[k * N + m] * u[j * N + m];
      ck_assert_double_eq_tol(sum, i == j, 2e-3);
      if (j < i)
        ck_assert_float_eq(u[i * N + j], 123);
    }
  for (int i = 0; i < N; i++)
    u[i * N + i] = -1;
  ck_assert_llq_ok(llqi_op_factor(backend, &factor, &definite));
  ck_assert_int_eq(definite, 0);
  llqi_free(x);
  llqi_free(h);
  llqi_free(u);
  llq_backend_close(backend);
}
END_TEST

/* GPTQ as its paper has it, column by column over the whole matrix. */
static void plain_gptq(const float *u, const float *scale, float *w) {
  for (int r = 0; r < N_OUT; r++)
    for (int i = 0; i < N; i++) {
      float *row = w + r * N;
      const float s = scale[r * 2 + i / 35];
      float code = nearbyintf(fmaxf(-8, fminf(7, row[i] / s)));
      const float error = (row[i] - code * s) / u[i * N + i];
      for (int j = i + 1; j < N; j++)
        row[j] -= error * u[i * N + j];
      row[i] = code;
    }
}

START_TEST(blocks_give_what_single_columns_do) {
  static const int blocks[] = {1, 7, 32, 70};
  llq_backend *backend = open_cpu();
  float *x = draw_inputs(N_ROWS, N), *u = moments(x, N_ROWS, N);
  float *w = draw(N_OUT * N, 2), *expected = draw(N_OUT * N, 2);
  float scale[N_OUT * 2], zero[N_OUT * 2] = {0}, errors[N_OUT * N];
  int32_t groups[N];
  int definite, n_different = 0;
  for (int i = 0; i < N_OUT * 2; i++)
    scale[i] = 0.2f + 0.01f * (float)(i % 7);
  for (int i = 0; i < N; i++)
    groups[i] = i / 35;
  llq_view factor = matrix(N, N, u), all = matrix(N_OUT, N, w);
  llq_view scales = matrix(N_OUT, 2, scale), zeros = matrix(N_OUT, 2, zero);
  ck_assert_llq_ok(llqi_op_factor(backend, &factor, &definite));
  plain_gptq(u, scale, expected);
  for (int at = 0; at < N; at += blocks[_i]) {
    const int n = N - at < blocks[_i] ? N - at : blocks[_i];
    llq_view lost = matrix(N_OUT, n, errors);
    const llq_encoding encoding = {.struct_size = sizeof encoding,
                                   .format = LLQ_WEIGHT_INT4,
                                   .dtype = LLQ_F32,
                                   .first = at,
                                   .n = n,
                                   .groups = groups + at,
                                   .scale = &scales,
                                   .zero = &zeros};
    ck_assert_llq_ok(llqi_op_encode(backend, &encoding, &factor, &all, &lost));
    ck_assert_llq_ok(llqi_op_update(backend, at, &lost, &factor, &all));
  }
  for (int i = 0; i < N_OUT * N; i++)
    n_different += w[i] != expected[i];
  ck_assert_int_le(n_different, 4); /* ties that rounding errors decide */
  llqi_free(x);
  llqi_free(u);
  llqi_free(w);
  llqi_free(expected);
  llq_backend_close(backend);
}
END_TEST

/* ---- Samples ---- */

static llq_model *open_micro(void) {
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, "llq-micro", NULL));
  return model;
}

static const char *write_text(const char *name, const char *text) {
  const char *path = test_path(name);
  ck_assert_llq_ok(llqi_file_write(path, text, strlen(text)));
  return path;
}

START_TEST(text_is_cut_into_samples_that_begin_alike) {
  static const char text[] = "def add(a, b):\n    return a + b\n\n"
                             "def sub(a, b):\n    return a - b\n";
  llq_model *model = open_micro();
  const llq_tokenizer *tokenizer;
  ck_assert_llq_ok(llq_model_tokenizer(model, &tokenizer));
  int32_t ids[200];
  size_t n_ids, n_total = 0;
  ck_assert_llq_ok(
      llq_tokenizer_encode(tokenizer, text, strlen(text), 0, ids, 200, &n_ids));
  struct llqi_calibration set = {0};
  const struct llqi_choice_of_samples choice = {100, 9, 0};
  ck_assert_llq_ok(llqi_calibration_add_file(
      &set, model, write_text("text.txt", text), &choice));
  ck_assert_uint_eq(set.n_samples, (n_ids + 7) / 8);
  int32_t seen[3000] = {0};
  for (size_t s = 0, i = 0; s < set.n_samples; s++) {
    ck_assert_int_eq(set.ids[i], llq_tokenizer_bos(tokenizer));
    for (i++; i < set.ends[s]; i++, n_total++)
      seen[set.ids[i]]++;
  }
  ck_assert_uint_eq(n_total, n_ids);
  for (size_t i = 0; i < n_ids; i++)
    seen[ids[i]]--;
  for (size_t i = 0; i < 3000; i++)
    ck_assert_int_eq(seen[i], 0);
  llqi_calibration_free(&set);
  llq_model_close(model);
}
END_TEST

START_TEST(samples_and_their_hash_follow_the_seed) {
  llq_model *model = open_micro();
  char lines[4000] = "", hash[4][LLQI_HASH_TEXT_SIZE];
  for (int i = 0; i < 40; i++)
    sprintf(lines + strlen(lines), "{\"text\": \"x%d = %d\"}\n\n", i, i);
  const char *path = write_text("lines.jsonl", lines);
  for (int i = 0; i < 4; i++) {
    struct llqi_calibration set = {0};
    const struct llqi_choice_of_samples choice = {10, 50,
                                                  (uint64_t)(i == 1 ? 5 : 4)};
    if (i < 3)
      ck_assert_llq_ok(llqi_calibration_add_file(&set, model, path, &choice));
    else
      ck_assert_llq_ok(llqi_calibration_add_random(&set, 2048, &choice));
    ck_assert_uint_eq(set.n_samples, 10);
    ck_assert_llq_ok(llqi_calibration_hash(&set, hash[i]));
    llqi_calibration_free(&set);
  }
  ck_assert_str_ne(hash[0], hash[1]);
  ck_assert_str_eq(hash[0], hash[2]);
  ck_assert_str_ne(hash[0], hash[3]);
  llq_model_close(model);
}
END_TEST

START_TEST(what_is_wrong_with_a_file_is_said_with_its_line) {
  static const struct {
    const char *text, *message;
    int status;
  } cases[] = {
      {"{\"text\": \"a\"}\n{\"text\": 3}\n", ":2", LLQ_ERROR_FORMAT},
      {"{\"text\": \"a\"}\nnonsense\n", ":2", LLQ_ERROR_FORMAT},
      {"{\"prompt\": \"a\"}\n", ":1", LLQ_ERROR_FORMAT},
      {"{\"messages\": []}\n", ":1: 0 messages", LLQ_ERROR_FORMAT},
      {"{\"messages\": [{\"role\": \"user\"}]}\n", ":1", LLQ_ERROR_FORMAT},
      {"\n \n", "no text to calibrate on", LLQ_ERROR_FORMAT},
  };
  llq_model *model = open_micro();
  const struct llqi_choice_of_samples choice = {10, 50, 0};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct llqi_calibration set = {0};
    llqi_error_clear();
    ck_assert_llq_fails(
        llqi_calibration_add_file(
            &set, model, write_text("bad.jsonl", cases[i].text), &choice),
        cases[i].status, cases[i].message);
    llqi_calibration_free(&set);
  }
  llq_model_close(model);
}
END_TEST

START_TEST(chats_go_through_the_chat_format) {
  llq_model *model = open_micro();
  struct llqi_calibration set = {0};
  const struct llqi_choice_of_samples choice = {10, 500, 0};
  ck_assert_llq_ok(llqi_calibration_add_file(
      &set, model,
      write_text("chat.jsonl",
                 "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"},"
                 "{\"role\": \"assistant\", \"content\": \"ho\"}]}"),
      &choice));
  const llq_tokenizer *tokenizer;
  ck_assert_llq_ok(llq_model_tokenizer(model, &tokenizer));
  const int32_t end = llq_tokenizer_special(tokenizer, "<|eot_id|>");
  int n_ends = 0;
  for (size_t i = 0; i < set.n_ids; i++)
    n_ends += set.ids[i] == end;
  ck_assert_int_eq(n_ends, 3); /* the system's, too */
  llqi_calibration_free(&set);
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("calibration");
  TCase *operations = tcase_create("operations");
  tcase_add_loop_test(operations, gram_and_magnitudes_are_sums_over_rows, 0, 2);
  tcase_add_test(operations, the_factor_of_the_inverse_undoes_the_matrix);
  tcase_add_loop_test(operations, blocks_give_what_single_columns_do, 0, 4);
  suite_add_tcase(suite, operations);
  TCase *samples = tcase_create("samples");
  tcase_add_test(samples, text_is_cut_into_samples_that_begin_alike);
  tcase_add_test(samples, samples_and_their_hash_follow_the_seed);
  tcase_add_test(samples, what_is_wrong_with_a_file_is_said_with_its_line);
  tcase_add_test(samples, chats_go_through_the_chat_format);
  suite_add_tcase(suite, samples);
  return suite;
}
