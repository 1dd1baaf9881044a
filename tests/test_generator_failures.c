/* SPDX-License-Identifier: Apache-2.0 */
/* The generator when things go wrong: wrong calls, no memory, a device that
   fails, a device that is small, a checkpoint that gives no numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/status.h"
#include "generating.h"
#include "generator/kv_cache.h"
#include "model/model.h"
#include "support.h"

static llq_model *model;
static llq_backend *backend;

/* The CPU's tables, to be spoilt. As they are others, the model is uploaded
   as to any device. */
static llq_backend_table table;
static llq_backend_ops ops;
static llq_backend_registry registry;
static int n_until_failure; /* 0: never */
static llq_backend_memory memory;
static uint64_t memory_left; /* free after the first allocation */
static int n_allocated;

static int counting_alloc(void *self, size_t size, void **out) {
  n_allocated++;
  return llqi_cpu_backend.memory->alloc(self, size, out);
}

static int describe_small(int index, llq_device_info *info) {
  int status = llqi_cpu_backend.registry->describe(index, info);
  info->memory_free_bytes = n_allocated == 0 ? 1 << 30 : memory_left;
  return status;
}

static int must_fail(void) {
  return n_until_failure > 0 && --n_until_failure == 0;
}

static int failing_attention(void *self, const llq_batch *batch,
                             const llq_view *q, const llq_kv *cache,
                             float scale, llq_view *out) {
  if (must_fail())
    return llqi_fail(LLQ_ERROR_DEVICE, "the device is gone");
  return llqi_cpu_backend.ops->attention(self, batch, q, cache, scale, out);
}

static int failing_page_copy(void *self, llq_kv *cache, int from, int to) {
  if (must_fail())
    return llqi_fail(LLQ_ERROR_DEVICE, "the device is gone");
  return llqi_cpu_backend.ops->page_copy(self, cache, from, to);
}

static void set_up(void) {
  model = tiny_random_model();
  backend = cpu_backend();
  table = llqi_cpu_backend;
  ops = *table.ops;
  registry = *table.registry;
  ops.attention = failing_attention;
  ops.page_copy = failing_page_copy;
  table.ops = &ops;
  n_until_failure = 0;
  n_allocated = 0;
  memory_left = 1 << 30;
  memory = *table.memory;
  memory.alloc = counting_alloc;
  table.memory = &memory;
  registry.describe = describe_small;
  table.registry = &registry;
  backend->table = &table;
}

static void tear_down(void) {
  llq_model_close(model);
  llq_backend_close(backend);
}

static void expect_open_fails(const llq_generator_options *options, int code,
                              const char *message) {
  llq_generator *generator = NULL;
  ck_assert_llq_fails(llq_generator_open(&generator, backend, model, options),
                      code, message);
  ck_assert_ptr_null(generator);
}

