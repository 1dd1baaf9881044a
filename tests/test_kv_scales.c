/* SPDX-License-Identifier: Apache-2.0 */
/* Scales of a KV cache from calibration: those of the keys and values that the
   quantized model has in its cache. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "forward_run.h"
#include "support.h"
#include "support/calibrated.h"
#include "tensor/dtype.h"

#define N_SAMPLES 5
#define N_TOKENS 45

static void sample(int i, int32_t *ids) {
  for (int k = 0; k < N_TOKENS; k++)
    ids[k] = (k * k + 7 * i * k + 3 * i) % 40;
}

static void calibrate(llq_quantizer *quantizer) {
  int32_t ids[N_TOKENS];
  for (int i = 0; i < N_SAMPLES; i++) {
    sample(i, ids);
    ck_assert_llq_ok(llq_quantizer_calibrate_ids(quantizer, ids, N_TOKENS));
  }
}

static llq_quantizer_options options_of(const char *scheme, const char *method,
                                        const char *kv_cache) {
  llq_quantizer_options options = calibrated_options(scheme, method);
  options.is_parallel = options.measure = 0;
  options.group_size = strcmp(scheme, "w4a16-int") == 0 ? 32 : 0;
  options.kv_cache = kv_cache;
  return options;
}

static llq_model *quantize(llq_model *base,
                           const llq_quantizer_options *options) {
  llq_quantizer *quantizer;
  llq_model *model;
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, base, options));
  calibrate(quantizer);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &model));
  llq_quantizer_close(quantizer);
  return model;
}

/* The largest magnitude of a layer's keys or values; unused positions are 0. */
static float largest_in(const struct forward_run *run, const void *memory) {
  const struct llqi_config *config = &run->model->config;
  const size_t n = N_TOKENS * (size_t)(config->n_kv_heads * config->head_size);
  const size_t n_all = (size_t)run->n_pages * 16 *
                       (size_t)(config->n_kv_heads * config->head_size);
  uint16_t *bits = calloc(n_all, sizeof *bits);
  float largest = 0;
  ck_assert_uint_le(n, n_all);
  ck_assert_llq_ok(
      llqi_memory_download(run->backend, bits, memory, n_all * sizeof *bits));
  for (size_t i = 0; i < n_all; i++)
    largest = fmaxf(largest, fabsf(llqi_bf16_to_f32(bits[i])));
  free(bits);
  return largest;
}

static void clear(const struct forward_run *run, void *memory) {
  const struct llqi_config *config = &run->model->config;
  const size_t n = (size_t)run->n_pages * 16 *
                   (size_t)(config->n_kv_heads * config->head_size);
  void *zeros = calloc(n, 2);
  ck_assert_llq_ok(llqi_memory_upload(run->backend, memory, zeros, 2 * n));
  free(zeros);
}

/* Keys and values of each layer, by running the whole model. */
static void find_largest(llq_model *model, float largest[2][2]) {
  struct forward_run run;
  int32_t ids[N_TOKENS];
  ck_assert_llq_ok(forward_run_open(&run, calibrated_backend, model, LLQ_BF16,
                                    N_TOKENS, N_TOKENS));
  memset(largest, 0, 4 * sizeof(float));
  for (int i = 0; i < N_SAMPLES; i++) {
    sample(i, ids);
    for (int l = 0; l < 2; l++) {
      clear(&run, run.caches[l].keys);
      clear(&run, run.caches[l].values);
    }
    float logits[40];
    ck_assert_llq_ok(forward_run_tokens(&run, ids, N_TOKENS, 0, 1, logits));
    for (int l = 0; l < 2; l++) {
      largest[l][0] =
          fmaxf(largest[l][0], largest_in(&run, run.caches[l].keys));
      largest[l][1] =
          fmaxf(largest[l][1], largest_in(&run, run.caches[l].values));
    }
  }
  forward_run_close(&run);
}

static float scale_of(float largest, float code) {
  return llqi_bf16_to_f32(llqi_f32_to_bf16(largest / code));
}

static const char *const cases[][3] = {
    {"w8a8-int", "rtn", "fp8"},
    {"w4a16-int", "rtn", "int8"},
    {"w4a16-int", "gptq", "fp8"},
    {"w4a16-int", "awq", "int8"},
    {"w8a8-int", "smoothquant", "int8"},
    {"bf16", NULL, "fp8"},
    {"bf16", NULL, "int8"},
};

