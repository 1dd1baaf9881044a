/* SPDX-License-Identifier: Apache-2.0 */
/* Two models' weights compared. */
#include <math.h>
#include <string.h>

#include "quantized.h"
#include "support.h"
#include "tensor/dtype.h"

static const struct kind int4 = {
    "w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32, 0, 0};

/* Model b is a, but for the values of one linear. */
static float *change(llq_model *b, const llq_weight *w, float values[64 * 64]) {
  llqi_to_f32(LLQ_BF16, w->data, 64 * 64, values);
  llq_weight *changed = &b->layers[0].linears[LLQI_O];
  changed->dtype = LLQ_F32;
  changed->data = values;
  return values;
}

START_TEST(errors_are_those_of_their_definition) {
  static float values[64 * 64];
  llq_model *a = quantized_base(96), *b = quantized_base(96);
  const llq_weight *w = &a->layers[0].linears[LLQI_O];
  double squares = 0;
  change(b, w, values);
  for (int i = 0; i < 64 * 64; i++)
    squares += (double)values[i] * (double)values[i];
  values[70] += 0.5f;
  values[3] -= 0.25f;
  llq_linear_diff diff = LLQ_LINEAR_DIFF_INIT;
  ck_assert_int_eq(llq_model_diff(a, b, LLQI_O, &diff), LLQ_MORE);
  ck_assert_str_eq(diff.name, "model.layers.0.self_attn.o_proj");
  ck_assert_double_eq_tol(diff.relative_error, sqrt(0.3125 / squares), 1e-6);
  ck_assert_double_eq_tol(diff.max_error, 0.5, 1e-6);
  ck_assert_int_eq(diff.max_out, 1);
  ck_assert_int_eq(diff.max_in, 6);
  ck_assert_uint_eq(diff.n_outliers, 2);
  ck_assert_uint_eq(diff.scales_a.n, 0);
  ck_assert_int_eq(llq_model_diff(a, b, LLQI_Q, &diff), LLQ_MORE);
  ck_assert_double_eq(diff.relative_error, 0);
  ck_assert_uint_eq(diff.n_outliers, 0);
  llq_model_close(a);
  llq_model_close(b);
}
END_TEST

START_TEST(scales_are_described) {
  llq_model *a = quantized_base(96), *b = quantized_base(96);
  quantized_set(b, 1, LLQI_K, &int4);
  llq_linear_diff diff = LLQ_LINEAR_DIFF_INIT;
  ck_assert_int_eq(llq_model_diff(a, b, LLQI_N_LINEARS + LLQI_K, &diff),
                   LLQ_MORE);
  ck_assert_str_eq(diff.scheme_a, "bf16");
  ck_assert_str_eq(diff.scheme_b, "w4a16-int");
  ck_assert_uint_eq(diff.scales_b.n, 64);
  ck_assert_double_eq_tol(diff.scales_b.least, 0.001, 1e-5);
  ck_assert_double_eq_tol(diff.scales_b.largest, 0.013, 1e-4);
  ck_assert_double_gt(diff.relative_error, 0);
  llq_model_close(a);
  llq_model_close(b);
}
END_TEST

START_TEST(the_last_linear_ends_it_and_others_are_refused) {
  llq_model *a = quantized_base(96), *b = quantized_base(100);
  llq_linear_diff diff = LLQ_LINEAR_DIFF_INIT;
  ck_assert_llq_ok(llq_model_diff(a, b, 2 * LLQI_N_LINEARS, &diff));
  ck_assert_str_eq(diff.name, "lm_head");
  ck_assert_llq_fails(llq_model_diff(a, b, 2 * LLQI_N_LINEARS + 1, &diff),
                      LLQ_ERROR_ARGUMENT, "linear 15, expected 0 to 14");
  ck_assert_llq_fails(llq_model_diff(a, b, LLQI_UP, &diff), LLQ_ERROR_ARGUMENT,
                      "mlp.up_proj: shape 96x64");
  llq_model_close(a);
  llq_model_close(b);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("diff");
  TCase *tests = tcase_create("diff");
  tcase_add_test(tests, errors_are_those_of_their_definition);
  tcase_add_test(tests, scales_are_described);
  tcase_add_test(tests, the_last_linear_ends_it_and_others_are_refused);
  suite_add_tcase(suite, tests);
  return suite;
}
