/* SPDX-License-Identifier: Apache-2.0 */
/* No text takes quadratic time; a large vocabulary loads quickly. Times are of
   this process's CPU, because other work on the machine is not the matter. */
#include <llq/tokenizer.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "small_tokenizer.h"
#include "support.h"

#define MEGABYTE 1000000

/* Each takes about 0.3 s; a loop over a run of n that is quadratic, hours. */
#define SECONDS 10

static double seconds(void) {
  return (double)clock() / CLOCKS_PER_SEC;
}

static llq_tokenizer *open_any(void) {
  llq_tokenizer *tokenizer;
  const char *path = test_data("llama3-tokenizer.model");
  if (path == NULL)
    return small_tokenizer_open(NULL, NULL);
  ck_assert_llq_ok(llq_tokenizer_open(&tokenizer, path));
  return tokenizer;
}

static const char *const units[] = {"a",
                                    " ",
                                    "7",
                                    "\n",
                                    "?",
                                    "'",
                                    "\xc3\xa9",
                                    "\xe5\xad\x97",
                                    "\xe3\x80\x80",
                                    "\xff",
                                    "\xf0\x9f",
                                    " \n",
                                    "\r\n ",
                                    "a ",
                                    "<|",
                                    "<|reserved_special_token_",
                                    "\xcc\x81",
                                    "'s",
                                    " ?"};

START_TEST(a_megabyte_of_one_thing_takes_linear_time) {
  llq_tokenizer *t = open_any();
  const char *unit = units[_i];
  char *text = malloc(MEGABYTE + 1);
  for (size_t i = 0, n = strlen(unit); i < MEGABYTE; i++)
    text[i] = unit[i % n];
  text[MEGABYTE] = 'x'; /* ends a run of spaces otherwise than the text does */
  for (size_t more = 0; more < 2; more++) {
    size_t n_ids;
    double begin = seconds();
    ck_assert_llq_ok(llq_tokenizer_encode(t, text, MEGABYTE + more,
                                          LLQ_ENCODE_SPECIAL, NULL, 0, &n_ids));
    ck_assert_double_lt(seconds() - begin, SECONDS);
    ck_assert_uint_gt(n_ids, MEGABYTE / 1000);
  }
  free(text);
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(llama_3_loads_in_half_a_second) {
  const char *path = test_data("llama3-tokenizer.model");
  double least = 100;
  for (int i = 0; path != NULL && i < 3; i++) {
    llq_tokenizer *t;
    double begin = seconds();
    ck_assert_llq_ok(llq_tokenizer_open(&t, path));
    double took = seconds() - begin;
    least = took < least ? took : least;
    llq_tokenizer_close(t);
  }
#ifndef __SANITIZE_ADDRESS__
  if (path != NULL)
    ck_assert_double_lt(least, 0.5);
#endif
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("tokenizer_time");
  TCase *tests = tcase_create("time");
  tcase_set_timeout(tests, 120);
  tcase_add_loop_test(tests, a_megabyte_of_one_thing_takes_linear_time, 0,
                      sizeof units / sizeof units[0]);
  tcase_add_test(tests, llama_3_loads_in_half_a_second);
  suite_add_tcase(suite, tests);
  return suite;
}
