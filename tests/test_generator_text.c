/* SPDX-License-Identifier: Apache-2.0 */
/* Text of the generator, on llq-micro: streamed, cut, and always the same. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"
#include "generating.h"
#include "support.h"

#define N_PROMPTS 6

static llq_model *model;
static llq_backend *backend;
static const llq_tokenizer *tokenizer;
static struct job prompts[N_PROMPTS];

static void read_prompts(void) {
  char path[1024];
  snprintf(path, sizeof path, "%s/llq-micro/tasks.jsonl", getenv("LLQ_DATA"));
  FILE *file = fopen(path, "r");
  ck_assert_msg(file != NULL, "%s", path);
  for (int i = 0; i < N_PROMPTS; i++) {
    json_t *task = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
    const char *text = json_string_value(json_object_get(task, "prompt"));
    prompts[i] = (struct job){.sampling = LLQ_SAMPLING_INIT, .n_samples = 1};
    ck_assert_llq_ok(llq_tokenizer_encode(tokenizer, text, strlen(text),
                                          LLQ_ENCODE_BOS, prompts[i].ids,
                                          TINY_CONTEXT, &prompts[i].n_ids));
    ck_assert_uint_lt(prompts[i].n_ids, TINY_CONTEXT);
    json_decref(task);
  }
  fclose(file);
}

static void set_up(void) {
  backend = cpu_backend();
  ck_assert_llq_ok(llq_model_open(&model, "llq-micro", NULL));
  ck_assert_llq_ok(llq_model_tokenizer(model, &tokenizer));
  read_prompts();
}

static void tear_down(void) {
  llq_model_close(model);
  llq_backend_close(backend);
}

static llq_generator *open_micro(int32_t n_sequences, int32_t n_chunk) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  options.n_sequences = n_sequences;
  options.n_chunk = n_chunk;
  options.n_context = 400;
  llq_generator *generator;
  ck_assert_llq_ok(llq_generator_open(&generator, backend, model, &options));
  return generator;
}

static int64_t submit(llq_generator *generator, const struct job *job) {
  int64_t first;
  ck_assert_llq_ok(llq_generator_submit(
      generator, job->ids, job->n_ids, &job->sampling, job->n_samples, &first));
  return first;
}

/* The whole text of tokens, without what ends the sequence. */
static void expect_text_of_ids(const struct outcome *o) {
  char bytes[4096];
  size_t n_ids = o->n_ids - (o->stop_reason == LLQ_STOP_END), n;
  struct llqi_text whole = {0};
  ck_assert_llq_ok(llq_tokenizer_decode(tokenizer, o->ids, n_ids, 0, bytes,
                                        sizeof bytes, &n));
  for (size_t at = 0; at < n;) {
    int length = llqi_utf8_next(bytes + at, n - at);
    if (length > 0)
      llqi_text_append(&whole, bytes + at, (size_t)length);
    else
      llqi_text_puts(&whole, LLQI_UTF8_REPLACEMENT);
    at += (size_t)(length > 0 ? length : length < 0 ? -length : (int)(n - at));
  }
  ck_assert_uint_eq(whole.length, o->n_bytes);
  ck_assert_mem_eq(whole.data, o->text, o->n_bytes);
  llqi_text_free(&whole);
}

/* At this temperature most tokens are pieces of characters and ill-formed. */
START_TEST(text_grows_by_whole_characters_to_the_text_of_all_tokens) {
  enum { N = 6 };
  llq_generator *generator = open_micro(4, 64);
  struct job job = prompts[0];
  job.n_ids = 3;
  job.n_samples = N;
  job.sampling.temperature = 8;
  job.sampling.n_tokens_max = 60;
  int64_t first = submit(generator, &job);
  struct llqi_text before[N] = {{0}};
  int status, n_held = 0;
  do {
    status = llq_generator_step(generator, NULL);
    for (int i = 0; i < N; i++) {
      llq_generation g = LLQ_GENERATION_INIT;
      ck_assert_llq_ok(llq_generator_get(generator, first + i, &g));
      ck_assert(llqi_utf8_is_valid(g.text, g.n_bytes));
      if (before[i].length > 0)
        ck_assert_mem_eq(g.text, before[i].data, before[i].length);
      n_held += g.stop_reason == LLQ_STOP_NONE && g.n_ids > 0 &&
                before[i].length == g.n_bytes;
      llqi_text_clear(&before[i]);
      ck_assert_llq_ok(llqi_text_append(&before[i], g.text, g.n_bytes));
    }
  } while (status == LLQ_MORE);
  ck_assert_int_gt(n_held, 0);
  int n_replaced = 0;
  for (int i = 0; i < N; i++) {
    struct outcome outcome;
    get_outcome(generator, first + i, &outcome);
    expect_text_of_ids(&outcome);
    n_replaced += strstr(outcome.text, LLQI_UTF8_REPLACEMENT) != NULL;
    llqi_text_free(&before[i]);
  }
  ck_assert_int_gt(n_replaced, 0);
  llq_generator_close(generator);
}
END_TEST

/* Stop strings taken from anywhere in a text, of 1 to 9 bytes: whatever the
   tokens, the text is cut before the first. All run at once. */
