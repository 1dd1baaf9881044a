/* SPDX-License-Identifier: Apache-2.0 */
/* What a quantizer refuses: options, shapes, models, weights. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "model/model.h"
#include "rounding.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

static int refusal(llq_model *model, const llq_quantizer_options *options) {
  llq_quantizer *quantizer;
  int status = llq_quantizer_open(&quantizer, NULL, model, options);
  ck_assert_ptr_null(quantizer);
  return status;
}

START_TEST(options_that_make_no_sense_are_named) {
  static const struct {
    llq_quantizer_options options;
    const char *message;
  } cases[] = {
      {{.struct_size = sizeof(llq_quantizer_options), .scheme = "w3"},
       "scheme"},
      {{.struct_size = sizeof(llq_quantizer_options)}, "scheme"},
      {{.struct_size = sizeof(llq_quantizer_options),
        .scheme = "bf16",
        .method = "magic"},
       "found 'magic'"},
      {{.struct_size = sizeof(llq_quantizer_options),
        .scheme = "w4a16-int",
        .group_size = 48},
       "group_size: expected 32, 64, 128 or -1, found 48"},
      {{.struct_size = sizeof(llq_quantizer_options),
        .scheme = "w8a8-int",
        .group_size = 64},
       "group_size: w8a8-int has none"},
      {{.struct_size = sizeof(llq_quantizer_options),
        .scheme = "w8a8-fp",
        .asymmetric = 1},
       "asymmetric: w8a8-fp is symmetric"},
      {{.struct_size = sizeof(llq_quantizer_options),
        .scheme = "w4a16-int",
        .asymmetric = 2},
       "asymmetric"},
      {{.scheme = "w4a16-int"}, "struct_size"},
  };
  llq_model *model = rounding_model("bfloat16", 192, 1);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    ck_assert_llq_fails(refusal(model, &cases[i].options), LLQ_ERROR_ARGUMENT,
                        cases[i].message);
  llq_quantizer *quantizer;
  ck_assert_llq_fails(llq_quantizer_open(&quantizer, NULL, model, NULL),
                      LLQ_ERROR_ARGUMENT, "options");
  llq_model_close(model);
}
END_TEST

START_TEST(a_width_that_groups_do_not_divide_is_refused) {
  llq_model *model = rounding_model("bfloat16", 192, 1);
  llq_quantizer_options options = rounding_options("w4a16-int", 128, 0);
  ck_assert_llq_fails(refusal(model, &options), LLQ_ERROR_UNSUPPORTED,
                      "model.layers.0.self_attn.q_proj.weight: width 64 is not "
                      "a multiple of 128");
  llq_model_close(model);
  model = rounding_model("bfloat16", 100, 1);
  options = rounding_options("w4a16-int", -1, 0);
  ck_assert_llq_fails(refusal(model, &options), LLQ_ERROR_UNSUPPORTED,
                      "model.layers.0.mlp.down_proj.weight: width 100 is not a "
                      "multiple of 8");
  llq_model_close(
      rounding_result(model, "w8a8-int", 0, 0)); /* any width will do */
}
END_TEST

START_TEST(a_quantized_model_is_refused) {
  llq_model *model =
      rounding_result(rounding_model("bfloat16", 192, 1), "w8a8-fp", 0, 0);
  llq_quantizer_options options = rounding_options("w4a16-int", 32, 0);
  ck_assert_llq_fails(refusal(model, &options), LLQ_ERROR_UNSUPPORTED,
                      "is quantized already, to w8a8-fp");
  llq_model_close(model);
}
END_TEST

/* Layer 1's up_proj with these two values in row 7. */
static llq_model *spoilt_model(float at_3, float at_60) {
  llq_model *model = rounding_model("float16", 192, 1);
  llq_weight *up = &model->layers[1].linears[LLQI_UP];
  uint16_t *data = llqi_alloc(llqi_weight_data_bytes(up));
  memcpy(data, up->data, llqi_weight_data_bytes(up));
  data[7 * 64 + 3] = llqi_f32_to_f16(at_3);
  data[7 * 64 + 60] = llqi_f32_to_f16(at_60);
  ck_assert_llq_ok(llqi_model_own(model, data));
  up->data = data;
  return model;
}

static int verdict(llq_model *model, const llq_quantizer_options *options) {
  llq_quantizer *quantizer;
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, NULL, model, options));
  llq_model_close(model);
  int status = llq_quantizer_run(quantizer);
  llq_quantizer_close(quantizer);
  return status;
}

START_TEST(bad_weights_are_refused_by_name_and_place) {
  const char *schemes[] = {"bf16", "w8a8-fp", "w8a8-int", "w4a16-int"};
  for (int i = 0; i < 4; i++) {
    llq_quantizer_options options =
        rounding_options(schemes[i], i == 3 ? 32 : 0, 0);
    ck_assert_llq_fails(verdict(spoilt_model(1, NAN), &options),
                        LLQ_ERROR_FORMAT,
                        "model.layers.1.mlp.up_proj.weight: NaN at [7, 60]");
    ck_assert_llq_fails(verdict(spoilt_model(-INFINITY, NAN), &options),
                        LLQ_ERROR_FORMAT, "infinity at [7, 3]");
  }
  llq_quantizer_options options = rounding_options("w4a16-int", -1, 1);
  ck_assert_llq_fails(verdict(spoilt_model(-40000, 40000), &options),
                      LLQ_ERROR_FORMAT, "range too wide at [7, 0]");
  options.asymmetric = 0;
  ck_assert_llq_ok(verdict(spoilt_model(-40000, 40000), &options));
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("quantizer_refusals");
  TCase *tests = tcase_create("quantizer_refusals");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, options_that_make_no_sense_are_named);
  tcase_add_test(tests, a_width_that_groups_do_not_divide_is_refused);
  tcase_add_test(tests, a_quantized_model_is_refused);
  tcase_add_test(tests, bad_weights_are_refused_by_name_and_place);
  suite_add_tcase(suite, tests);
  return suite;
}
