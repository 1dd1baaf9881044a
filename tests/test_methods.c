/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrated methods on llq-micro and on models made to be difficult. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llq/quantizer.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/model.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

#define N_LINEARS 70 /* of llq-micro */

static llq_backend *backend;

/* The environment's LLQ_BACKEND, else the CPU. */
static void open_backend(void) {
  ck_assert_llq_ok(llq_backend_open(&backend, NULL, NULL));
}

static void close_backend(void) {
  llq_backend_close(backend);
}

static llq_quantizer_options options_of(const char *scheme,
                                        const char *method) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  options.scheme = scheme;
  options.method = method;
  options.n_samples = 8;
  options.measure = 1;
  options.is_parallel = 1;
  return options;
}

static llq_model *open_micro(void) {
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, "llq-micro", NULL));
  return model;
}

/* Quantizes llq-micro; errors[N_LINEARS] are relative. */
static llq_model *quantize_micro(const llq_quantizer_options *options,
                                 double *errors) {
  llq_model *model = open_micro(), *result;
  llq_quantizer *quantizer;
  char path[1000];
  snprintf(path, sizeof path, "%s/llq-micro/calibration.jsonl",
           getenv("LLQ_DATA"));
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, backend, model, options));
  ck_assert_llq_ok(llq_quantizer_calibrate_file(quantizer, path));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  for (uint64_t i = 0; i < N_LINEARS; i++) {
    llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
    ck_assert_llq_ok(llq_quantizer_linear(quantizer, i, &linear));
    ck_assert(isfinite(linear.error) && linear.power > 0);
    errors[i] = linear.error / linear.power;
  }
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_quantizer_close(quantizer);
  llq_model_close(model);
  return result;
}

/* On the same inputs, so that only the method makes a difference. */
static const struct {
  const char *scheme, *method, *order, *observer;
  int asymmetric;
  int all; /* better for every linear; else on average */
} better[] = {
    {"w4a16-int", "gptq", "static", NULL, 0, 1},
    {"w4a16-int", "gptq", "none", NULL, 0, 1},
    {"w4a16-int", "gptq", "group", "mse", 0, 1},
    {"w4a16-int", "gptq", NULL, "mse", 1, 1},
    {"w8a16-int", "gptq", NULL, NULL, 0, 1},
    {"w8a8-fp", "gptq", NULL, NULL, 0, 0},
    {"w8a8-int", "gptq", NULL, NULL, 0, 0},
    {"w4a16-int", "awq", NULL, NULL, 0, 1},
    {"w4a16-int", "awq+gptq", NULL, NULL, 0, 1},
};

START_TEST(outputs_lose_less_than_by_rounding_to_nearest) {
  double plain[N_LINEARS], errors[N_LINEARS], mean[2] = {0};
  llq_quantizer_options options = options_of(better[_i].scheme, "rtn");
  options.asymmetric = better[_i].asymmetric;
  llq_model_close(quantize_micro(&options, plain));
  options.method = better[_i].method;
  options.order = better[_i].order;
  options.observer = better[_i].observer;
  llq_model_close(quantize_micro(&options, errors));
  for (int i = 0; i < N_LINEARS; i++) {
    mean[0] += plain[i] / N_LINEARS;
    mean[1] += errors[i] / N_LINEARS;
    if (better[_i].all)
      ck_assert_msg(errors[i] < plain[i], "linear %d: %g, not below %g", i,
                    errors[i], plain[i]);
  }
  ck_assert_double_lt(mean[1], mean[0]);
}
END_TEST

START_TEST(the_method_and_the_samples_are_on_record) {
  double errors[N_LINEARS];
  llq_quantizer_options options = options_of("w8a8-int", "smoothquant+gptq");
  llq_model *result = quantize_micro(&options, errors);
  ck_assert_str_eq(result->quantization_method, "smoothquant+gptq");
  ck_assert_uint_eq(strlen(result->calibration_sha256), 64);
  llq_model_close(result);
}
END_TEST

/* ---- Small models ---- */

