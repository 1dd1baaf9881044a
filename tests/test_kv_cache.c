/* SPDX-License-Identifier: Apache-2.0 */
/* The KV cache in 8 bits: codes and attention of every backend against plain
   arithmetic, then models, checkpoints and generators that have one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "generating.h"
#include "generator/kv_cache.h"
#include "guarded.h"
#include "support.h"

static int n_subjects;

static const int kv_types[] = {LLQ_I8, LLQ_F8_E4M3};

/* What a code means, by the definition of its format. */
static double meaning(int dtype, uint8_t code) {
  if (dtype == LLQ_I8)
    return (int8_t)code;
  int exponent = code >> 3 & 15, mantissa = code & 7;
  double magnitude =
      exponent > 0 ? ldexp(8 + mantissa, exponent - 10) : ldexp(mantissa, -9);
  if ((code & 0x7f) == 0x7f)
    return NAN;
  return code >> 7 ? -magnitude : magnitude;
}

/* The nearest code to x; of two that are as near, the even one. */
static double nearest(int dtype, double x) {
  double best = INFINITY;
  uint8_t best_code = 0;
  x = fmax(-1000, fmin(x, 1000)); /* beyond all codes */
  for (int code = 0; code < 256; code++) {
    double distance = fabs(meaning(dtype, (uint8_t)code) - x);
    if (distance < best || (distance == best && code % 2 == 0)) {
      best = distance;
      best_code = (uint8_t)code;
    }
  }
  return meaning(dtype, best_code);
}

#define D 32
#define N_ROWS 20
#define PAGE 16

/* A sequence of N_ROWS positions in two pages, of one head. */
static const llq_segment segment = {0, N_ROWS, 0, 0};
static const int32_t pages[] = {1, 0};
static const llq_batch batch = {&segment, pages, 1, 2, PAGE, N_ROWS};

struct scene {
  struct guarded q, k, v, out, cos_sin, keys, values;
  llq_kv cache;
};

static int slot_of(int position) {
  return pages[position / PAGE] * PAGE + position % PAGE;
}

/* Angles of 0, so that keys are what they were. */
static void open_scene(struct scene *s, llq_backend *backend, int dtype,
                       float scale, const float *values) {
  static float angles[N_ROWS * D];
  for (int i = 0; i < N_ROWS * D; i++)
    angles[i] = i % D < D / 2;
  s->q = guarded_open(backend, N_ROWS, D, LLQ_F32);
  s->k = guarded_open(backend, N_ROWS, D, LLQ_F32);
  s->v = guarded_open(backend, N_ROWS, D, LLQ_F32);
  s->out = guarded_open(backend, N_ROWS, D, LLQ_F32);
  s->cos_sin = guarded_open(backend, N_ROWS, D, LLQ_F32);
  s->keys = guarded_open(backend, 2 * PAGE, D, dtype);
  s->values = guarded_open(backend, 2 * PAGE, D, dtype);
  s->cache = (llq_kv){
      s->keys.view.data, s->values.view.data, dtype, 2, PAGE, 1, D, scale,
      2 * scale};
  guarded_set(&s->cos_sin, angles);
  guarded_set(&s->q, values);
  guarded_set(&s->k, values + N_ROWS * D);
  guarded_set(&s->v, values + 2 * N_ROWS * D);
  ck_assert_llq_ok(llqi_op_rope_append(backend, &batch, &s->cos_sin.view,
                                       &s->q.view, &s->k.view, &s->v.view,
                                       &s->cache));
}

static void close_scene(struct scene *s) {
  struct guarded *all[] = {&s->q,       &s->k,    &s->v,     &s->out,
                           &s->cos_sin, &s->keys, &s->values};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    guarded_close(all[i]);
}

static llq_backend *backend_number(int i) {
  return i == 0 ? open_reference() : open_subject(i - 1);
}

