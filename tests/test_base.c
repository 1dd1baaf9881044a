/* SPDX-License-Identifier: Apache-2.0 */
/* The ground floor: errors, memory, files, JSON, random numbers, hashes. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/options.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "base/utf8.h"
#include "support.h"

START_TEST(the_first_error_wins) {
  llqi_fail(LLQ_ERROR_FORMAT, "cause %d", 1);
  llqi_fail(LLQ_ERROR_IO, "consequence");
  ck_assert_str_eq(llq_error_message(), "cause 1");
  llqi_fail_within(LLQ_ERROR_FORMAT, "file:%d", 3);
  ck_assert_str_eq(llq_error_message(), "file:3: cause 1");
}
END_TEST

START_TEST(messages_stay_on_one_line) {
  llqi_fail(LLQ_ERROR_FORMAT, "tensor %s", "a\nb\033[31m");
  ck_assert_str_eq(llq_error_message(), "tensor a?b?[31m");
}
END_TEST

START_TEST(errors_move_between_threads) {
  struct llqi_error error;
  llqi_error_take(&error, llqi_fail(LLQ_ERROR_DEVICE, "lost"));
  ck_assert_str_eq(llq_error_message(), "");
  ck_assert_int_eq(llqi_error_raise(&error), LLQ_ERROR_DEVICE);
  ck_assert_str_eq(llq_error_message(), "lost");
}
END_TEST

START_TEST(allocation_fails_at_the_nth_call) {
  llqi_alloc_fail_at(2, 0);
  void *first = llqi_alloc(8), *second = llqi_alloc(8), *third = llqi_alloc(8);
  llqi_alloc_fail_at(0, 0);
  ck_assert_ptr_nonnull(first);
  ck_assert_ptr_null(second);
  ck_assert_ptr_nonnull(third);
  llqi_free(first);
  llqi_free(third);
}
END_TEST

START_TEST(allocation_refuses_sizes_that_overflow) {
  ck_assert_ptr_null(llqi_array(SIZE_MAX / 2, 3));
  ck_assert_ptr_null(llqi_calloc(SIZE_MAX, 2));
  ck_assert_ptr_null(llqi_alloc_aligned(SIZE_MAX, 1));
}
END_TEST

struct options {
  size_t struct_size;
  int32_t known, newer;
};

START_TEST(options_of_older_and_newer_callers_are_understood) {
  struct options theirs = {sizeof theirs, 5, 0}, ours;
  ck_assert_llq_ok(llqi_options_copy(&ours, sizeof ours, NULL, "options"));
  ck_assert_int_eq(ours.known, 0);
  size_t old_size = offsetof(struct options, newer);
  theirs.struct_size = old_size;
  theirs.newer = 7; /* beyond what the old caller has: not read */
  ck_assert_llq_ok(llqi_options_copy(&ours, sizeof ours, &theirs, "options"));
  ck_assert_int_eq(ours.known, 5);
  ck_assert_int_eq(ours.newer, 0);
  theirs.struct_size = sizeof theirs;
  ck_assert_llq_fails(llqi_options_copy(&ours, old_size, &theirs, "options"),
                      LLQ_ERROR_VERSION, "options");
  llqi_error_clear();
  theirs.struct_size = 0;
  ck_assert_llq_fails(llqi_options_copy(&ours, sizeof ours, &theirs, "o"),
                      LLQ_ERROR_ARGUMENT, "struct_size");
}
END_TEST

START_TEST(a_file_appears_only_when_committed) {
  const char *path = test_path("whole");
  struct llqi_writer writer;
  ck_assert_llq_ok(llqi_writer_open(&writer, path));
  ck_assert_llq_ok(llqi_writer_write(&writer, "abc", 3));
  ck_assert(!llqi_file_exists(path));
  llqi_writer_abort(&writer);
  ck_assert(!llqi_file_exists(path));
  ck_assert(!llqi_file_exists(test_path("whole.part")));
  ck_assert_llq_ok(llqi_file_write(path, "abc", 3));
  struct llqi_mapping mapping;
  ck_assert_llq_ok(llqi_file_map(path, &mapping));
  ck_assert_uint_eq(mapping.size, 3);
  ck_assert_mem_eq(mapping.data, "abc", 3);
  llqi_file_unmap(&mapping);
}
END_TEST