/* 2 layers; widths 64 and 96. */
static llq_model *open_small(void) {
  static const char text[] =
      "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
      "\"hidden_size\": 64, \"intermediate_size\": 96,"
      "\"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
      "\"num_key_value_heads\": 1, \"vocab_size\": 40,"
      "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5,"
      "\"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
      "\"torch_dtype\": \"bfloat16\", \"tie_word_embeddings\": false}";
  char source[600];
  llq_model *model;
  ck_assert_llq_ok(
      llqi_file_write(test_path("shape.json"), text, strlen(text)));
  snprintf(source, sizeof source, "random:%s", test_path("shape.json"));
  ck_assert_llq_ok(llq_model_open(&model, source, NULL));
  return model;
}

/* A copy of a weight's bytes, to be changed. */
static uint16_t *own_copy(llq_model *model, const void **data, size_t n) {
  uint16_t *copy = llqi_array(n, sizeof *copy);
  memcpy(copy, *data, n * sizeof *copy);
  ck_assert_llq_ok(llqi_model_own(model, copy));
  *data = copy;
  return copy;
}

static int run_small(llq_model *model, const char *method, int n_samples,
                     int n_tokens, llq_quantized_linear *first) {
  llq_quantizer *quantizer;
  llq_quantizer_options options = options_of("w4a16-int", method);
  options.group_size = 32;
  options.n_samples = n_samples;
  options.n_tokens = n_tokens;
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, backend, model, &options));
  llq_model_close(model);
  if (n_samples > 0)
    ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  int status = llq_quantizer_run(quantizer);
  if (status == LLQ_OK)
    ck_assert_llq_ok(llq_quantizer_linear(quantizer, 0, first));
  llq_quantizer_close(quantizer);
  return status;
}

START_TEST(too_few_tokens_are_refused) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  ck_assert_llq_fails(run_small(open_small(), "gptq", 0, 0, &linear),
                      LLQ_ERROR_STATE, "0 tokens, method gptq needs at least");
  ck_assert_llq_fails(run_small(open_small(), "awq", 2, 20, &linear),
                      LLQ_ERROR_STATE, "40 tokens");
}
END_TEST

START_TEST(an_input_that_is_not_finite_is_named) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_model *model = open_small();
  uint16_t *up =
      own_copy(model, &model->layers[1].linears[LLQI_UP].data, 96 * 64);
  for (int i = 0; i < 64; i++)
    up[5 * 64 + i] = llqi_f32_to_bf16(i % 2 ? 3e38f : -3e38f);
  ck_assert_llq_fails(run_small(model, "gptq", 8, 60, &linear),
                      LLQ_ERROR_FORMAT,
                      "model.layers.1.mlp.down_proj.weight: calibration: input "
                      "5 is NaN or infinite");
}
END_TEST

START_TEST(a_weight_that_is_not_finite_is_named) {
  static const char *const methods[] = {"gptq", "awq", "smoothquant"};
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  for (int i = 0; i < 3; i++) {
    llq_model *model = open_small();
    /* Of the last linear, which nothing else is calibrated behind. */
    uint16_t *down =
        own_copy(model, &model->layers[1].linears[LLQI_DOWN].data, 64 * 96);
    down[7 * 96 + 3] = llqi_f32_to_bf16(NAN);
    ck_assert_llq_fails(run_small(model, methods[i], 8, 60, &linear),
                        LLQ_ERROR_FORMAT,
                        "model.layers.1.mlp.down_proj.weight: NaN at [7, 3]");
  }
}
END_TEST

START_TEST(dead_inputs_are_counted_and_rounded) {
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_model *model = open_small();
  uint16_t *norm = own_copy(model, &model->layers[0].input_norm.data, 64);
  norm[9] = norm[40] = 0;
  ck_assert_llq_ok(run_small(model, "gptq", 8, 60, &linear));
  ck_assert_uint_eq(linear.n_dead, 2);
  ck_assert_double_eq_tol(linear.damping, 0.01, 1e-9);
}
END_TEST

/* Inputs that are multiples of each other leave a matrix of rank one; with next
   to no damping it is not definite in floats. */
START_TEST(more_damping_is_tried_and_told) {
  llq_quantizer *quantizer;
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  llq_quantizer_options options = options_of("w4a16-int", "gptq");
  options.group_size = 32;
  options.damping = 1e-12;
  llq_model *model = open_small();
  int32_t ids[60] = {0};
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, backend, model, &options));
  for (int i = 0; i < 4; i++)
    ck_assert_llq_ok(llq_quantizer_calibrate_ids(quantizer, ids, 60));
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_linear(quantizer, 0, &linear));
  ck_assert_double_gt(linear.damping, 1e-11);
  ck_assert(isfinite(linear.error));
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