/* Of keys, then of values. */
static void expect_codes(const struct guarded *stored, int dtype, float scale,
                         const float *values) {
  uint8_t codes[2 * PAGE * D];
  guarded_read(stored, codes);
  for (int i = 0; i < N_ROWS * D; i++) {
    float x = isnan(values[i]) ? 0 : values[i] / scale;
    double found = meaning(dtype, codes[slot_of(i / D) * D + i % D]);
    ck_assert_msg(found == nearest(dtype, x), "%g is %g, expected %g",
                  (double)x, found, nearest(dtype, x));
  }
}

START_TEST(what_is_stored_is_the_nearest_code) {
  llq_backend *backend = backend_number(_i / 2);
  int dtype = kv_types[_i % 2];
  static const float special[] = {NAN,     INFINITY, -INFINITY, 0,     1e30f,
                                  -1e-30f, 1e-3f,    -448,      -1e30f};
  static const float scale = 0.25f; /* ties are exact */
  static float values[3 * N_ROWS * D];
  struct scene s;
  normal_values(1, dtype == LLQ_I8 ? 15 : 40, values, 3 * N_ROWS * D);
  for (int i = 0; i < N_ROWS * D; i++) /* every tie of int8, some of fp8 */
    values[N_ROWS * D + i] = (float)(i - 320) / 8;
  memcpy(values + 2 * N_ROWS * D, special, sizeof special);
  open_scene(&s, backend, dtype, scale, values);
  expect_codes(&s.keys, dtype, scale, values + N_ROWS * D);
  expect_codes(&s.values, dtype, 2 * scale, values + 2 * N_ROWS * D);
  close_scene(&s);
  llq_backend_close(backend);
}
END_TEST

/* Attention of the last position, in double. */
static void attend(const struct scene *s, const float *q, double *out) {
  uint8_t keys[2 * PAGE * D], values[2 * PAGE * D];
  double weights[N_ROWS], sum = 0;
  int dtype = s->cache.dtype;
  guarded_read(&s->keys, keys);
  guarded_read(&s->values, values);
  for (int p = 0; p < N_ROWS; p++) {
    double score = 0;
    for (int i = 0; i < D; i++)
      score += (double)q[i] * meaning(dtype, keys[slot_of(p) * D + i]);
    weights[p] = exp(0.2 * score * (double)s->cache.key_scale);
    sum += weights[p];
  }
  for (int i = 0; i < D; i++) {
    out[i] = 0;
    for (int p = 0; p < N_ROWS; p++)
      out[i] += weights[p] / sum * (double)s->cache.value_scale *
                meaning(dtype, values[slot_of(p) * D + i]);
  }
}

START_TEST(attention_is_that_of_what_codes_mean) {
  llq_backend *backend = backend_number(_i / 2);
  static float values[3 * N_ROWS * D], found[N_ROWS * D];
  double expected[D];
  struct scene s;
  normal_values(2, 1, values, 3 * N_ROWS * D);
  open_scene(&s, backend, kv_types[_i % 2], _i % 2 == 0 ? 0.02f : 0.01f,
             values);
  ck_assert_llq_ok(llqi_op_attention(backend, &batch, &s.q.view, &s.cache, 0.2f,
                                     &s.out.view));
  guarded_get(&s.out, found);
  attend(&s, values + (N_ROWS - 1) * D, expected);
  for (int i = 0; i < D; i++)
    ck_assert_double_eq_tol(found[(N_ROWS - 1) * D + i], expected[i], 1e-5);
  close_scene(&s);
  llq_backend_close(backend);
}
END_TEST

START_TEST(scales_that_are_none_are_refused) {
  llq_backend *backend = open_reference();
  static const float wrong[] = {0, -1, NAN, INFINITY};
  char memory[64];
  for (int i = 0; i < 8; i++) {
    llq_kv cache = {memory, memory, LLQ_I8, 1, 1, 1, 32, 1, 1};
    *(i < 4 ? &cache.key_scale : &cache.value_scale) = wrong[i % 4];
    ck_assert_llq_fails(llqi_op_page_copy(backend, &cache, 0, 0),
                        LLQ_ERROR_ARGUMENT, "cache: scales");
    llqi_error_clear();
  }
  llq_kv cache = {memory, memory, LLQ_I32, 1, 1, 1, 8, 1, 1};
  ck_assert_llq_fails(llqi_op_page_copy(backend, &cache, 0, 0),
                      LLQ_ERROR_ARGUMENT, "expected F32, BF16, F8_E4M3 or I8");
  llq_backend_close(backend);
}
END_TEST

