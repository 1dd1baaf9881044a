/* SPDX-License-Identifier: Apache-2.0 */
/* Models saved as compressed-tensors, and read again; disks and memory that run
   out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "model/save.h"
#include "quantized.h"
#include "support.h"
#include "tiny.h"

START_TEST(a_quantized_model_comes_back_bit_by_bit) {
  const char *directory = test_empty_directory("kind");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &quantized_kinds[_i]);
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  quantized_compare(model, again);
  llq_model_info before = LLQ_MODEL_INFO_INIT, after = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(model, &before));
  ck_assert_llq_ok(llq_model_describe(again, &after));
  ck_assert_str_eq(after.scheme, quantized_kinds[_i].scheme);
  ck_assert_mem_eq(&before, &after, sizeof before);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(layers_of_different_kinds_come_back) {
  const char *directory = test_empty_directory("mixed");
  llq_model *model = quantized_base(100), *again;
  for (int k = 0; k < LLQI_DOWN; k++)
    quantized_set(model, 0, k, &quantized_kinds[1]);
  quantized_set(model, 1, LLQI_Q, &quantized_kinds[7]);
  quantized_set(model, 1, LLQI_O, &quantized_kinds[8]);
  quantized_set(model, 1, LLQI_UP, &quantized_kinds[2]);
  ck_assert_llq_ok(llq_model_save(model, directory, "compressed-tensors"));
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  quantized_compare(model, again);
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(again, &info));
  ck_assert_str_eq(info.scheme, "mixed");
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

/* Of hidden size 64: a group of 64 is a row of all linears but one. */
START_TEST(a_model_as_wide_as_a_group_has_one_group) {
  const struct kind kind = {
      "w4a16-int", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 64, 0, 0};
  llq_model *model = quantized_base(128);
  quantized_set_all(model, &kind);
  json_t *config;
  struct llqi_layout_plan plan;
  llqi_layout_plan(model, LLQI_LAYOUT_COMPRESSED, &plan);
  ck_assert_llq_ok(llqi_config_json(model, &plan, &config));
  const json_t *groups = json_object_get(
      json_object_get(config, "quantization_config"), "config_groups");
  ck_assert_uint_eq(json_object_size(groups), 1);
  const json_t *weights =
      json_object_get(json_object_get(groups, "group_0"), "weights");
  ck_assert_str_eq(json_string_value(json_object_get(weights, "strategy")),
                   "group");
  ck_assert_int_eq(json_integer_value(json_object_get(weights, "group_size")),
                   64);
  json_decref(config);
  llq_model_close(model);
}
END_TEST

