/* SPDX-License-Identifier: Apache-2.0 */
/* Round-to-nearest on random models, one type a test. That codes and scales are
   compressed-tensors', bit by bit, is shown by oracle_quantizer.py. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llq/quantizer.h>

#include "base/alloc.h"
#include "base/status.h"
#include "model/model.h"
#include "rounding.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* The largest of the errors of a weight, each in steps of its own scale. */
static double worst_error(const llq_weight *exact, const llq_weight *found) {
  float before[256], after[256];
  double worst = 0;
  for (int64_t row = 0; row < exact->n_out; row++) {
    llqi_weight_row(exact, row, before);
    llqi_weight_row(found, row, after);
    for (int64_t i = 0; i < exact->n_in; i++) {
      size_t group =
          (size_t)(row * llqi_weight_n_groups(found) + i / found->group_size);
      double scale = llqi_load_f32(found->dtype, found->scale, group);
      worst = fmax(worst, fabs((double)before[i] - after[i]) / scale);
    }
  }
  return worst;
}

/* How far from a weight its code may be, in steps: a half; E4M3's steps below
   448 are of 32. On top, computing in bf16 may lose 2^-7 of the largest code,
   and rounding the zero point cuts off half a step at one end. */
static const struct {
  const char *scheme;
  int group_size, asymmetric;
  double bound;
} kinds[] = {
    {"w8a8-fp", 0, 0, 16 + 3.5},        {"w8a8-int", 0, 0, 0.5 + 1},
    {"w8a16-int", -1, 0, 0.5 + 1},      {"w4a16-int", 32, 0, 0.5 + 0.0625},
    {"w4a16-int", 64, 0, 0.5 + 0.0625}, {"w4a16-int", -1, 0, 0.5 + 0.0625},
    {"w4a16-int", 32, 1, 1 + 0.0625},   {"w4a16-int", -1, 1, 1 + 0.0625},
};

#define N_KINDS (int)(sizeof kinds / sizeof kinds[0])

START_TEST(each_linear_is_within_a_step_of_the_original) {
  llq_model *model = rounding_model("bfloat16", 192, 1);
  llq_model *result =
      rounding_result(llq_model_retain(model), kinds[_i].scheme,
                      kinds[_i].group_size, kinds[_i].asymmetric);
  for (int l = 0; l < 3; l++)
    for (int i = 0; i < LLQI_N_LINEARS; i++) {
      const llq_weight *from = &model->layers[l].linears[i];
      const llq_weight *to = &result->layers[l].linears[i];
      ck_assert_str_eq(llqi_weight_scheme(to), kinds[_i].scheme);
      ck_assert_int_eq(to->zero != NULL, kinds[_i].asymmetric);
      double worst = worst_error(from, to);
      ck_assert_double_le(worst, kinds[_i].bound);
      ck_assert_double_gt(worst, 0.1);
    }
  llq_model_close(result);
  llq_model_close(model);
}
END_TEST

START_TEST(the_rest_is_shared_and_outlives_the_original) {
  llq_model *model = rounding_model("bfloat16", 192, 0);
  const void *embedding = model->embedding.data;
  const void *output = model->output.data;
  llq_model *result = rounding_result(model, "w8a8-int", 0, 0);
  ck_assert_ptr_eq(result->embedding.data, embedding);
  ck_assert_ptr_eq(result->output.data, output);
  float row[64];
  llqi_weight_row(&result->output, 39, row); /* still mapped */
  ck_assert(isfinite(row[63]));
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(result, &info));
  ck_assert_str_eq(info.scheme, "w8a8-int");
  ck_assert_str_eq(result->quantization_method, "rtn");
  llq_model_close(result);
}
END_TEST

START_TEST(bf16_shares_a_bf16_model_whole) {
  llq_model *model = rounding_model("bfloat16", 192, 0);
  const void *gate = model->layers[2].linears[LLQI_GATE].data;
  llq_model *result = rounding_result(model, "bf16", 0, 0);
  ck_assert_ptr_eq(result->layers[2].linears[LLQI_GATE].data, gate);
  ck_assert_uint_eq(result->n_owned, 0);
  ck_assert_ptr_null(result->quantization_method);
  llq_model_close(result);
}
END_TEST

static void check_converted(const llq_weight *from, const llq_weight *to) {
  float before[192], after[192];
  ck_assert_int_eq(to->dtype, LLQ_BF16);
  for (int64_t row = 0; row < from->n_out; row++) {
    llqi_weight_row(from, row, before);
    llqi_weight_row(to, row, after);
    llqi_round_f32(LLQ_BF16, before, (size_t)from->n_in);
    ck_assert_mem_eq(before, after, (size_t)from->n_in * sizeof *before);
  }
}

START_TEST(bf16_converts_everything_of_wider_models) {
  const char *types[] = {"float32", "float16"};
  for (int i = 0; i < 2; i++)
    for (int tied = 0; tied < 2; tied++) {
      llq_model *model = rounding_model(types[i], 192, tied);
      llq_model *result =
          rounding_result(llq_model_retain(model), "bf16", 0, 0);
      for (int k = 0; k < LLQI_N_LINEARS; k++)
        check_converted(&model->layers[1].linears[k],
                        &result->layers[1].linears[k]);
      check_converted(&model->output, &result->output);
      ck_assert_int_eq(result->output.data == result->embedding.data, tied);
      ck_assert_int_eq(result->embedding.dtype, LLQ_BF16);
      ck_assert_int_eq(result->layers[0].input_norm.dtype, LLQ_BF16);
      ck_assert_uint_eq(result->final_norm.n_bytes, 64 * 2);
      ck_assert_int_eq(result->config.dtype, LLQ_BF16);
      ck_assert_str_eq(json_string_value(
                           json_object_get(result->config.json, "torch_dtype")),
                       "bfloat16");
      ck_assert_int_eq(model->config.dtype,
                       i == 0 ? LLQ_F32 : LLQ_F16); /* unchanged */
      llq_model_close(result);
      llq_model_close(model);
    }
}
END_TEST

