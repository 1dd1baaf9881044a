/* SPDX-License-Identifier: Apache-2.0 */
/* Stop strings and streamed text, whatever the pieces that text comes in. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "base/status.h"
#include "base/utf8.h"
#include "generator/stop.h"
#include "support.h"

static struct llqi_stops stops;
static struct llqi_stream stream;

static void tear_down(void) {
  llqi_stops_free(&stops);
  llqi_stream_free(&stream);
  stream = (struct llqi_stream){0};
}

static void use(const char *a, const char *b) {
  const char *strings[] = {a, b};
  llqi_stops_free(&stops);
  ck_assert_llq_ok(llqi_stops_copy(&stops, strings,
                                   a == NULL   ? 0
                                   : b == NULL ? 1
                                               : 2));
}

static int add(const char *bytes) {
  size_t n = strlen(bytes);
  ck_assert_llq_ok(llqi_stream_reserve(&stream, n));
  return llqi_stream_add(&stream, &stops, bytes, n);
}

static const char *text(void) {
  return stream.text.data != NULL ? stream.text.data : "";
}

START_TEST(text_without_stops_goes_straight_through) {
  use(NULL, NULL);
  ck_assert(!add("def f"));
  ck_assert_str_eq(text(), "def f");
  ck_assert(!add("(x):"));
  ck_assert_str_eq(text(), "def f(x):");
}
END_TEST

START_TEST(the_beginning_of_a_stop_string_is_held_back) {
  use("\ndef", "\nclass");
  ck_assert(!add("a\nd"));
  ck_assert_str_eq(text(), "a");
  ck_assert(!add("x\ncla"));
  ck_assert_str_eq(text(), "a\ndx");
  ck_assert(add("ss B"));
  ck_assert_str_eq(text(), "a\ndx");
  llqi_stream_finish(&stream);
  ck_assert_str_eq(text(), "a\ndx");
}
END_TEST

START_TEST(held_text_comes_out_when_the_sequence_ends) {
  use("\ndef", NULL);
  ck_assert(!add("a\nde"));
  llqi_stream_finish(&stream);
  ck_assert_str_eq(text(), "a\nde");
}
END_TEST

START_TEST(a_stop_string_may_begin_inside_a_failed_match) {
  use("aab", NULL);
  ck_assert(!add("aa"));
  ck_assert(!add("a"));
  ck_assert_str_eq(text(), "a");
  ck_assert(add("b"));
  ck_assert_str_eq(text(), "a");
}
END_TEST

START_TEST(the_first_complete_stop_string_counts_and_then_the_longest) {
  use("b", "abc");
  ck_assert(add("xabc"));
  ck_assert_str_eq(text(), "xa");
  tear_down();
  use("b", "ab");
  ck_assert(add("xabc"));
  ck_assert_str_eq(text(), "x");
}
END_TEST

START_TEST(a_character_is_never_split) {
  use(NULL, NULL);
  ck_assert(!add("\xE2\x82"));
  ck_assert_str_eq(text(), "");
  ck_assert(!add("\xAC\xF0"));
  ck_assert_str_eq(text(), "\xE2\x82\xAC");
  ck_assert(!add("\x9F"));
  ck_assert(!add("\x98"));
  ck_assert_str_eq(text(), "\xE2\x82\xAC");
  ck_assert(!add("\x80!"));
  ck_assert_str_eq(text(), "\xE2\x82\xAC\xF0\x9F\x98\x80!");
}
END_TEST

START_TEST(what_is_not_utf8_becomes_replacement_characters) {
  use(NULL, NULL);
  ck_assert(!add("a\xFF"
                 "b\xE2\x82"));
  ck_assert_str_eq(text(), "a\xEF\xBF\xBD"
                           "b");
  ck_assert(!add("c\xF0\x9F"));
  ck_assert_str_eq(text(), "a\xEF\xBF\xBD"
                           "b\xEF\xBF\xBD"
                           "c");
  llqi_stream_finish(&stream);
  ck_assert_str_eq(text(), "a\xEF\xBF\xBD"
                           "b\xEF\xBF\xBD"
                           "c\xEF\xBF\xBD");
}
END_TEST

START_TEST(a_stop_string_may_contain_characters_that_tokens_split) {
  use("\xE2\x82\xAC\xE2\x82\xAD", NULL);
  ck_assert(!add("1\xE2"));
  ck_assert(!add("\x82\xAC\xE2\x82"));
  ck_assert_str_eq(text(), "1");
  ck_assert(add("\xAD tail"));
  ck_assert_str_eq(text(), "1");
  llqi_stream_finish(&stream);
  ck_assert_str_eq(text(), "1");
}
END_TEST

/* What the text must be, found the plain way: byte by byte over the whole. */
static size_t cut_of(const char *whole, size_t n) {
  for (size_t end = 1; end <= n; end++) {
    size_t best = 0;
    for (size_t i = 0; i < stops.n; i++)
      if (stops.lengths[i] <= end && stops.lengths[i] > best &&
          memcmp(whole + end - stops.lengths[i], stops.strings[i],
                 stops.lengths[i]) == 0)
        best = stops.lengths[i];
    if (best > 0)
      return end - best;
  }
  return n;
}