START_TEST(scales_are_of_the_largest_in_the_quantized_model_s_cache) {
  llq_model *base = calibrated_small();
  const int is_fp8 = strcmp(cases[_i][2], "fp8") == 0;
  llq_quantizer_options options =
      options_of(cases[_i][0], cases[_i][1], cases[_i][2]);
  llq_model *model = quantize(base, &options);
  float largest[2][2];
  ck_assert_int_eq(model->kv_dtype, is_fp8 ? LLQ_F8_E4M3 : LLQ_I8);
  model->kv_dtype = 0; /* to see what scales are for */
  find_largest(model, largest);
  for (int l = 0; l < 2; l++) {
    const float code = is_fp8 ? 448 : 127;
    ck_assert_float_gt(largest[l][0], 0);
    ck_assert_float_eq(model->layers[l].key_scale,
                       scale_of(largest[l][0], code));
    ck_assert_float_eq(model->layers[l].value_scale,
                       scale_of(largest[l][1], code));
  }
  llq_model_close(model);
  llq_model_close(base);
}
END_TEST

/* The first layer sees the same either way; a later one what the original
   layers give. */
START_TEST(in_parallel_samples_come_from_the_original) {
  llq_model *base = calibrated_small();
  llq_quantizer_options options = options_of("w4a16-int", "rtn", "int8");
  llq_model *one = quantize(base, &options);
  options.is_parallel = 1;
  llq_model *other = quantize(base, &options);
  options = options_of("bf16", NULL, "int8");
  llq_model *original = quantize(base, &options);
  ck_assert_float_eq(one->layers[0].key_scale, other->layers[0].key_scale);
  ck_assert_float_eq(one->layers[0].value_scale, other->layers[0].value_scale);
  ck_assert_float_gt(other->layers[1].value_scale, 0);
  ck_assert(one->layers[1].value_scale != other->layers[1].value_scale ||
            one->layers[1].key_scale != other->layers[1].key_scale);
  ck_assert_float_eq_tol(other->layers[1].value_scale,
                         original->layers[1].value_scale,
                         0.2f * original->layers[1].value_scale);
  llq_model_close(original);
  llq_model_close(other);
  llq_model_close(one);
  llq_model_close(base);
}
END_TEST

START_TEST(a_cache_alone_leaves_the_weights) {
  llq_model *base = calibrated_small(), *again;
  llq_quantizer_options options = options_of("bf16", NULL, "int8");
  llq_model *model = quantize(base, &options);
  expect_same_weights(base, model);
  ck_assert_ptr_null(model->quantization_method);
  ck_assert_ptr_nonnull(model->calibration_sha256);
  ck_assert_llq_ok(llq_model_save(model, test_path("alone"), NULL));
  ck_assert_llq_ok(llq_model_open(&again, test_path("alone"), NULL));
  expect_same_weights(base, again);
  ck_assert_int_eq(again->kv_dtype, LLQ_I8);
  ck_assert_float_eq(again->layers[1].key_scale, model->layers[1].key_scale);
  llq_model_close(again);
  llq_model_close(model);
  llq_model_close(base);
}
END_TEST

START_TEST(calibration_is_asked_for) {
  llq_model *base = calibrated_small();
  llq_quantizer *quantizer;
  llq_quantizer_options options = options_of("w4a16-int", "rtn", "fp8");
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, base, &options));
  ck_assert_llq_fails(llq_quantizer_step(quantizer, NULL), LLQ_ERROR_STATE,
                      "calibration: 0 tokens, kv_cache fp8 needs at least 128");
  llq_quantizer_close(quantizer);
  ck_assert_llq_fails(llq_quantizer_open(&quantizer, NULL, base, &options),
                      LLQ_ERROR_ARGUMENT, "kv_cache fp8 needs a backend");
  options.scheme = "bf16";
  options.group_size = 0;
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, base, &options));
  ck_assert_llq_fails(llq_quantizer_step(quantizer, NULL), LLQ_ERROR_STATE,
                      "0 tokens, kv_cache fp8");
  llq_quantizer_close(quantizer);
  options.kv_cache = "fp4";
  ck_assert_llq_fails(
      llq_quantizer_open(&quantizer, calibrated_backend, base, &options),
      LLQ_ERROR_ARGUMENT, "kv_cache: expected fp8 or int8, found 'fp4'");
  llq_model_close(base);
}
END_TEST