/* ---- Models and generators ---- */

#define N_IDS 100
#define N_LOGITS ((size_t)N_IDS * TINY_VOCAB)

/* A model with scales of its cache. Its keys and values are up to some 15. */
static llq_model *scaled_model(int dtype) {
  llq_model *model = tiny_random_model();
  model->kv_dtype = dtype;
  for (int i = 0; dtype != 0 && i < 2; i++) {
    model->layers[i].key_scale = dtype == LLQ_I8 ? 0.125f : 0.03125f;
    model->layers[i].value_scale = model->layers[i].key_scale * 0.9f;
  }
  return model;
}

static void run(llq_model *model, const char *kv_cache, int32_t n_chunk,
                float *logits) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  llq_backend *backend = cpu_backend();
  llq_generator *generator;
  int32_t ids[N_IDS];
  for (int i = 0; i < N_IDS; i++)
    ids[i] = (i * i + 3) % TINY_VOCAB;
  options.n_chunk = n_chunk;
  options.kv_cache = kv_cache;
  ck_assert_llq_ok(llq_generator_open(&generator, backend, model, &options));
  ck_assert_llq_ok(llq_generator_logits(generator, ids, N_IDS, logits));
  llq_generator_close(generator);
  llq_backend_close(backend);
}

static double distance(const float *a, const float *b) {
  double sum = 0, power = 0;
  for (size_t i = 0; i < N_LOGITS; i++) {
    sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    power += (double)a[i] * (double)a[i];
  }
  return sqrt(sum / power);
}

/* This model's attention is sharp: wrong scales give more than 1. */
#define FARTHEST 0.4

START_TEST(logits_are_near_however_the_prompt_is_cut) {
  static float plain[N_LOGITS], coded[N_LOGITS], cut[N_LOGITS];
  llq_model *model = scaled_model(kv_types[_i]);
  const char *name = _i == 0 ? "int8" : "fp8";
  run(model, "compute", 0, plain);
  run(model, NULL, 0, coded);
  ck_assert_double_gt(distance(plain, coded), 1e-6);
  ck_assert_double_lt(distance(plain, coded), FARTHEST);
  run(model, name, 7, cut);
  ck_assert_mem_eq(coded, cut, sizeof cut);
  llq_model_close(model);
}
END_TEST

START_TEST(fp8_does_without_scales_when_asked_to) {
  static float plain[N_LOGITS], coded[N_LOGITS];
  llq_model *model = scaled_model(0);
  run(model, NULL, 0, plain);
  run(model, "fp8", 0, coded);
  ck_assert_double_gt(distance(plain, coded), 1e-6);
  ck_assert_double_lt(distance(plain, coded), FARTHEST);
  llq_model_close(model);
}
END_TEST

START_TEST(a_type_without_its_scales_is_refused) {
  int dtype;
  llq_model *model = scaled_model(LLQ_I8);
  ck_assert_llq_fails(llqi_kv_cache_type(model, "fp8", LLQ_F32, &dtype),
                      LLQ_ERROR_ARGUMENT, "has scales for int8");
  model->kv_dtype = 0;
  llqi_error_clear();
  ck_assert_llq_fails(llqi_kv_cache_type(model, "int8", LLQ_F32, &dtype),
                      LLQ_ERROR_ARGUMENT, "has no scales for it");
  ck_assert_llq_ok(llqi_kv_cache_type(model, NULL, LLQ_F32, &dtype));
  ck_assert_int_eq(dtype, LLQ_F32);
  llq_model_close(model);
}
END_TEST

/* ---- Checkpoints ---- */

