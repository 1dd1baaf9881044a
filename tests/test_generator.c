/* SPDX-License-Identifier: Apache-2.0 */
/* The generator: what a sequence yields is its own affair, whatever else runs;
   limits, errors, and stopping at any moment. Token ids only; text is in
   test_generator_text.c, failures in test_generator_failures.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generating.h"
#include "support.h"

#define N_JOBS 40
#define N_OUTCOMES (N_JOBS * 2)

static llq_model *model;
static llq_backend *backend;
static struct outcome expected[N_OUTCOMES], found[N_OUTCOMES];

static void set_up(void) {
  model = tiny_random_model();
  backend = cpu_backend();
}

static void tear_down(void) {
  llq_model_close(model);
  llq_backend_close(backend);
}

/* Sequences are numbered from 0 in the order of submission. */
static int run_all(int32_t n_sequences, int32_t n_chunk,
                   struct outcome *outcomes) {
  int64_t sequences[N_JOBS];
  struct job last;
  llq_generator *generator =
      open_generator(backend, model, n_sequences, n_chunk);
  submit_jobs(generator, 0, N_JOBS, sequences);
  ck_assert_llq_ok(llq_generator_run(generator));
  mixed_job(N_JOBS - 1, &last);
  int n = (int)sequences[N_JOBS - 1] + last.n_samples;
  ck_assert_int_le(n, N_OUTCOMES);
  for (int i = 0; i < n; i++)
    get_outcome(generator, i, &outcomes[i]);
  llq_generator_close(generator);
  return n;
}

START_TEST(outcomes_do_not_depend_on_the_batch_or_on_chunks) {
  static const int32_t batches[] = {1, 7, 32}, chunks[] = {3, 64, 256};
  int n = run_all(1, 256, expected);
  int n_different = 0; /* the jobs are worth comparing */
  for (int i = 1; i < n; i++)
    n_different += expected[i].min_margin != expected[i - 1].min_margin;
  ck_assert_int_gt(n_different, n / 2);
  for (int b = 0; b < 3; b++)
    for (int c = 0; c < 3; c++) {
      ck_assert_int_eq(run_all(batches[b], chunks[c], found), n);
      for (int i = 0; i < n; i++)
        expect_same(&expected[i], &found[i], i);
    }
}
END_TEST

/* Prompts that end inside, at and just after a page. */
START_TEST(samples_of_a_shared_prompt_equal_prompts_of_their_own) {
  static const size_t lengths[] = {1, 63, 64, 65, 128, 150};
  struct job job;
  mixed_job(5, &job);
  job.sampling.temperature = 1;
  job.sampling.n_tokens_max = 30;
  for (int l = 0; l < 6; l++) {
    int64_t shared, own[5];
    llq_generator *generator =
        open_generator(backend, model, l % 2 ? 2 : 8, 50);
    job.sampling.stream = 100;
    ck_assert_llq_ok(llq_generator_submit(generator, job.ids, lengths[l],
                                          &job.sampling, 5, &shared));
    for (int i = 0; i < 5; i++, job.sampling.stream++)
      ck_assert_llq_ok(llq_generator_submit(generator, job.ids, lengths[l],
                                            &job.sampling, 1, &own[i]));
    ck_assert_llq_ok(llq_generator_run(generator));
    for (int i = 0; i < 5; i++) {
      get_outcome(generator, shared + i, &found[i]);
      get_outcome(generator, own[i], &expected[i]);
      expect_same(&expected[i], &found[i], i);
    }
    ck_assert_mem_ne(found[0].ids, found[1].ids, 10 * sizeof(int32_t));
    llq_generator_close(generator);
  }
}
END_TEST

/* Draws are keyed by position: what was generated, as a prompt, goes on as it
   would have. */
START_TEST(a_sequence_can_be_taken_up_where_it_was_left) {
  llq_generator *generator = open_generator(backend, model, 4, 64);
  struct job job;
  int64_t whole, rest;
  mixed_job(7, &job);
  job.sampling.temperature = 0.8;
  job.sampling.n_tokens_max = 40;
  job.sampling.end_ids = job.ids;
  ck_assert_llq_ok(llq_generator_submit(generator, job.ids, job.n_ids,
                                        &job.sampling, 1, &whole));
  ck_assert_llq_ok(llq_generator_run(generator));
  get_outcome(generator, whole, &expected[0]);
  memcpy(job.ids + job.n_ids, expected[0].ids, 15 * sizeof(int32_t));
  job.sampling.n_tokens_max = 25;
  ck_assert_llq_ok(llq_generator_submit(generator, job.ids, job.n_ids + 15,
                                        &job.sampling, 1, &rest));
  ck_assert_llq_ok(llq_generator_run(generator));
  get_outcome(generator, rest, &found[0]);
  ck_assert_uint_eq(found[0].n_ids, 25);
  ck_assert_mem_eq(found[0].ids, expected[0].ids + 15, 25 * sizeof(int32_t));
  llq_generator_close(generator);
}
END_TEST

