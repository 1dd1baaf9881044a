/* SPDX-License-Identifier: Apache-2.0 */
/* Loops shared out among threads. */
#include <stdatomic.h>
#include <string.h>

#include "base/threads.h"
#include "support.h"

#define N_ITEMS 1000

struct counts {
  atomic_int of_item[N_ITEMS];
  atomic_int in_use[16]; /* by thread number */
  atomic_int clashes, highest_thread;
};

static void count_item(void *user, uint32_t item, int thread) {
  struct counts *counts = user;
  if (atomic_fetch_add(&counts->in_use[thread], 1) != 0)
    atomic_fetch_add(&counts->clashes, 1);
  atomic_fetch_add(&counts->of_item[item], 1);
  int highest = atomic_load(&counts->highest_thread);
  while (thread > highest && !atomic_compare_exchange_weak(
                                 &counts->highest_thread, &highest, thread))
    ;
  atomic_fetch_sub(&counts->in_use[thread], 1);
}

/* Every item once, no thread number twice at a time, none beyond the limit. */
static void check_loop(struct llqi_threads *threads, int n_threads,
                       uint32_t n_items) {
  static struct counts counts;
  memset(&counts, 0, sizeof counts);
  llqi_threads_run(threads, n_threads, n_items, count_item, &counts);
  for (uint32_t i = 0; i < N_ITEMS; i++)
    ck_assert_int_eq(counts.of_item[i], i < n_items);
  ck_assert_int_eq(counts.clashes, 0);
  if (n_threads > 0)
    ck_assert_int_lt(counts.highest_thread, n_threads);
}

START_TEST(every_item_is_done_once) {
  struct llqi_threads *threads;
  ck_assert_llq_ok(llqi_threads_open(&threads, _i));
  ck_assert_int_eq(llqi_threads_count(threads), _i);
  for (int round = 0; round < 300; round++) {
    check_loop(threads, 0, N_ITEMS);
    check_loop(threads, 1 + round % _i, (uint32_t)(round % 7));
  }
  check_loop(NULL, 0, N_ITEMS);
  llqi_threads_close(threads);
}
END_TEST

static void add_item(void *user, uint32_t item, int thread) {
  atomic_fetch_add((atomic_uint *)user, item);
}

START_TEST(short_loops_follow_each_other) {
  struct llqi_threads *threads;
  ck_assert_llq_ok(llqi_threads_open(&threads, 3));
  atomic_uint sum = 0;
  for (int i = 0; i < 20000; i++)
    llqi_threads_run(threads, 0, 5, add_item, &sum);
  ck_assert_uint_eq(sum, 20000 * 10);
  llqi_threads_close(threads);
}
END_TEST

START_TEST(opened_threads_close_without_work) {
  for (int i = 0; i < 50; i++) {
    struct llqi_threads *threads;
    ck_assert_llq_ok(llqi_threads_open(&threads, 4));
    llqi_threads_close(threads);
  }
  llqi_threads_close(NULL);
}
END_TEST

START_TEST(the_default_is_the_cores_of_the_process) {
  struct llqi_threads *threads;
  ck_assert_llq_ok(llqi_threads_open(&threads, 0));
  ck_assert_int_eq(llqi_threads_count(threads), llqi_n_cores());
  ck_assert_int_ge(llqi_n_cores(), 1);
  llqi_threads_close(threads);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("threads");
  TCase *tests = tcase_create("threads");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, every_item_is_done_once, 1, 6);
  tcase_add_test(tests, short_loops_follow_each_other);
  tcase_add_test(tests, opened_threads_close_without_work);
  tcase_add_test(tests, the_default_is_the_cores_of_the_process);
  suite_add_tcase(suite, tests);
  return suite;
}