START_TEST(a_saved_model_has_the_same_cache) {
  static float before[N_LOGITS], after[N_LOGITS];
  llq_model *model = scaled_model(kv_types[_i]), *again;
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  const char *directory = test_path(_i == 0 ? "int8" : "fp8");
  run(model, NULL, 0, before);
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  ck_assert_llq_ok(llq_model_describe(again, &info));
  ck_assert_str_eq(info.kv_cache, _i == 0 ? "int8" : "fp8");
  for (int i = 0; i < 2; i++) {
    ck_assert(again->layers[i].key_scale == model->layers[i].key_scale);
    ck_assert(again->layers[i].value_scale == model->layers[i].value_scale);
  }
  run(again, NULL, 0, after);
  ck_assert_mem_eq(before, after, sizeof after);
  llq_model_close(again);
  llq_model_close(model);
}
END_TEST

START_TEST(other_formats_do_not_lose_it_silently) {
  llq_model *model = scaled_model(LLQ_I8), *again;
  llq_save_options options = LLQ_SAVE_OPTIONS_INIT;
  options.format = "safetensors";
  ck_assert_llq_fails(llq_model_save_as(model, test_path("lossy"), &options),
                      LLQ_ERROR_UNSUPPORTED,
                      "would lose the int8 scales of its KV cache");
  options.lossy = 1;
  ck_assert_llq_ok(llq_model_save_as(model, test_path("lossy"), &options));
  ck_assert_llq_ok(llq_model_open(&again, test_path("lossy"), NULL));
  ck_assert_int_eq(again->kv_dtype, 0);
  llq_model_close(again);
  llq_model_close(model);
}
END_TEST

/* A model whose k_scale of one layer is this; NULL: absent. */
static void save_with_scale(const char *directory, const float *scale) {
  llq_model *model = scaled_model(LLQ_F8_E4M3);
  char path[600];
  if (scale != NULL)
    model->layers[1].key_scale = *scale;
  else
    model->kv_dtype = 0;
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  llq_model_close(model);
  if (scale != NULL)
    return;
  json_t *config;
  snprintf(path, sizeof path, "%s/config.json", directory);
  ck_assert_llq_ok(llqi_json_read(path, &config));
  json_object_set_new(config, "quantization_config",
                      json_pack("{s:s, s:{}, s:{s:i, s:s, s:s}}",
                                "quant_method", "compressed-tensors",
                                "config_groups", "kv_cache_scheme", "num_bits",
                                8, "type", "float", "strategy", "tensor"));
  ck_assert_llq_ok(llqi_json_write(path, config));
  json_decref(config);
}

START_TEST(scales_of_checkpoints_are_checked) {
  static const float wrong[] = {0, -2, NAN, INFINITY};
  llq_model *model;
  for (int i = 0; i < 4; i++) {
    char name[20];
    snprintf(name, sizeof name, "wrong%d", i);
    save_with_scale(test_path(name), &wrong[i]);
    ck_assert_llq_fails(llq_model_open(&model, test_path(name), NULL),
                        LLQ_ERROR_FORMAT,
                        "model.layers.1.self_attn.k_scale is");
  }
  save_with_scale(test_path("none"), NULL);
  ck_assert_llq_fails(llq_model_open(&model, test_path("none"), NULL),
                      LLQ_ERROR_FORMAT,
                      "no tensor model.layers.0.self_attn.k_scale");
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("kv_cache");
  TCase *tests = tcase_create("kv_cache");
  n_subjects = find_subjects();
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, what_is_stored_is_the_nearest_code, 0,
                      2 * (1 + n_subjects));
  tcase_add_loop_test(tests, attention_is_that_of_what_codes_mean, 0,
                      2 * (1 + n_subjects));
  tcase_add_test(tests, scales_that_are_none_are_refused);
  tcase_add_loop_test(tests, logits_are_near_however_the_prompt_is_cut, 0, 2);
  tcase_add_test(tests, fp8_does_without_scales_when_asked_to);
  tcase_add_test(tests, a_type_without_its_scales_is_refused);
  tcase_add_loop_test(tests, a_saved_model_has_the_same_cache, 0, 2);
  tcase_add_test(tests, other_formats_do_not_lose_it_silently);
  tcase_add_test(tests, scales_of_checkpoints_are_checked);
  suite_add_tcase(suite, tests);
  return suite;
}