/* The largest logit, its smallest id, and the distance to the next. */
static int32_t top_of(const float *row, double *margin) {
  int32_t top = 0;
  for (int32_t i = 1; i < TINY_VOCAB; i++)
    top = row[i] > row[top] ? i : top;
  *margin = INFINITY;
  for (int32_t i = 0; i < TINY_VOCAB; i++)
    if (i != top && (double)row[top] - row[i] < *margin)
      *margin = (double)row[top] - row[i];
  return top;
}

START_TEST(greedy_tokens_and_margins_are_those_of_the_logits) {
  static float logits[TINY_CONTEXT * TINY_VOCAB];
  llq_generator *generator = open_generator(backend, model, 2, 48);
  struct job job;
  int64_t sequence;
  mixed_job(4, &job);
  job.sampling = (llq_sampling){.struct_size = sizeof job.sampling,
                                .n_tokens_max = 60,
                                .end_ids = job.ids};
  ck_assert_llq_ok(llq_generator_submit(generator, job.ids, job.n_ids,
                                        &job.sampling, 1, &sequence));
  ck_assert_llq_ok(llq_generator_run(generator));
  get_outcome(generator, sequence, &found[0]);
  memcpy(job.ids + job.n_ids, found[0].ids, 60 * sizeof(int32_t));
  ck_assert_llq_ok(
      llq_generator_logits(generator, job.ids, job.n_ids + 60, logits));
  double least = INFINITY, margin;
  int at = -1;
  for (int i = 0; i < 60; i++) {
    const float *row = logits + (job.n_ids - 1 + (size_t)i) * TINY_VOCAB;
    ck_assert_int_eq(top_of(row, &margin), found[0].ids[i]);
    at = margin < least ? i : at;
    least = fmin(least, margin);
  }
  ck_assert_double_eq(least, found[0].min_margin);
  ck_assert_int_eq(at, found[0].margin_at);
  llq_generator_close(generator);
}
END_TEST

START_TEST(logits_do_not_disturb_sequences_nor_depend_on_them) {
  static float alone[100 * TINY_VOCAB], among[100 * TINY_VOCAB];
  struct job job;
  int64_t sequences[4];
  mixed_job(9, &job);
  llq_generator *generator = open_generator(backend, model, 8, 256);
  ck_assert_llq_ok(llq_generator_logits(generator, job.ids, 100, alone));
  submit_jobs(generator, 0, 4, sequences);
  ck_assert_llq_ok(llq_generator_run(generator));
  for (int i = 0; i < 4; i++)
    get_outcome(generator, sequences[i], &expected[i]);
  llq_generator_close(generator);
  generator = open_generator(backend, model, 8, 7);
  submit_jobs(generator, 0, 4, sequences);
  int status;
  do {
    status = llq_generator_step(generator, NULL);
    ck_assert_llq_ok(llq_generator_logits(generator, job.ids, 100, among));
    ck_assert_mem_eq(alone, among, sizeof alone);
  } while (status == LLQ_MORE);
  for (int i = 0; i < 4; i++) {
    get_outcome(generator, sequences[i], &found[i]);
    expect_same(&expected[i], &found[i], i);
  }
  llq_generator_close(generator);
}
END_TEST

START_TEST(any_of_several_end_tokens_ends_a_sequence) {
  llq_generator *generator = open_generator(backend, model, 4, 64);
  struct job job;
  int64_t first;
  mixed_job(2, &job);
  job.sampling =
      (llq_sampling){.struct_size = sizeof job.sampling, .temperature = 1};
  ck_assert_llq_ok(
      llq_generator_submit(generator, job.ids, 10, &job.sampling, 20, &first));
  ck_assert_llq_ok(llq_generator_run(generator));
  int n_ended[2] = {0};
  for (int i = 0; i < 20; i++) {
    get_outcome(generator, first + i, &found[0]);
    int32_t last = found[0].ids[found[0].n_ids - 1];
    if (found[0].stop_reason == LLQ_STOP_END) {
      ck_assert(last == 5 || last == 17);
      n_ended[last == 5]++;
    }
    for (size_t k = 0; k + 1 < found[0].n_ids; k++)
      ck_assert(found[0].ids[k] != 5 && found[0].ids[k] != 17);
  }
  ck_assert_int_gt(n_ended[0], 0);
  ck_assert_int_gt(n_ended[1], 0);
  llq_generator_close(generator);
}
END_TEST

START_TEST(no_end_tokens_means_until_the_context_is_full) {
  llq_generator *generator = open_generator(backend, model, 4, 64);
  int32_t id = 3;
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  int64_t all, some;
  sampling.temperature = 1;
  sampling.end_ids = &id; /* n_end_ids is 0: none */
  ck_assert_llq_ok(llq_generator_submit(generator, &id, 1, &sampling, 1, &all));
  sampling.n_tokens_max = 12;
  ck_assert_llq_ok(
      llq_generator_submit(generator, &id, 1, &sampling, 1, &some));
  ck_assert_llq_ok(llq_generator_run(generator));
  get_outcome(generator, all, &found[0]);
  get_outcome(generator, some, &found[1]);
  ck_assert_int_eq(found[0].stop_reason, LLQ_STOP_CONTEXT);
  ck_assert_uint_eq(found[0].n_ids, TINY_CONTEXT - 1);
  ck_assert_int_eq(found[1].stop_reason, LLQ_STOP_LENGTH);
  ck_assert_uint_eq(found[1].n_ids, 12);
  ck_assert_mem_eq(found[0].ids, found[1].ids, 12 * sizeof(int32_t));
  llq_generator_close(generator);
}
END_TEST