START_TEST(wrong_options_are_named) {
  static const struct {
    llq_generator_options options;
    const char *message;
  } cases[] = {
      {{.compute = "fp4"}, "compute is 'fp4'; expected f32 or bf16"},
      {{.kv_cache = "fp4"}, "kv_cache is 'fp4'; expected compute, fp8 or int8"},
      {{.kv_cache = "int8"}, "has no scales for it: quantize it"},
      {{.n_context = 257}, "n_context is 257; this model takes 2 to 256"},
      {{.n_context = 1}, "n_context is 1"},
      {{.n_context = -4}, "n_context is -4"},
      {{.n_sequences = -1}, "n_sequences is -1"},
      {{.n_sequences = 1 << 20}, "n_sequences is 1048576"},
      {{.n_chunk = -7}, "n_chunk is -7"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    llq_generator_options options = cases[i].options;
    options.struct_size = sizeof options;
    expect_open_fails(&options, LLQ_ERROR_ARGUMENT, cases[i].message);
  }
}
END_TEST

static void expect_refused(llq_generator *generator, const int32_t *ids,
                           size_t n_ids, const llq_sampling *sampling,
                           int32_t n_samples, const char *message) {
  int64_t first = -1;
  ck_assert_llq_fails(
      llq_generator_submit(generator, ids, n_ids, sampling, n_samples, &first),
      LLQ_ERROR_ARGUMENT, message);
  ck_assert_int_eq(first, -1);
}

START_TEST(wrong_prompts_are_refused_with_the_value) {
  static const int32_t ids[300], large[] = {3, 97}, negative[] = {-1};
  llq_generator *generator = open_generator(backend, model, 2, 16);
  expect_refused(generator, large, 2, NULL, 1,
                 "ids[1] is 97; expected 0 to 96");
  expect_refused(generator, negative, 1, NULL, 1, "ids[0] is -1");
  expect_refused(generator, ids, 0, NULL, 1, "has 0 tokens; expected 1 to 255");
  expect_refused(generator, ids, 256, NULL, 1, "has 256 tokens");
  expect_refused(generator, NULL, 4, NULL, 1, "ids is NULL");
  expect_refused(generator, ids, 4, NULL, 0, "n_samples is 0");
  expect_refused(generator, ids, 4, NULL, -2, "n_samples is -2");
  float logits;
  ck_assert_llq_fails(llq_generator_logits(generator, ids, 257, &logits),
                      LLQ_ERROR_ARGUMENT, "has 257 tokens; expected 1 to 256");
  ck_assert_llq_fails(llq_generator_logits(generator, large, 2, &logits),
                      LLQ_ERROR_ARGUMENT, "ids[1] is 97");
  ck_assert_llq_ok(llq_generator_step(generator, NULL)); /* nothing was added */
  llq_generator_close(generator);
}
END_TEST

START_TEST(wrong_sampling_is_refused_with_the_value) {
  static const int32_t ids[4], ends[] = {5, 97};
  const char *const stops[] = {"\n"};
  llq_generator *generator = open_generator(backend, model, 2, 16);
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  sampling.temperature = -1;
  expect_refused(generator, ids, 4, &sampling, 1, "temperature is -1");
  sampling = (llq_sampling)LLQ_SAMPLING_INIT;
  sampling.stops = stops;
  sampling.n_stops = 1;
  expect_refused(generator, ids, 4, &sampling, 1,
                 "stop strings need a tokenizer");
  sampling = (llq_sampling)LLQ_SAMPLING_INIT;
  sampling.end_ids = ends;
  sampling.n_end_ids = 2;
  expect_refused(generator, ids, 4, &sampling, 1, "end_ids[1] is 97");
  sampling.end_ids = NULL;
  expect_refused(generator, ids, 4, &sampling, 1, "end_ids is NULL");
  llq_generator_close(generator);
}
END_TEST

START_TEST(sequences_that_do_not_exist_are_named) {
  llq_generator *generator = open_generator(backend, model, 2, 16);
  llq_generation generation = LLQ_GENERATION_INIT;
  int64_t sequences[2];
  submit_jobs(generator, 0, 2, sequences);
  ck_assert_llq_fails(llq_generator_get(generator, 77, &generation),
                      LLQ_ERROR_ARGUMENT, "there is no sequence 77");
  llq_generator_release(generator, 1);
  ck_assert_llq_fails(llq_generator_cancel(generator, 1), LLQ_ERROR_ARGUMENT,
                      "there is no sequence 1");
  generation.struct_size = 0;
  ck_assert_llq_fails(llq_generator_get(generator, 0, &generation),
                      LLQ_ERROR_ARGUMENT, "struct_size");
  llq_generator_close(generator);
}
END_TEST

/* Opens, submits, runs and closes. With `retry`, a step that fails is done
   again. Returns the first failure. */
static int whole_life(int retry, struct outcome *outcomes, int n) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  llq_generator *generator = NULL;
  options.n_sequences = 3;
  options.n_chunk = 40;
  options.compute = "f32";
  LLQ_TRY(llq_generator_open(&generator, backend, model, &options));
  int status = LLQ_OK;
  for (int i = 0; i < 6 && status == LLQ_OK; i++) {
    struct job job;
    int64_t first;
    mixed_job(i, &job);
    status = llq_generator_submit(generator, job.ids, job.n_ids, &job.sampling,
                                  job.n_samples, &first);
  }
  while (status == LLQ_OK || status == LLQ_MORE) {
    status = llq_generator_step(generator, NULL);
    if (status < 0 && retry)
      status = llq_generator_step(generator, NULL);
    if (status == LLQ_OK)
      break;
  }
  for (int i = 0; i < n && status == LLQ_OK; i++)
    get_outcome(generator, i, &outcomes[i]);
  llq_generator_close(generator);
  return status;
}

#define N_OUTCOMES 14

/* Descriptions of a device may do without memory, so some runs succeed. */
START_TEST(any_allocation_may_fail_and_nothing_is_lost) {
  int n_failed = 0;
  long n_all = 1;
  for (long n = 1; n <= n_all; n++) {
    llqi_alloc_fail_at(n, 0);
    int status = whole_life(0, NULL, 0);
    n_all = llqi_alloc_count() >= n ? n + 1 : n;
    llqi_alloc_fail_at(0, 0);
    if (status == LLQ_OK)
      continue;
    n_failed++;
    ck_assert_int_eq(status, LLQ_ERROR_MEMORY);
    ck_assert_ptr_nonnull(strstr(llq_error_message(), "out of memory"));
  }
  ck_assert_int_gt(n_failed, 100);
}
END_TEST

/* Allocations that fail in a step: the step is repeated. */
START_TEST(a_step_without_memory_can_be_repeated) {
  static struct outcome expected[N_OUTCOMES], found[N_OUTCOMES];
  ck_assert_llq_ok(whole_life(0, expected, N_OUTCOMES));
  int n_repeated = 0;
  long n_all;
  llqi_alloc_fail_at(0, 0);
  ck_assert_llq_ok(whole_life(0, found, 0));
  n_all = llqi_alloc_count();
  for (long n = 1; n <= n_all; n++) {
    llqi_alloc_fail_at(n, 0);
    int status = whole_life(1, found, N_OUTCOMES);
    llqi_alloc_fail_at(0, 0);
    if (status == LLQ_ERROR_MEMORY)
      continue; /* opening or submitting failed */
    ck_assert_llq_ok(status);
    n_repeated++;
    for (int i = 0; i < N_OUTCOMES; i++)
      expect_same(&expected[i], &found[i], i);
  }
  ck_assert_int_gt(n_repeated, 20);
}
END_TEST