START_TEST(calibration_has_its_time) {
  llq_quantizer *quantizer;
  llq_model *model = open_small(), *result;
  llq_quantizer_options options = options_of("w4a16-int", "gptq");
  options.group_size = 32;
  options.n_tokens = 60;
  ck_assert_llq_fails(llq_quantizer_open(&quantizer, NULL, model, &options),
                      LLQ_ERROR_ARGUMENT, "gptq needs a backend");
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, backend, model, &options));
  llq_quantized_linear linear = LLQ_QUANTIZED_LINEAR_INIT;
  int32_t bad = 40;
  ck_assert_llq_fails(llq_quantizer_calibrate_ids(quantizer, &bad, 1),
                      LLQ_ERROR_ARGUMENT, "token 40");
  ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  ck_assert_llq_fails(llq_quantizer_linear(quantizer, 0, &linear),
                      LLQ_ERROR_STATE, "not quantized yet");
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  ck_assert_llq_fails(llq_quantizer_calibrate_random(quantizer),
                      LLQ_ERROR_STATE, "already");
  ck_assert_llq_ok(llq_quantizer_linear(quantizer, 6, &linear));
  ck_assert_str_eq(linear.name, "model.layers.0.mlp.down_proj");
  ck_assert_str_eq(linear.scheme, "w4a16-int");
  ck_assert_str_eq(linear.method, "gptq");
  ck_assert_llq_fails(llq_quantizer_linear(quantizer, 14, &linear),
                      LLQ_ERROR_ARGUMENT, "index 14 of 14");
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &result));
  llq_model_close(result);
  llq_quantizer_close(quantizer);
  llq_model_close(model);
}
END_TEST

/* ---- Layers in files ---- */

static llq_quantizer *open_spooled(llq_model *model, double damping) {
  llq_quantizer *quantizer;
  llq_quantizer_options options = options_of("w4a16-int", "awq+gptq");
  options.group_size = 32;
  options.n_samples = 4;
  options.n_tokens = 60;
  options.is_parallel = 0;
  options.order = "group";
  options.asymmetric = 1;
  options.damping = damping;
  options.directory = test_path("spool");
  ck_assert_llq_ok(llq_quantizer_open(&quantizer, backend, model, &options));
  ck_assert_llq_ok(llq_quantizer_calibrate_random(quantizer));
  return quantizer;
}

static void check_same(const llq_model *a, const llq_model *b) {
  for (int l = 0; l < 2; l++)
    for (int i = 0; i < LLQI_N_LINEARS; i++) {
      const llq_weight *x = &a->layers[l].linears[i];
      const llq_weight *y = &b->layers[l].linears[i];
      float row_x[96], row_y[96];
      for (int64_t r = 0; r < x->n_out; r++) {
        llqi_weight_row(x, r, row_x);
        llqi_weight_row(y, r, row_y);
        ck_assert_mem_eq(row_x, row_y, (size_t)x->n_in * sizeof *row_x);
      }
    }
}

START_TEST(what_was_cut_off_goes_on_and_gives_the_same) {
  llq_model *model = open_small(), *whole, *resumed;
  llq_quantizer *quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &whole));
  llq_quantizer_close(quantizer);
  ck_assert(!llqi_file_exists(test_path("spool/quantized-layer-00000")));
  quantizer = open_spooled(model, 0.01);
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  llq_quantizer_close(quantizer);
  ck_assert(llqi_file_exists(test_path("spool/quantized-layer-00000")));
  ck_assert(!llqi_file_exists(test_path("spool/config.json")));
  if (_i == 1) /* one that does not fit, and is made again */
    ck_assert_llq_ok(
        llqi_file_write(test_path("spool/quantized-layer-00000"), "llq", 3));
  quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &resumed));
  llq_quantizer_close(quantizer);
  check_same(whole, resumed);
  llq_model_close(whole);
  llq_model_close(resumed);
  llq_model_close(model);
}
END_TEST

