/* SPDX-License-Identifier: Apache-2.0 */
/* Models saved as GPTQ's and AWQ's checkpoints and read again; what these cannot
   say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "quantized.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* Codes, zero points and groups are the same bits; scales the same numbers. */
static void expect_same(const llq_weight *a, const llq_weight *b) {
  const int64_t n_groups = llqi_weight_n_groups(a);
  const size_t n = (size_t)(a->n_out * n_groups);
  ck_assert_int_eq(a->format, b->format);
  ck_assert_int_eq(a->group_size, b->group_size);
  ck_assert_mem_eq(a->data, b->data, llqi_weight_data_bytes(a));
  ck_assert_int_eq(a->zero == NULL, b->zero == NULL);
  if (a->zero != NULL)
    ck_assert_mem_eq(a->zero, b->zero, n);
  ck_assert_int_eq(a->group_index == NULL, b->group_index == NULL);
  if (a->group_index != NULL)
    ck_assert_mem_eq(a->group_index, b->group_index, (size_t)a->n_in * 4);
  for (size_t i = 0; a->scale != NULL && i < n; i++)
    ck_assert_float_eq(llqi_load_f32(a->dtype, a->scale, i),
                       llqi_load_f32(b->dtype, b->scale, i));
}

static void expect_same_models(const llq_model *a, const llq_model *b) {
  for (int layer = 0; layer < 2; layer++)
    for (int k = 0; k < LLQI_N_LINEARS; k++)
      expect_same(&a->layers[layer].linears[k], &b->layers[layer].linears[k]);
}

START_TEST(a_model_comes_back) {
  const char *directory = test_empty_directory("stored");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &quantized_stored[_i].kind);
  ck_assert_llq_ok(
      llq_model_save(model, directory, quantized_stored[_i].format));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  expect_same_models(model, again);
  if (strcmp(quantized_stored[_i].format, "gptq") == 0)
    quantized_compare(model, again);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(exceptions_are_kept_by_gptq_and_some_by_awq) {
  const char *directory = test_empty_directory("exceptions");
  llq_model *model = quantized_base(96), *again;
  for (int k = 0; k < LLQI_DOWN; k++)
    quantized_set(model, 0, k, &quantized_stored[0].kind);
  quantized_set(model, 1, LLQI_Q, &quantized_stored[6].kind);
  quantized_set(model, 1, LLQI_UP, &quantized_stored[2].kind);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  quantized_compare(model, again);
  llq_model_close(again);
  const llq_weight dense = model->layers[1].linears[LLQI_K];
  model->layers[1].linears[LLQI_Q] = model->layers[1].linears[LLQI_O];
  model->layers[1].linears[LLQI_UP] = model->layers[1].linears[LLQI_GATE];
  directory = test_empty_directory("exceptions");
  ck_assert_llq_ok(llq_model_save(model, directory, "awq"));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  expect_same_models(model, again);
  ck_assert_mem_eq(again->layers[1].linears[LLQI_K].data, dense.data,
                   llqi_weight_data_bytes(&dense));
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

static const struct {
  struct kind kind;
  const char *format, *loss;
} losses[] = {
    {{"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, 0, 0, 0},
     "awq",
     "its 8-bit codes"},
    {{"", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 1},
     "awq",
     "its order of groups"},
    {{"", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, 0, 0, 0},
     "gptq",
     "its 8-bit float codes"},
    {{"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0, 0},
     "gptq",
     "the quantization of its inputs"},
    {{"", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, 0, 0, 0},
     "safetensors",
     "the quantization of its inputs"},
};

/* What values a linear's codes mean. */
static void expect_values(const llq_weight *a, const llq_weight *b) {
  float x[128], y[128];
  for (int64_t o = 0; o < a->n_out; o++) {
    llqi_weight_row(a, o, x);
    llqi_weight_row(b, o, y);
    ck_assert_mem_eq(x, y, (size_t)a->n_in * sizeof *x);
  }
}

START_TEST(what_would_be_lost_is_refused_unless_told) {
  const char *directory = test_empty_directory("lossy");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &losses[_i].kind);
  ck_assert_llq_fails(llq_model_save(model, directory, losses[_i].format),
                      LLQ_ERROR_UNSUPPORTED, losses[_i].loss);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "layers.0.self_attn.q_"));
  ck_assert(!llqi_file_exists(test_path("lossy/config.json")));
  llq_save_options options = LLQ_SAVE_OPTIONS_INIT;
  options.format = losses[_i].format;
  options.lossy = 1;
  ck_assert_llq_ok(llq_model_save_as(model, directory, &options));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  for (int k = 0; k < LLQI_N_LINEARS; k++)
    expect_values(&model->layers[1].linears[k], &again->layers[1].linears[k]);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(scales_beyond_f16_are_a_loss_to_awq) {
  const char *directory = test_empty_directory("scales");
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &quantized_stored[7].kind);
  llq_weight *w = &model->layers[1].linears[LLQI_O];
  ((uint16_t *)w->scale)[5] = llqi_f32_to_bf16(0x1.02p-20f);
  ck_assert_llq_ok(llq_model_save(model, directory, "gptq"));
  ck_assert_llq_fails(
      llq_model_save(model, test_empty_directory("scales"), "awq"),
      LLQ_ERROR_UNSUPPORTED,
      "model.layers.1.self_attn.o_proj: would lose bits of its scales");
  llq_model_close(model);
}
END_TEST

START_TEST(memory_may_run_out_anywhere) {
  llq_model *model = quantized_base(96);
  const struct stored *kind = &quantized_stored[_i == 0 ? 4 : 8];
  quantized_set_all(model, &kind->kind);
  const char *directory = test_empty_directory("memory");
  int status = LLQ_ERROR_MEMORY;
  for (long n = 1; status != LLQ_OK; n++) {
    llqi_alloc_fail_at(n, 0);
    status = llq_model_save(model, directory, kind->format);
    llqi_alloc_fail_at(0, 0);
    ck_assert(status == LLQ_OK || status == LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 10000);
  }
  llq_model_close(model);
  status = LLQ_ERROR_MEMORY;
  for (long n = 1; status != LLQ_OK; n++) {
    llqi_alloc_fail_at(n, 0);
    status = llq_model_open(&model, directory, NULL);
    llqi_alloc_fail_at(0, 0);
    ck_assert(status == LLQ_OK || status == LLQ_ERROR_MEMORY);
    ck_assert_int_lt(n, 10000);
  }
  llq_model_close(model);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("formats");
  TCase *tests = tcase_create("formats");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, a_model_comes_back, 0, N_QUANTIZED_STORED);
  tcase_add_test(tests, exceptions_are_kept_by_gptq_and_some_by_awq);
  tcase_add_loop_test(tests, what_would_be_lost_is_refused_unless_told, 0,
                      sizeof losses / sizeof *losses);
  tcase_add_test(tests, scales_beyond_f16_are_a_loss_to_awq);
  tcase_add_loop_test(tests, memory_may_run_out_anywhere, 0, 2);
  suite_add_tcase(suite, tests);
  return suite;
}