START_TEST(a_step_whose_device_failed_can_be_repeated) {
  static struct outcome expected[N_OUTCOMES], found[N_OUTCOMES];
  ck_assert_llq_ok(whole_life(0, expected, N_OUTCOMES));
  for (int n = 1; n < 60; n++) {
    n_until_failure = n;
    ck_assert_int_eq(whole_life(0, found, 0), LLQ_ERROR_DEVICE);
    ck_assert_str_eq(llq_error_message(), "the device is gone");
    n_until_failure = n;
    ck_assert_llq_ok(whole_life(1, found, N_OUTCOMES));
    for (int i = 0; i < N_OUTCOMES; i++)
      expect_same(&expected[i], &found[i], i);
  }
}
END_TEST

/* Bytes of the tiny model's pages: 2 layers, keys and values, 32 floats. */
#define PAGE_BYTES (2 * 2 * 32 * 4 * LLQI_PAGE_SIZE)

START_TEST(sequences_wait_for_pages_on_a_small_device) {
  static struct outcome expected[N_OUTCOMES], found[N_OUTCOMES];
  ck_assert_llq_ok(whole_life(0, expected, N_OUTCOMES));
  for (int n_pages = 5; n_pages < 12; n_pages++) {
    n_allocated = 0;
    memory_left = (uint64_t)(n_pages * PAGE_BYTES) * 10 / 9 + 100;
    ck_assert_llq_ok(whole_life(0, found, N_OUTCOMES));
    for (int i = 0; i < N_OUTCOMES; i++)
      expect_same(&expected[i], &found[i], i);
  }
}
END_TEST

START_TEST(a_device_without_room_for_one_sequence_is_refused) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  memory_left = 4 * PAGE_BYTES * 10 / 9 + 100;
  options.n_chunk = 1;
  options.compute = "f32";
  options.n_sequences = 1;
  expect_open_fails(&options, LLQ_ERROR_MEMORY,
                    "keys and values of 256 tokens take 163840 bytes");
}
END_TEST

/* An embedding that is not a number reaches the logits of prompts that have
   its token, and no others'. */
START_TEST(logits_that_are_not_numbers_name_the_sequence) {
  size_t n_bytes = model->embedding.n_bytes;
  float *spoilt = malloc(n_bytes);
  memcpy(spoilt, model->embedding.data, n_bytes);
  spoilt[42 * model->config.hidden_size] = NAN;
  model->embedding.data = spoilt;
  llq_generator *generator = open_generator(backend, model, 4, 64);
  int32_t good[] = {1, 2, 3}, bad[] = {1, 42, 3, 7};
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  int64_t numbers[3];
  sampling.n_tokens_max = 2;
  ck_assert_llq_ok(
      llq_generator_submit(generator, good, 3, &sampling, 1, &numbers[0]));
  ck_assert_llq_ok(
      llq_generator_submit(generator, bad, 4, &sampling, 1, &numbers[1]));
  ck_assert_llq_ok(
      llq_generator_submit(generator, good, 3, &sampling, 1, &numbers[2]));
  ck_assert_llq_fails(llq_generator_run(generator), LLQ_ERROR_FORMAT,
                      "sequence 1, position 4: the logits are not finite");
  ck_assert_llq_ok(llq_generator_cancel(generator, numbers[1]));
  ck_assert_llq_ok(llq_generator_run(generator));
  struct outcome outcome;
  for (int i = 0; i < 3; i++) {
    get_outcome(generator, numbers[i], &outcome);
    ck_assert_int_eq(outcome.stop_reason,
                     i == 1 ? LLQ_STOP_CANCELLED : LLQ_STOP_LENGTH);
  }
  llq_generator_close(generator);
  free(spoilt);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("generator_failures");
  TCase *tests = tcase_create("generator_failures");
  tcase_add_checked_fixture(tests, set_up, tear_down);
  tcase_set_timeout(tests, 300);
  tcase_add_test(tests, wrong_options_are_named);
  tcase_add_test(tests, wrong_prompts_are_refused_with_the_value);
  tcase_add_test(tests, wrong_sampling_is_refused_with_the_value);
  tcase_add_test(tests, sequences_that_do_not_exist_are_named);
  tcase_add_test(tests, any_allocation_may_fail_and_nothing_is_lost);
  tcase_add_test(tests, a_step_without_memory_can_be_repeated);
  tcase_add_test(tests, a_step_whose_device_failed_can_be_repeated);
  tcase_add_test(tests, sequences_wait_for_pages_on_a_small_device);
  tcase_add_test(tests, a_device_without_room_for_one_sequence_is_refused);
  tcase_add_test(tests, logits_that_are_not_numbers_name_the_sequence);
  suite_add_tcase(suite, tests);
  return suite;
}