START_TEST(a_plain_model_comes_back_in_shards) {
  const char *directory = test_empty_directory("shards");
  llq_model *model = quantized_base(96), *again;
  ck_assert_llq_ok(llqi_model_save(model, directory, 20000));
  ck_assert(!llqi_file_exists(test_path("shards/model.safetensors")));
  json_t *index;
  ck_assert_llq_ok(
      llqi_json_read(test_path("shards/model.safetensors.index.json"), &index));
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  ck_assert_llq_ok(llq_model_describe(model, &info));
  ck_assert_uint_eq((uint64_t)json_integer_value(json_object_get(
                        json_object_get(index, "metadata"), "total_size")),
                    info.n_weight_bytes);
  json_decref(index);
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  quantized_compare(model, again);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(what_else_a_model_has_comes_along) {
  size_t n;
  json_t *config = tiny_config(), *header = tiny_header(&n), *saved;
  json_object_set_new(config, "mystery", json_pack("{s:f}", "x", 0.1));
  json_object_set_new(config, "rms_norm_eps", json_real(1e-5));
  char from[512];
  snprintf(from, sizeof from, "%s", tiny_write("from", config, header, n));
  static const char tokens[] = "{ \"any\" :\n\tbytes\0\xff }";
  ck_assert_llq_ok(
      llqi_file_write(test_path("from/tokenizer.json"), tokens, sizeof tokens));
  ck_assert_llq_ok(
      llqi_file_write(test_path("from/generation_config.json"), "{}", 2));
  llq_model *model;
  ck_assert_llq_ok(llq_model_open(&model, from, NULL));
  ck_assert_llq_ok(llq_model_save(model, test_empty_directory("to"), NULL));
  llq_model_close(model);
  char *bytes;
  ck_assert_llq_ok(
      llqi_file_read(test_path("to/tokenizer.json"), 1000, &bytes, &n));
  ck_assert_uint_eq(n, sizeof tokens);
  ck_assert_mem_eq(bytes, tokens, n);
  llqi_free(bytes);
  ck_assert(llqi_file_exists(test_path("to/generation_config.json")));
  ck_assert_llq_ok(llqi_json_read(test_path("from/config.json"), &config));
  ck_assert_llq_ok(llqi_json_read(test_path("to/config.json"), &saved));
  ck_assert(json_equal(config, saved));
  json_decref(config);
  json_decref(saved);
}
END_TEST

START_TEST(a_directory_with_a_model_is_not_written_over) {
  const char *directory = test_empty_directory("twice");
  llq_model *model = quantized_base(96);
  ck_assert_llq_ok(llq_model_save(model, directory, NULL));
  ck_assert_llq_fails(llq_model_save(model, directory, NULL),
                      LLQ_ERROR_ARGUMENT, "twice: holds a model already");
  ck_assert_llq_fails(llq_model_save(model, directory, "gguf"),
                      LLQ_ERROR_ARGUMENT, "gguf");
  llq_model_close(model);
}
END_TEST

/* The n-th file call fails. */
static long n_calls, failing;

static int fails(void) {
  errno = ENOSPC;
  return ++n_calls == failing;
}

static int bad_open(const char *path, int flags, mode_t mode) {
  return fails() ? -1 : llqi_file_system.open(path, flags, mode);
}

static ssize_t bad_write(int fd, const void *buffer, size_t n) {
  return fails() ? -1 : llqi_file_system.write(fd, buffer, n);
}

static int bad_fsync(int fd) {
  return fails() ? -1 : llqi_file_system.fsync(fd);
}

static int bad_rename(const char *from, const char *to) {
  return fails() ? -1 : llqi_file_system.rename(from, to);
}

START_TEST(a_failed_save_leaves_no_model_and_the_next_succeeds) {
  struct llqi_file_calls calls = llqi_file_system;
  calls.open = bad_open;
  calls.write = bad_write;
  calls.fsync = bad_fsync;
  calls.rename = bad_rename;
  const char *directory = test_empty_directory("disk");
  llq_model *model = quantized_base(96), *again;
  quantized_set_all(model, &quantized_kinds[1]);
  int status = LLQ_ERROR_IO;
  for (failing = 1; status != LLQ_OK; failing++) {
    n_calls = 0;
    llqi_files = &calls;
    llqi_error_clear();
    status = llqi_model_save(model, directory, 30000);
    llqi_files = &llqi_file_system;
    if (status != LLQ_OK) {
      ck_assert_llq_fails(status, LLQ_ERROR_IO, "No space left");
      ck_assert(!llqi_file_exists(test_path("disk/config.json")));
    }
    ck_assert_int_lt(failing, 1000);
  }
  ck_assert_llq_ok(llq_model_open(&again, directory, NULL));
  quantized_compare(model, again);
  llq_model_close(model);
  llq_model_close(again);
}
END_TEST

START_TEST(memory_may_run_out_anywhere) {
  llq_model *model = quantized_base(96);
  quantized_set_all(model, &quantized_kinds[1]);
  model->kv_dtype = LLQ_I8;
  for (int i = 0; i < 2; i++)
    model->layers[i].key_scale = model->layers[i].value_scale = 1;
  const char *directory = test_empty_directory("memory");
  int status = LLQ_ERROR_MEMORY;
  for (long n = 1; status != LLQ_OK; n++) {
    llqi_error_clear();
    llqi_alloc_fail_at(n, 0);
    status = llqi_model_save(model, directory, 30000);
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
  Suite *suite = suite_create("save");
  TCase *tests = tcase_create("save");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, a_quantized_model_comes_back_bit_by_bit, 0,
                      N_QUANTIZED_KINDS);
  tcase_add_test(tests, layers_of_different_kinds_come_back);
  tcase_add_test(tests, a_model_as_wide_as_a_group_has_one_group);
  tcase_add_test(tests, a_plain_model_comes_back_in_shards);
  tcase_add_test(tests, what_else_a_model_has_comes_along);
  tcase_add_test(tests, a_directory_with_a_model_is_not_written_over);
  tcase_add_test(tests, a_failed_save_leaves_no_model_and_the_next_succeeds);
  tcase_add_test(tests, memory_may_run_out_anywhere);
  suite_add_tcase(suite, tests);
  return suite;
}