/* After each number of steps, one sequence is cancelled and one released; the
   others end as if nothing had happened, and no page is lost. */
START_TEST(sequences_may_be_cancelled_and_released_at_any_step) {
  static float logits[TINY_CONTEXT * TINY_VOCAB];
  static const int32_t ids[TINY_CONTEXT];
  int n = run_all(1, 256, expected);
  llq_generator *generator = open_generator(backend, model, 5, 40);
  for (int steps = 0; steps < 60; steps += 3) {
    int64_t sequences[N_JOBS], first;
    submit_jobs(generator, 0, 12, sequences);
    first = sequences[0];
    int64_t cancelled = first + steps % 11, released = first + 11 + steps % 5;
    for (int i = 0; i < steps; i++)
      ck_assert_int_ge(llq_generator_step(generator, NULL), 0);
    ck_assert_llq_ok(llq_generator_cancel(generator, cancelled));
    ck_assert_llq_ok(llq_generator_cancel(generator, cancelled));
    get_outcome(generator, cancelled, &found[0]);
    ck_assert_int_ne(found[0].stop_reason, LLQ_STOP_NONE);
    llq_generator_release(generator, released);
    llq_generator_release(generator, released);
    ck_assert_llq_ok(llq_generator_run(generator));
    for (int64_t i = first; i <= sequences[11]; i++) {
      if (i == released)
        continue;
      get_outcome(generator, i, &found[0]);
      const struct outcome *whole = &expected[i - first];
      ck_assert_int_lt(i - first, n);
      if (found[0].stop_reason == LLQ_STOP_CANCELLED) {
        ck_assert_int_eq(i, cancelled);
        ck_assert_mem_eq(found[0].ids, whole->ids,
                         found[0].n_ids * sizeof(int32_t));
      } else {
        expect_same(whole, &found[0], (int)i);
      }
      llq_generator_release(generator, i);
    }
    ck_assert_llq_ok(
        llq_generator_logits(generator, ids, TINY_CONTEXT, logits));
  }
  llq_generator_close(generator);
}
END_TEST

START_TEST(steps_report_progress_and_may_go_on_after_the_end) {
  llq_generator *generator = open_generator(backend, model, 3, 64);
  llq_progress progress = LLQ_PROGRESS_INIT;
  int64_t sequences[8];
  ck_assert_llq_ok(llq_generator_step(generator, &progress));
  ck_assert_uint_eq(progress.total, 0);
  submit_jobs(generator, 0, 8, sequences);
  uint64_t done = 0;
  int status;
  while ((status = llq_generator_step(generator, &progress)) == LLQ_MORE) {
    ck_assert_uint_ge(progress.done, done);
    done = progress.done;
    ck_assert_uint_eq(progress.total, 16);
    ck_assert_str_eq(progress.unit, "sequences");
  }
  ck_assert_int_eq(status, LLQ_OK);
  ck_assert_uint_eq(progress.done, 16);
  ck_assert_llq_ok(llq_generator_step(generator, NULL));
  submit_jobs(generator, 8, 1, sequences);
  ck_assert_int_eq(llq_generator_step(generator, NULL), LLQ_MORE);
  ck_assert_llq_ok(llq_generator_run(generator));
  llq_generator_close(generator);
}
END_TEST

START_TEST(a_generator_may_be_closed_at_any_step) {
  for (int steps = 0; steps < 12; steps++) {
    int64_t sequences[12];
    llq_generator *generator = open_generator(backend, model, 4, 30);
    submit_jobs(generator, 0, 12, sequences);
    for (int i = 0; i < steps; i++)
      ck_assert_int_eq(llq_generator_step(generator, NULL), LLQ_MORE);
    llq_generator_close(generator);
  }
  llq_generator_close(NULL);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("generator");
  TCase *tests = tcase_create("generator");
  tcase_add_checked_fixture(tests, set_up, tear_down);
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, outcomes_do_not_depend_on_the_batch_or_on_chunks);
  tcase_add_test(tests, samples_of_a_shared_prompt_equal_prompts_of_their_own);
  tcase_add_test(tests, a_sequence_can_be_taken_up_where_it_was_left);
  tcase_add_test(tests, greedy_tokens_and_margins_are_those_of_the_logits);
  tcase_add_test(tests, logits_do_not_disturb_sequences_nor_depend_on_them);
  tcase_add_test(tests, any_of_several_end_tokens_ends_a_sequence);
  tcase_add_test(tests, no_end_tokens_means_until_the_context_is_full);
  tcase_add_test(tests, sequences_may_be_cancelled_and_released_at_any_step);
  tcase_add_test(tests, steps_report_progress_and_may_go_on_after_the_end);
  tcase_add_test(tests, a_generator_may_be_closed_at_any_step);
  suite_add_tcase(suite, tests);
  return suite;
}