static int no_rename(const char *from, const char *to) {
  errno = ENOSPC;
  return -1;
}

START_TEST(a_failed_rename_leaves_no_file) {
  struct llqi_file_calls calls = llqi_file_system;
  calls.rename = no_rename;
  llqi_files = &calls;
  int status = llqi_file_write(test_path("never"), "abc", 3);
  llqi_files = &llqi_file_system;
  ck_assert_int_eq(status, LLQ_ERROR_IO);
  ck_assert_ptr_nonnull(strstr(llq_error_message(), "never"));
  ck_assert(!llqi_file_exists(test_path("never")));
  ck_assert(!llqi_file_exists(test_path("never.part")));
}
END_TEST

START_TEST(gzip_and_plain_files_read_alike) {
  const char *path = test_path("text.gz");
  gzFile gz = gzopen(path, "wb");
  gzputs(gz, "one\ntwo\n");
  gzclose(gz);
  char *bytes;
  size_t n;
  ck_assert_llq_ok(llqi_file_read_gzip(path, 100, &bytes, &n));
  ck_assert_str_eq(bytes, "one\ntwo\n");
  llqi_free(bytes);
  ck_assert_llq_fails(llqi_file_read_gzip(path, 7, &bytes, &n),
                      LLQ_ERROR_FORMAT, "text.gz");
  ck_assert_int_eq(truncate(path, 15), 0);
  llqi_error_clear();
  ck_assert_llq_fails(llqi_file_read_gzip(path, 100, &bytes, &n),
                      LLQ_ERROR_FORMAT, "gzip");
}
END_TEST

START_TEST(missing_files_and_directories_are_named) {
  struct llqi_mapping mapping;
  ck_assert_llq_fails(llqi_file_map(test_path("absent"), &mapping),
                      LLQ_ERROR_IO, "absent: No such file");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_file_map(test_directory(), &mapping), LLQ_ERROR_IO,
                      "not a regular file");
}
END_TEST

START_TEST(json_errors_name_file_line_and_key) {
  const char *bad = "{\"a\": 1,\n \"b\": }";
  json_t *json;
  ck_assert_llq_fails(llqi_json_parse("x.json", bad, strlen(bad), &json),
                      LLQ_ERROR_FORMAT, "x.json: line 2");
  const char *good = "{\"a\": 1, \"s\": \"t\", \"r\": 2.5, \"n\": null}";
  ck_assert_llq_ok((llqi_error_clear(),
                    llqi_json_parse("x.json", good, strlen(good), &json)));
  int64_t n = 9;
  double r;
  ck_assert_llq_ok(llqi_json_int(json, "x.json", "a", 0, 5, &n));
  ck_assert_int_eq(n, 1);
  ck_assert_llq_ok(llqi_json_int_or(json, "x.json", "n", 0, 5, &n));
  ck_assert_int_eq(n, 1);
  ck_assert_llq_ok(llqi_json_real(json, "x.json", "r", &r));
  ck_assert_double_eq(r, 2.5);
  ck_assert_llq_fails(llqi_json_int(json, "x.json", "s", 0, 5, &n),
                      LLQ_ERROR_FORMAT, "x.json: \"s\" is not an integer");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_json_int(json, "x.json", "z", 0, 5, &n),
                      LLQ_ERROR_FORMAT, "no \"z\"");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_json_int(json, "x.json", "a", 2, 5, &n),
                      LLQ_ERROR_FORMAT, "expected 2 to 5");
  json_decref(json);
}
END_TEST

/* Known answers published with the authors' Random123 library. */
START_TEST(philox_gives_the_published_numbers) {
  const uint32_t zeros[4] = {0}, ones[4] = {~0u, ~0u, ~0u, ~0u};
  const uint32_t of_zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  const uint32_t of_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  uint32_t out[4];
  llqi_philox(0, zeros, out);
  ck_assert_mem_eq(out, of_zeros, sizeof out);
  llqi_philox(~(uint64_t)0, ones, out);
  ck_assert_mem_eq(out, of_ones, sizeof out);
}
END_TEST

