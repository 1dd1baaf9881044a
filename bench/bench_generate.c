/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens a second of a model on the CPU: prompts, and decoding at 1, 8 and 32
   sequences, greedy and sampled as the study samples. Prints a table in
   Markdown; see doc/performance.md. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <llq/llq.h>

#define REPEATS 5
#define N_PROMPT 512
#define N_SHORT 16
#define N_TOKENS 128

struct seconds {
  double wall, processor;
};

static double read_clock(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static struct seconds now(void) {
  return (struct seconds){read_clock(CLOCK_MONOTONIC),
                          read_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

/* The least of the times is what neighbours on the machine disturb least. */
static void keep_least(struct seconds *least, struct seconds from) {
  struct seconds to = now();
  if (least->wall == 0 || to.wall - from.wall < least->wall)
    least->wall = to.wall - from.wall;
  if (least->processor == 0 || to.processor - from.processor < least->processor)
    least->processor = to.processor - from.processor;
}

static void check(int status) {
  if (status >= 0)
    return;
  fprintf(stderr, "%s\n", llq_error_message());
  exit(1);
}

/* A prompt that no other sequence shares; the ids mean nothing. */
static int64_t submit(llq_generator *generator, int32_t n_vocab, int which,
                      size_t n_ids, const llq_sampling *sampling) {
  int32_t ids[N_PROMPT];
  int64_t number;
  for (size_t i = 0; i < n_ids; i++)
    ids[i] =
        (int32_t)((i * 7919 + (size_t)which * 104729 + 1) % (size_t)n_vocab);
  check(llq_generator_submit(generator, ids, n_ids, sampling, 1, &number));
  return number;
}

static struct seconds time_prompt(llq_generator *generator, int32_t n_vocab) {
  struct seconds least = {0, 0};
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  sampling.n_tokens_max = 1;
  for (int i = 0; i < REPEATS; i++) {
    int64_t number = submit(generator, n_vocab, i, N_PROMPT, &sampling);
    struct seconds start = now();
    check(llq_generator_run(generator));
    keep_least(&least, start);
    llq_generator_release(generator, number);
  }
  return least;
}

/* From where all prompts are done to the end: N_TOKENS - 1 steps. */
static struct seconds time_decode(llq_generator *generator, int32_t n_vocab,
                                  int n, llq_sampling sampling) {
  struct seconds least = {0, 0};
  int32_t none = 0;
  sampling.n_tokens_max = N_TOKENS;
  sampling.end_ids = &none; /* n_end_ids is 0: nothing ends a sequence early */
  for (int i = 0; i < REPEATS; i++) {
    int64_t first = -1;
    for (int k = 0; k < n; k++) {
      int64_t number =
          submit(generator, n_vocab, i * n + k, N_SHORT, &sampling);
      first = first < 0 ? number : first;
    }
    llq_generation last = LLQ_GENERATION_INIT;
    while (last.n_ids == 0) {
      check(llq_generator_step(generator, NULL));
      check(llq_generator_get(generator, first + n - 1, &last));
    }
    struct seconds start = now();
    check(llq_generator_run(generator));
    keep_least(&least, start);
    for (int k = 0; k < n; k++)
      llq_generator_release(generator, first + k);
  }
  return least;
}

static void print_row(const char *what, double n_tokens, struct seconds time) {
  printf("| %s | %.0f | %.0f |\n", what, n_tokens / time.wall,
         n_tokens / time.processor);
  fflush(stdout);
}

static void measure(llq_generator *generator, int32_t n_vocab) {
  static const int n_sequences[] = {1, 8, 32};
  llq_sampling greedy = LLQ_SAMPLING_INIT, sampled = LLQ_SAMPLING_INIT;
  char what[64];
  sampled.temperature = 0.2;
  sampled.top_p = 0.95;
  printf("| | tokens a second | tokens a second of processor time |\n"
         "| --- | ---: | ---: |\n");
  snprintf(what, sizeof what, "prompt of %d tokens", N_PROMPT);
  print_row(what, N_PROMPT, time_prompt(generator, n_vocab));
  for (int i = 0; i < 3; i++) {
    int n = n_sequences[i];
    double n_tokens = (double)n * (N_TOKENS - 1);
    snprintf(what, sizeof what, "decode, %d at once", n);
    print_row(what, n_tokens, time_decode(generator, n_vocab, n, greedy));
    snprintf(what, sizeof what, "decode, %d at once, sampled", n);
    print_row(what, n_tokens, time_decode(generator, n_vocab, n, sampled));
  }
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 4) {
    fprintf(stderr, "usage: bench_generate MODEL [THREADS [f32|bf16]]\n");
    return 2;
  }
  llq_backend_options backend_options = LLQ_BACKEND_OPTIONS_INIT;
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  llq_backend *backend;
  llq_model *model;
  llq_generator *generator;
  backend_options.n_threads = argc > 2 ? atoi(argv[2]) : 1;
  options.compute = argc > 3 ? argv[3] : "f32";
  options.n_sequences = 32;
  options.n_context = N_PROMPT + N_TOKENS;
  check(llq_backend_open(&backend, "cpu", &backend_options));
  check(llq_model_open(&model, argv[1], NULL));
  check(llq_model_describe(model, &info));
  check(llq_generator_open(&generator, backend, model, &options));
  measure(generator, info.n_vocab);
  llq_generator_close(generator);
  llq_model_close(model);
  llq_backend_close(backend);
  return 0;
}