START_TEST(layers_of_other_options_are_made_again) {
  llq_model *model = open_small(), *first, *second;
  llq_quantizer *quantizer = open_spooled(model, 0.5);
  ck_assert_int_eq(llq_quantizer_step(quantizer, NULL), LLQ_MORE);
  llq_quantizer_close(quantizer);
  quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &first));
  llq_quantizer_close(quantizer);
  quantizer = open_spooled(model, 0.01);
  ck_assert_llq_ok(llq_quantizer_run(quantizer));
  ck_assert_llq_ok(llq_quantizer_take(quantizer, &second));
  llq_quantizer_close(quantizer);
  check_same(first, second);
  llq_model_close(first);
  llq_model_close(second);
  llq_model_close(model);
}
END_TEST

static ssize_t write_to_full_disk(int fd, const void *bytes, size_t n) {
  errno = ENOSPC;
  return -1;
}

START_TEST(a_full_disk_is_an_error_and_leaves_nothing) {
  struct llqi_file_calls calls = llqi_file_system;
  llq_model *model = open_small();
  llq_quantizer *quantizer = open_spooled(model, 0.01);
  calls.write = write_to_full_disk;
  llqi_files = &calls;
  int status = llq_quantizer_step(quantizer, NULL);
  llqi_files = &llqi_file_system;
  ck_assert_int_eq(status, LLQ_ERROR_IO);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "No space left"));
  llq_quantizer_close(quantizer);
  ck_assert(!llqi_file_exists(test_path("spool/quantized-layer-00000")));
  ck_assert(!llqi_file_exists(test_path("spool/quantized-layer-00000.part")));
  llq_model_close(model);
}
END_TEST

static void try_memory(const char *method) {
  for (long n = 1;; n += 1 + n / 8) {
    llq_model *model = open_small();
    llq_quantizer *quantizer;
    llq_quantizer_options options = options_of("w4a16-int", method);
    options.group_size = 32;
    options.n_samples = 4;
    options.n_tokens = 60;
    options.n_threads = 1;
    llqi_alloc_fail_at(n, 0);
    int status = llq_quantizer_open(&quantizer, backend, model, &options);
    if (status == LLQ_OK)
      status = llq_quantizer_calibrate_random(quantizer);
    if (status == LLQ_OK)
      status = llq_quantizer_run(quantizer);
    const int used = llqi_alloc_count() < n;
    llqi_alloc_fail_at(0, 0);
    llq_quantizer_close(quantizer);
    llq_model_close(model);
    if (used) {
      ck_assert_int_eq(status, LLQ_OK);
      return;
    }
    ck_assert_int_eq(status, LLQ_ERROR_MEMORY);
  }
}

START_TEST(running_out_of_memory_leaks_nothing) {
  try_memory(_i == 0 ? "gptq" : "awq+gptq");
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("methods");
  TCase *micro = tcase_create("micro");
  tcase_add_checked_fixture(micro, open_backend, close_backend);
  tcase_set_timeout(micro, 60);
  tcase_add_loop_test(micro, outputs_lose_less_than_by_rounding_to_nearest, 0,
                      (int)(sizeof better / sizeof better[0]));
  tcase_add_test(micro, the_method_and_the_samples_are_on_record);
  suite_add_tcase(suite, micro);
  TCase *small = tcase_create("small");
  tcase_add_checked_fixture(small, open_backend, close_backend);
  tcase_add_test(small, too_few_tokens_are_refused);
  tcase_add_test(small, an_input_that_is_not_finite_is_named);
  tcase_add_test(small, a_weight_that_is_not_finite_is_named);
  tcase_add_test(small, dead_inputs_are_counted_and_rounded);
  tcase_add_test(small, more_damping_is_tried_and_told);
  tcase_add_test(small, calibration_has_its_time);
  tcase_add_loop_test(small, what_was_cut_off_goes_on_and_gives_the_same, 0, 2);
  tcase_add_test(small, layers_of_other_options_are_made_again);
  tcase_add_test(small, a_full_disk_is_an_error_and_leaves_nothing);
  tcase_add_loop_test(small, running_out_of_memory_leaks_nothing, 0, 2);
  suite_add_tcase(suite, small);
  return suite;
}