START_TEST(any_number_of_threads_gives_the_same_bytes) {
  llq_model *results[3];
  const int n_threads[] = {1, 2, 5};
  for (int t = 0; t < 3; t++) {
    rounding_n_threads = n_threads[t];
    results[t] =
        rounding_result(rounding_model("float16", 192, 1), "w4a16-int", 32, 1);
  }
  for (int i = 0; i < LLQI_N_LINEARS; i++) {
    const llq_weight *one = &results[0]->layers[2].linears[i];
    for (int t = 1; t < 3; t++) {
      const llq_weight *other = &results[t]->layers[2].linears[i];
      ck_assert_mem_eq(one->data, other->data, llqi_weight_data_bytes(one));
      ck_assert_mem_eq(one->scale, other->scale, llqi_weight_scale_bytes(one));
      ck_assert_mem_eq(one->zero, other->zero, llqi_weight_zero_bytes(one));
    }
  }
  for (int t = 0; t < 3; t++)
    llq_model_close(results[t]);
}
END_TEST

START_TEST(progress_counts_layers) {
  llq_model *model = rounding_model("bfloat16", 192, 1);
  llq_quantizer_options options = rounding_options("w4a16-int", 32, 0);
  llq_quantizer *quantizer;
  llq_model *result;
  llq_progress progress = LLQ_PROGRESS_INIT;
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, model, &options));
  ck_assert_llq_fails(llq_quantizer_take(quantizer, &result), LLQ_ERROR_STATE,
                      "0 of 3 layers");
  ck_assert_int_eq(llq_quantizer_step(quantizer, &progress), LLQ_MORE);
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  ck_assert_llq_ok(llq_quantizer_step(quantizer, &progress));
  ck_assert_uint_eq(progress.done, 3);
  ck_assert_uint_eq(progress.total, 3);
  ck_assert_str_eq(progress.unit, "layers");
  ck_assert_str_eq(progress.what, "model.layers.2");
  ck_assert_llq_ok(llq_quantizer_step(quantizer, NULL)); /* done stays done */
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_model_close(result);
  ck_assert_llq_fails(llq_quantizer_take(quantizer, &result), LLQ_ERROR_STATE,
                      "taken already");
  ck_assert_llq_fails(llq_quantizer_step(quantizer, NULL), LLQ_ERROR_STATE,
                      "taken already");
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

START_TEST(a_quantizer_closed_midway_leaks_nothing) {
  llq_model *model = rounding_model("bfloat16", 192, 1);
  llq_quantizer_options options = rounding_options("w4a16-int", 32, 1);
  llq_quantizer *quantizer;
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, model, &options));
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  llq_model_close(model);
  llq_quantizer_close(quantizer);
  llq_quantizer_close(NULL);
}
END_TEST

/* Opens, runs and takes while the n-th allocation fails. */
static int attempt(llq_model *model, const llq_quantizer_options *options,
                   long n) {
  llq_quantizer *quantizer;
  llq_model *result = NULL;
  llqi_alloc_fail_at(n, 0);
  int status = llq_quantizer_open(&quantizer, NULL, model, options);
  if (status == LLQ_OK)
    status = llq_quantizer_run(quantizer);
  if (status == LLQ_OK)
    status = llq_quantizer_take(quantizer, &result);
  llqi_alloc_fail_at(0, 0);
  llq_quantizer_close(quantizer);
  llq_model_close(result);
  return status;
}

START_TEST(running_out_of_memory_anywhere_is_reported) {
  const char *schemes[] = {"bf16", "w4a16-int"};
  for (int i = 0; i < 2; i++) {
    llq_model *model = rounding_model("float32", 192, 0);
    llq_quantizer_options options = rounding_options(schemes[i], i * 32, i);
    long n = 1;
    int status;
    while ((status = attempt(model, &options, n)) != LLQ_OK) {
      ck_assert_int_eq(status, LLQ_ERROR_MEMORY);
      ck_assert_ptr_nonnull(strstr(llq_error_message(), "out of memory"));
      n++;
    }
    ck_assert_int_gt(n, 3 * LLQI_N_LINEARS);
    llq_model_close(model);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("quantizer");
  TCase *test = tcase_create("quantizer");
  suite_add_tcase(suite, test);
  tcase_set_timeout(test, 60);
  tcase_add_loop_test(test, each_linear_is_within_a_step_of_the_original, 0,
                      N_KINDS);
  tcase_add_test(test, the_rest_is_shared_and_outlives_the_original);
  tcase_add_test(test, bf16_shares_a_bf16_model_whole);
  tcase_add_test(test, bf16_converts_everything_of_wider_models);
  tcase_add_test(test, any_number_of_threads_gives_the_same_bytes);
  tcase_add_test(test, progress_counts_layers);
  tcase_add_test(test, a_quantizer_closed_midway_leaks_nothing);
  tcase_add_test(test, running_out_of_memory_anywhere_is_reported);
  return suite;
}