/* Feeds pieces of random sizes; what is out at any time is a beginning of the
   final text, in whole characters. */
static void feed(const char *whole, size_t n, uint64_t key) {
  int stopped = 0;
  for (size_t at = 0, step = 0; at < n && !stopped; step++) {
    size_t size = (size_t)(llqi_uniform(key, 1, step) * 6);
    size = size < n - at ? size : n - at;
    ck_assert_llq_ok(llqi_stream_reserve(&stream, size));
    stopped = llqi_stream_add(&stream, &stops, whole + at, size);
    at += size;
    ck_assert(llqi_utf8_is_valid(text(), stream.text.length));
    ck_assert_uint_le(stream.text.length, cut_of(whole, n));
  }
  ck_assert_int_eq(stopped, cut_of(whole, n) < n);
}

START_TEST(the_outcome_does_not_depend_on_the_pieces) {
  static const char *const alphabet[] = {"a",
                                         "b",
                                         "\xC3\xA9",
                                         "\xE2\x82\xAC",
                                         "ab",
                                         "a\xC3\xA9"
                                         "a"};
  for (uint64_t key = 0; key < 3000; key++) {
    char whole[200] = "", first[40] = "", second[40] = "";
    for (uint64_t i = 0; i < 30; i++)
      strcat(whole, alphabet[(int)(llqi_uniform(key, 0, i) * 6)]);
    for (uint64_t i = 0; i < 3; i++) {
      strcat(first, alphabet[(int)(llqi_uniform(key, 2, i) * 6)]);
      strcat(second, alphabet[(int)(llqi_uniform(key, 3, i) * 4)]);
    }
    use(first, second);
    size_t n = strlen(whole);
    feed(whole, n, key);
    llqi_stream_finish(&stream);
    ck_assert_uint_eq(stream.text.length, cut_of(whole, n));
    ck_assert_mem_eq(text(), whole, stream.text.length);
    tear_down();
  }
}
END_TEST

START_TEST(stop_strings_that_cannot_be_are_refused) {
  const char *empty[] = {"a", ""}, *bytes[] = {"\xE2\x82"}, *null[] = {NULL};
  ck_assert_llq_fails(llqi_stops_copy(&stops, empty, 2), LLQ_ERROR_ARGUMENT,
                      "stop string 1 is empty");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_stops_copy(&stops, bytes, 1), LLQ_ERROR_ARGUMENT,
                      "stop string 0 is not UTF-8");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_stops_copy(&stops, null, 1), LLQ_ERROR_ARGUMENT,
                      "stop string 0 is NULL");
  llqi_error_clear();
  ck_assert_llq_fails(llqi_stops_copy(&stops, NULL, 1), LLQ_ERROR_ARGUMENT,
                      "stops is NULL");
}
END_TEST

START_TEST(after_reserving_adding_needs_no_memory) {
  use("\ndef", NULL);
  ck_assert_llq_ok(llqi_stream_reserve(&stream, 100));
  llqi_alloc_fail_at(1, 1);
  for (int i = 0; i < 100; i++)
    llqi_stream_add(&stream, &stops, "\xF0", 1);
  llqi_stream_finish(&stream);
  llqi_alloc_fail_at(0, 0);
  ck_assert_uint_eq(stream.text.length, 300);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("stop");
  TCase *tests = tcase_create("stop");
  tcase_add_checked_fixture(tests, NULL, tear_down);
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, text_without_stops_goes_straight_through);
  tcase_add_test(tests, the_beginning_of_a_stop_string_is_held_back);
  tcase_add_test(tests, held_text_comes_out_when_the_sequence_ends);
  tcase_add_test(tests, a_stop_string_may_begin_inside_a_failed_match);
  tcase_add_test(tests,
                 the_first_complete_stop_string_counts_and_then_the_longest);
  tcase_add_test(tests, a_character_is_never_split);
  tcase_add_test(tests, what_is_not_utf8_becomes_replacement_characters);
  tcase_add_test(tests, a_stop_string_may_contain_characters_that_tokens_split);
  tcase_add_test(tests, the_outcome_does_not_depend_on_the_pieces);
  tcase_add_test(tests, stop_strings_that_cannot_be_are_refused);
  tcase_add_test(tests, after_reserving_adding_needs_no_memory);
  suite_add_tcase(suite, tests);
  return suite;
}
