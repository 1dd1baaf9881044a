/* SPDX-License-Identifier: Apache-2.0 */
/* What llq-micro writes for its own tasks: the same on every device as on the
   CPU, as far as rounding lets it; and to the last bit the same whatever runs
   beside it and however prompts are cut. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "generating.h"
#include "guarded.h"
#include "micro.h"
#include "support.h"

#define N_TASKS 164
#define N_TOKENS 96
#define CONTEXT 1024
/* Logits of bf16 activations are this near to those of another order of sums:
   where the two largest are as near, either may be taken. */
#define MARGIN 0.25
/* Sequences that may meet such a place. */
#define N_PARTING (N_TASKS / 5)

static int n_devices;

static const char *const schemes[] = {"bf16", "w8a8-fp", "w8a8-int",
                                      "w8a16-int", "w4a16-int"};
#define N_SCHEMES ((int)(sizeof schemes / sizeof schemes[0]))

/* The prompt of line n of the task set, as ids. */
static size_t read_prompt(const char *line, const llq_tokenizer *tokenizer,
                          int32_t *ids) {
  json_t *task = json_loads(line, 0, NULL);
  const char *prompt = json_string_value(json_object_get(task, "prompt"));
  size_t n;
  ck_assert_ptr_nonnull(prompt);
  ck_assert_llq_ok(llq_tokenizer_encode(tokenizer, prompt, strlen(prompt),
                                        LLQ_ENCODE_BOS, ids, CONTEXT, &n));
  ck_assert_uint_le(n, CONTEXT - N_TOKENS);
  json_decref(task);
  return n;
}

/* Submits the first n_tasks prompts; sequences are numbered from *first on. */
static void submit_tasks(llq_generator *generator, llq_model *model,
                         int n_tasks, int64_t *first) {
  const llq_tokenizer *tokenizer;
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  char path[4096], *line = NULL;
  size_t room = 0;
  int32_t ids[CONTEXT];
  sampling.n_tokens_max = N_TOKENS;
  ck_assert_llq_ok(llq_model_tokenizer(model, &tokenizer));
  snprintf(path, sizeof path, "%s/llq-micro/tasks.jsonl", getenv("LLQ_DATA"));
  FILE *file = fopen(path, "r");
  ck_assert_msg(file != NULL, "%s cannot be read", path);
  for (int i = 0; i < n_tasks; i++) {
    int64_t number;
    ck_assert_int_gt(getline(&line, &room, file), 0);
    size_t n_ids = read_prompt(line, tokenizer, ids);
    ck_assert_llq_ok(
        llq_generator_submit(generator, ids, n_ids, &sampling, 1, &number));
    *first = i == 0 ? number : *first;
  }
  free(line);
  fclose(file);
}

/* What a model writes for the first n_tasks tasks. */
static void write_tasks(llq_backend *backend, llq_model *model,
                        int32_t n_sequences, int32_t n_chunk, int n_tasks,
                        struct outcome *outcomes) {
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  llq_generator *generator;
  int64_t first = 0;
  options.compute = "bf16";
  options.n_sequences = n_sequences;
  options.n_chunk = n_chunk;
  options.n_context = CONTEXT;
  ck_assert_llq_ok(llq_generator_open(&generator, backend, model, &options));
  submit_tasks(generator, model, n_tasks, &first);
  ck_assert_llq_ok(llq_generator_run(generator));
  for (int i = 0; i < n_tasks; i++)
    get_outcome(generator, first + i, &outcomes[i]);
  llq_generator_close(generator);
}

static int is_same(const struct outcome *a, const struct outcome *b) {
  return a->n_ids == b->n_ids &&
         memcmp(a->ids, b->ids, a->n_ids * sizeof *a->ids) == 0;
}

START_TEST(a_device_writes_what_the_cpu_writes) {
  static struct outcome expected[N_TASKS], found[N_TASKS];
  const char *scheme = schemes[_i % N_SCHEMES];
  llq_backend *subject = open_subject(_i / N_SCHEMES), *cpu;
  llq_model *model = quantized_micro(scheme);
  int n_parting = 0;
  ck_assert_llq_ok(llq_backend_open(&cpu, "cpu", NULL));
  write_tasks(cpu, model, 64, 256, N_TASKS, expected);
  write_tasks(subject, model, 64, 256, N_TASKS, found);
  for (int i = 0; i < N_TASKS; i++) {
    if (is_same(&expected[i], &found[i]))
      continue;
    n_parting++;
    ck_assert_msg(expected[i].min_margin <= MARGIN,
                  "%s, task %d: another text, though no margin is below %g",
                  scheme, i, expected[i].min_margin);
  }
  printf("# %s, %s: %d of %d texts part, where margins are small\n",
         subjects[_i / N_SCHEMES], scheme, n_parting, N_TASKS);
  ck_assert_int_le(n_parting, N_PARTING);
  llq_model_close(model);
  llq_backend_close(cpu);
  llq_backend_close(subject);
}
END_TEST

#define N_TOGETHER 64
#define N_TOGETHER_CPU 6

/* The last one is the CPU, with int4 alone. */
START_TEST(neighbours_and_cuts_change_no_bit) {
  static const int32_t batches[][2] = {{3, 7}, {16, 64}, {64, 100}};
  static struct outcome alone[N_TOGETHER], found[N_TOGETHER];
  const int is_cpu = _i == n_devices * N_SCHEMES;
  const int n = is_cpu ? N_TOGETHER_CPU : N_TOGETHER;
  llq_backend *subject;
  if (is_cpu)
    ck_assert_llq_ok(llq_backend_open(&subject, "cpu", NULL));
  else
    subject = open_subject(_i / N_SCHEMES);
  llq_model *model =
      quantized_micro(is_cpu ? "w4a16-int" : schemes[_i % N_SCHEMES]);
  write_tasks(subject, model, 1, 256, n, alone);
  for (int b = 0; b < 3; b++) {
    write_tasks(subject, model, batches[b][0], batches[b][1], n, found);
    for (int i = 0; i < n; i++)
      expect_same(&alone[i], &found[i], i);
  }
  llq_model_close(model);
  llq_backend_close(subject);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("greedy");
  TCase *tests = tcase_create("greedy");
  n_devices = find_fused_subjects();
  if (n_devices == 0)
    printf("# SKIP no device but the CPU to write on\n");
  tcase_set_timeout(tests, 300);
  tcase_add_loop_test(tests, a_device_writes_what_the_cpu_writes, 0,
                      n_devices * N_SCHEMES);
  tcase_add_loop_test(tests, neighbours_and_cuts_change_no_bit, 0,
                      n_devices * N_SCHEMES + 1);
  suite_add_tcase(suite, tests);
  return suite;
}