static int open_recipe(llq_model *base, const char *text, llq_quantizer **out) {
  llq_quantizer_options options = options_of("w4a16-int", "rtn", NULL);
  options.recipe = test_path("recipe");
  ck_assert_llq_ok(llqi_file_write(options.recipe, text, strlen(text)));
  return llq_quantizer_open(out, calibrated_backend, base, &options);
}

START_TEST(a_recipe_may_say_it) {
  llq_model *base = calibrated_small(), *model;
  llq_quantizer *quantizer;
  ck_assert_llq_ok(open_recipe(
      base, "*.o_proj bf16\nkv-cache int8 # all layers\n", &quantizer));
  calibrate(quantizer);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &model));
  ck_assert_int_eq(model->kv_dtype, LLQ_I8);
  llq_model_close(model);
  llq_quantizer_close(quantizer);
  static const char *const wrong[][2] = {
      {"kv-cache", "recipe:1: expected fp8 or int8 after kv-cache"},
      {"kv-cache fp8 gptq", "recipe:1: expected fp8 or int8 after kv-cache"},
      {"\nkv-cache fp4", "recipe:2: kv_cache: expected fp8 or int8"},
  };
  for (int i = 0; i < 3; i++)
    ck_assert_llq_fails(open_recipe(base, wrong[i][0], &quantizer),
                        LLQ_ERROR_ARGUMENT, wrong[i][1]);
  llq_model_close(base);
}
END_TEST

/* Layers that wait in files have their scales there. */
START_TEST(what_was_cut_off_goes_on_with_the_same_scales) {
  llq_model *base = calibrated_small(), *model;
  llq_quantizer *quantizer;
  llq_quantizer_options options = options_of("w4a16-int", "rtn", "fp8");
  llq_model *whole = quantize(base, &options);
  options.directory = test_path("spool");
  ck_assert_llq_ok(
      llq_quantizer_open(&quantizer, calibrated_backend, base, &options));
  calibrate(quantizer);
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  llq_quantizer_close(quantizer);
  model = quantize(base, &options);
  for (int l = 0; l < 2; l++) {
    ck_assert_float_eq(model->layers[l].key_scale, whole->layers[l].key_scale);
    ck_assert_float_eq(model->layers[l].value_scale,
                       whole->layers[l].value_scale);
  }
  llq_model_close(model);
  llq_model_close(whole);
  llq_model_close(base);
}
END_TEST

START_TEST(scales_are_kept_unless_a_method_would_spoil_them) {
  llq_model *base = calibrated_small(), *again;
  llq_quantizer *quantizer;
  llq_quantizer_options options = options_of("bf16", NULL, "fp8");
  llq_model *model = quantize(base, &options);
  options = options_of("w4a16-int", "rtn", NULL);
  again = quantize(model, &options);
  ck_assert_int_eq(again->kv_dtype, LLQ_F8_E4M3);
  ck_assert_float_eq(again->layers[0].key_scale, model->layers[0].key_scale);
  llq_model_close(again);
  options.method = "awq";
  ck_assert_llq_fails(
      llq_quantizer_open(&quantizer, calibrated_backend, model, &options),
      LLQ_ERROR_UNSUPPORTED, "give a kv_cache, to find new ones");
  options.kv_cache = "int8";
  again = quantize(model, &options);
  ck_assert_int_eq(again->kv_dtype, LLQ_I8);
  llq_model_close(again);
  llq_model_close(model);
  llq_model_close(base);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("kv_scales");
  TCase *tests = tcase_create("kv_scales");
  tcase_add_checked_fixture(tests, calibrated_setup, calibrated_teardown);
  tcase_add_loop_test(tests,
                      scales_are_of_the_largest_in_the_quantized_model_s_cache,
                      0, (int)(sizeof cases / sizeof cases[0]));
  tcase_add_test(tests, in_parallel_samples_come_from_the_original);
  tcase_add_test(tests, a_cache_alone_leaves_the_weights);
  tcase_add_test(tests, calibration_is_asked_for);
  tcase_add_test(tests, a_recipe_may_say_it);
  tcase_add_test(tests, what_was_cut_off_goes_on_with_the_same_scales);
  tcase_add_test(tests, scales_are_kept_unless_a_method_would_spoil_them);
  suite_add_tcase(suite, tests);
  return suite;
}