START_TEST(a_stop_string_cuts_the_text_wherever_tokens_divide_it) {
  enum { N = 24 };
  llq_generator *generator = open_micro(16, 256);
  struct job job = prompts[0];
  struct outcome whole, cut;
  int64_t first, numbers[N];
  char stops[N][10] = {""};
  job.sampling.n_tokens_max = 40;
  first = submit(generator, &job);
  ck_assert_llq_ok(llq_generator_run(generator));
  get_outcome(generator, first, &whole);
  ck_assert_uint_gt(whole.n_bytes, 40);
  for (int i = 0; i < N; i++) {
    const char *strings[] = {"never in it", stops[i]};
    size_t length = 1 + (size_t)i % 9;
    memcpy(stops[i], whole.text + (size_t)i * (whole.n_bytes - length) / N,
           length);
    job.sampling.stops = strings;
    job.sampling.n_stops = 2;
    numbers[i] = submit(generator, &job);
  }
  ck_assert_llq_ok(llq_generator_run(generator));
  for (int i = 0; i < N; i++) {
    get_outcome(generator, numbers[i], &cut);
    ck_assert_int_eq(cut.stop_reason, LLQ_STOP_STRING);
    ck_assert_uint_eq(cut.n_bytes,
                      (size_t)(strstr(whole.text, stops[i]) - whole.text));
    ck_assert_mem_eq(cut.text, whole.text, cut.n_bytes);
    ck_assert_mem_eq(cut.ids, whole.ids, cut.n_ids * sizeof(int32_t));
  }
  llq_generator_close(generator);
}
END_TEST

START_TEST(text_that_may_begin_a_stop_string_is_held_back) {
  llq_generator *generator = open_micro(1, 256);
  struct job job = prompts[1];
  struct outcome whole, now;
  char stop[13] = "";
  const char *strings[] = {stop};
  int64_t number;
  job.sampling.n_tokens_max = 60;
  number = submit(generator, &job);
  ck_assert_llq_ok(llq_generator_run(generator));
  get_outcome(generator, number, &whole);
  ck_assert_uint_gt(whole.n_bytes, 40);
  memcpy(stop, whole.text + 20, sizeof stop - 1);
  const char *at = strstr(whole.text, stop);
  job.sampling.stops = strings;
  job.sampling.n_stops = 1;
  number = submit(generator, &job);
  while (llq_generator_step(generator, NULL) == LLQ_MORE) {
    get_outcome(generator, number, &now);
    ck_assert_uint_le(now.n_bytes, (size_t)(at - whole.text));
    ck_assert_mem_eq(now.text, whole.text, now.n_bytes);
  }
  get_outcome(generator, number, &now);
  ck_assert_uint_eq(now.n_bytes, (size_t)(at - whole.text));
  llq_generator_close(generator);
}
END_TEST

START_TEST(the_models_end_token_ends_the_text_and_is_not_in_it) {
  llq_generator *generator = open_micro(6, 256);
  struct outcome outcome;
  int n_ended = 0;
  for (int i = 0; i < N_PROMPTS; i++) {
    prompts[i].sampling.n_tokens_max = 200;
    ck_assert_int_eq(submit(generator, &prompts[i]), i);
  }
  ck_assert_llq_ok(llq_generator_run(generator));
  for (int i = 0; i < N_PROMPTS; i++) {
    get_outcome(generator, i, &outcome);
    n_ended += outcome.stop_reason == LLQ_STOP_END;
    ck_assert_ptr_null(strstr(outcome.text, "<|"));
    expect_text_of_ids(&outcome);
  }
  ck_assert_int_gt(n_ended, N_PROMPTS / 2);
  llq_generator_close(generator);
}
END_TEST

/* 9 sequences: greedy, as the study samples, and hot; with stop strings. */
static int run_all(int32_t n_sequences, int32_t n_chunk,
                   struct outcome *outcomes) {
  const char *strings[] = {"\ndef", "\n\n\n"};
  llq_generator *generator = open_micro(n_sequences, n_chunk);
  int n = 0;
  for (int i = 0; i < N_PROMPTS; i++) {
    struct job job = prompts[i];
    job.sampling.temperature = i % 3 == 0 ? 0 : i % 3 == 1 ? 0.2 : 1.5;
    job.sampling.top_p = i % 3 == 1 ? 0.95 : 0;
    job.sampling.n_tokens_max = 24;
    job.sampling.stops = strings;
    job.sampling.n_stops = 2;
    job.n_samples = i % 2 + 1;
    ck_assert_int_eq(submit(generator, &job), n);
    n += job.n_samples;
  }
  ck_assert_llq_ok(llq_generator_run(generator));
  for (int i = 0; i < n; i++)
    get_outcome(generator, i, &outcomes[i]);
  llq_generator_close(generator);
  return n;
}

START_TEST(texts_do_not_depend_on_the_batch_or_on_chunks) {
  static struct outcome expected[9], found[9];
  static const int32_t cases[][2] = {{7, 64}, {32, 256}};
  int n = run_all(1, 256, expected);
  ck_assert_int_eq(n, 9);
  for (int c = 0; c < 2; c++) {
    run_all(cases[c][0], cases[c][1], found);
    for (int i = 0; i < n; i++)
      expect_same(&expected[i], &found[i], i);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("generator_text");
  TCase *tests = tcase_create("generator_text");
  tcase_add_checked_fixture(tests, set_up, tear_down);
  tcase_set_timeout(tests, 300);
  tcase_add_test(tests,
                 text_grows_by_whole_characters_to_the_text_of_all_tokens);
  tcase_add_test(tests, a_stop_string_cuts_the_text_wherever_tokens_divide_it);
  tcase_add_test(tests, text_that_may_begin_a_stop_string_is_held_back);
  tcase_add_test(tests, the_models_end_token_ends_the_text_and_is_not_in_it);
  tcase_add_test(tests, texts_do_not_depend_on_the_batch_or_on_chunks);
  suite_add_tcase(suite, tests);
  return suite;
}