START_TEST(normals_have_mean_zero_and_variance_one) {
  double sum = 0, squares = 0;
  const int n = 50000;
  for (int i = 0; i < n; i++) {
    float x[4];
    llqi_normal4(1, 2, (uint64_t)i, x);
    for (int j = 0; j < 4; j++) {
      sum += x[j];
      squares += (double)x[j] * x[j];
    }
  }
  ck_assert_double_lt(fabs(sum / (4 * n)), 0.01);
  ck_assert_double_lt(fabs(squares / (4 * n) - 1), 0.02);
}
END_TEST

START_TEST(sha256_gives_the_standard_digest) {
  char digest[LLQI_HASH_TEXT_SIZE]; /* FIPS 180-4's example "abc" */
  llqi_hash_bytes("abc", 3, digest);
  ck_assert_str_eq(digest, "ba7816bf8f01cfea414140de5dae2223"
                           "b00361a396177a9cb410ff61f20015ad");
}
END_TEST

static char last_line[100];

static void keep_line(void *user, int level, const char *line) {
  snprintf(last_line, sizeof last_line, "%s%d%s", (char *)user, level, line);
}

START_TEST(the_log_goes_to_the_sink_down_to_its_level) {
  static char prefix[] = "<";
  llq_log_set(keep_line, prefix, LLQ_LOG_WARNING);
  llqi_log(LLQ_LOG_WARNING, "careful: %d", 3);
  llqi_log(LLQ_LOG_INFO, "not wanted");
  llq_log_set(NULL, NULL, 0);
  ck_assert_str_eq(last_line, "<1careful: 3");
}
END_TEST

/* The examples of the Unicode standard's tables 3-8 to 3-11. */
START_TEST(utf8_is_cut_into_characters_and_ill_formed_parts) {
  static const struct {
    const char *bytes;
    int next;
  } cases[] = {
      {"a", 1},
      {"\xC3\xA9", 2},
      {"\xE2\x82\xAC", 3},
      {"\xF0\x9F\x98\x80", 4},
      {"\xC0\xAF", -1},
      {"\xE0\x80\xBF", -1},
      {"\xED\xA0\x80", -1},
      {"\xF4\x91\x92\x93", -1},
      {"\xFF", -1},
      {"\x80", -1},
      {"\xE1\x80\xE2", -2},
      {"\xF1\x80\x80"
       "A",
       -3},
      {"\xE2\x82", 0},
      {"\xF0\x9F\x98", 0},
      {"\xC3", 0},
      {"\xEF\xBF\xBD", 3},
      {"\xF0\x8F\x80\x80", -1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    ck_assert_int_eq(llqi_utf8_next(cases[i].bytes, strlen(cases[i].bytes)),
                     cases[i].next);
  ck_assert(llqi_utf8_is_valid("h\xC3\xA9", 3));
  ck_assert(!llqi_utf8_is_valid("h\xC3\xA9", 2));
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("base");
  TCase *tests = tcase_create("base");
  tcase_add_checked_fixture(tests, llqi_error_clear, NULL);
  tcase_add_test(tests, the_first_error_wins);
  tcase_add_test(tests, messages_stay_on_one_line);
  tcase_add_test(tests, errors_move_between_threads);
  tcase_add_test(tests, allocation_fails_at_the_nth_call);
  tcase_add_test(tests, allocation_refuses_sizes_that_overflow);
  tcase_add_test(tests, options_of_older_and_newer_callers_are_understood);
  tcase_add_test(tests, a_file_appears_only_when_committed);
  tcase_add_test(tests, a_failed_rename_leaves_no_file);
  tcase_add_test(tests, gzip_and_plain_files_read_alike);
  tcase_add_test(tests, missing_files_and_directories_are_named);
  tcase_add_test(tests, json_errors_name_file_line_and_key);
  tcase_add_test(tests, philox_gives_the_published_numbers);
  tcase_add_test(tests, normals_have_mean_zero_and_variance_one);
  tcase_add_test(tests, sha256_gives_the_standard_digest);
  tcase_add_test(tests, the_log_goes_to_the_sink_down_to_its_level);
  tcase_add_test(tests, utf8_is_cut_into_characters_and_ill_formed_parts);
  suite_add_tcase(suite, tests);
  return suite;
}
