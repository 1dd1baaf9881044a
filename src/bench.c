/* SPDX-License-Identifier: Apache-2.0 */
/* llq bench: how fast a model reads prompts and writes tokens, beside what the
   device's memory and arithmetic allow. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define MOST_SIZES 16
#define MOST_REPEATS 99

struct sizes {
  int32_t values[MOST_SIZES];
  int n;
};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static struct times summarize(double *seconds, int n) {
  qsort(seconds, (size_t)n, sizeof *seconds, by_value);
  return (struct times){seconds[n / 2], seconds[0], seconds[n - 1]};
}

/* "1,8,32" */
static int read_sizes(const char *text, struct sizes *sizes) {
  sizes->n = 0;
  while (*text != '\0' && sizes->n < MOST_SIZES) {
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || value < 1 || value > 1 << 20 ||
        (*end != ',' && *end != '\0'))
      return 0;
    sizes->values[sizes->n++] = (int32_t)value;
    text = *end == ',' ? end + 1 : end;
  }
  return *text == '\0';
}

/* Ids that no other prompt begins with; they mean nothing. */
static int submit(struct bench *bench, int which, int32_t n_ids,
                  int32_t n_tokens, int64_t *number) {
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  int32_t none = 0, *ids = malloc((size_t)n_ids * sizeof *ids);
  if (ids == NULL)
    return LLQ_ERROR_MEMORY;
  sampling.n_tokens_max = n_tokens;
  sampling.end_ids = &none; /* n_end_ids is 0: nothing ends it early */
  for (int32_t i = 0; i < n_ids; i++)
    ids[i] = (int32_t)(((int64_t)i * 7919 + (int64_t)which * 104729 + 1) %
                       bench->model.n_vocab);
  int status = llq_generator_submit(bench->runner.generator, ids, (size_t)n_ids,
                                    &sampling, 1, number);
  free(ids);
  return status;
}

static int time_prompt(struct bench *bench, int32_t n_ids,
                       struct times *times) {
  double seconds[MOST_REPEATS];
  int n = bench->request.n_repeats;
  for (int i = -1; i < n; i++) { /* the first one warms up */
    int64_t number;
    int status = submit(bench, i + 1, n_ids, 1, &number);
    double start = now();
    if (status >= 0)
      status = llq_generator_run(bench->runner.generator);
    if (status < 0)
      return status;
    if (i >= 0)
      seconds[i] = now() - start;
    llq_generator_release(bench->runner.generator, number);
  }
  *times = summarize(seconds, n);
  return LLQ_OK;
}

/* Runs until all prompts are read and each sequence has two tokens. */
static int start_decoding(struct bench *bench, int64_t first, int32_t n) {
  llq_generation last = LLQ_GENERATION_INIT;
  while (last.n_ids < 2) {
    int status = llq_generator_step(bench->runner.generator, NULL);
    if (status >= 0)
      status = llq_generator_get(bench->runner.generator, first + n - 1, &last);
    if (status < 0)
      return status;
  }
  return LLQ_OK;
}

/* The time of a step that decodes a token of each of n sequences. */
static int time_decode(struct bench *bench, int32_t n, struct times *times) {
  int32_t n_tokens = bench->request.n_tokens;
  double *seconds = malloc((size_t)n_tokens * sizeof *seconds);
  int64_t first = 0;
  int n_timed = 0, status = seconds != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (int32_t i = 0; i < n && status >= 0; i++) {
    int64_t number;
    status = submit(bench, i, bench->request.n_context, n_tokens, &number);
    first = i == 0 ? number : first;
  }
  if (status >= 0)
    status = start_decoding(bench, first, n);
  while (status >= 0 && n_timed < n_tokens - 3 - n / 2) {
    double start = now();
    status = llq_generator_step(bench->runner.generator, NULL);
    seconds[n_timed++] = now() - start;
  }
  if (status >= 0)
    *times = summarize(seconds, n_timed);
  for (int32_t i = 0; i < n; i++)
    llq_generator_release(bench->runner.generator, first + i);
  free(seconds);
  return status;
}

static int bench_prompts(struct bench *bench, const struct sizes *prompts) {
  const char *name;
  double ceiling = bench_product_ceiling(bench, &name);
  for (int i = 0; i < prompts->n; i++) {
    int32_t n = prompts->values[i];
    struct times times;
    int status = time_prompt(bench, n, &times);
    if (status < 0)
      return status;
    double rate = bench_token_operations(bench) * n / times.median;
    bench_report(bench, "prompt", n, n, times, name,
                 ceiling > 0 ? rate / ceiling : 0);
  }
  return LLQ_OK;
}

static int bench_batches(struct bench *bench, const struct sizes *batches) {
  for (int i = 0; i < batches->n; i++) {
    int32_t n = batches->values[i];
    struct times times;
    int status = time_decode(bench, n, &times);
    if (status < 0)
      return status;
    double rate = bench_step_bytes(bench) / times.median;
    double ceiling = bench->rates.read_bytes;
    bench_report(bench, "decode", n, n, times, "reading the weights once",
                 ceiling > 0 ? rate / ceiling : 0);
  }
  return LLQ_OK;
}

/* What each operation takes in steps of one batch. */
static int bench_operations(struct bench *bench, int32_t n) {
  llq_profile_entry entry = LLQ_PROFILE_ENTRY_INIT;
  struct times times;
  int status = llq_backend_profile(bench->runner.backend, 1);
  if (status >= 0)
    status = time_decode(bench, n, &times);
  if (status >= 0)
    status = llq_backend_profile(bench->runner.backend, 0);
  if (status < 0)
    return status;
  if (bench->results == NULL)
    printf("\noperations, one by one, of a prompt and %d tokens of %d "
           "sequences:\n%-58s %8s %9s %9s\n",
           (int)bench->request.n_tokens, (int)n, "", "calls", "us each", "ms");
  for (uint64_t i = 0;
       llq_backend_profile_get(bench->runner.backend, i, &entry) == LLQ_OK; i++)
    bench_report_operation(bench, &entry);
  return LLQ_OK;
}

static int run_all(struct bench *bench, const struct sizes *prompts,
                   const struct sizes *batches) {
  int status = bench_prompts(bench, prompts);
  if (status >= 0)
    status = bench_batches(bench, batches);
  for (int i = 0; i < batches->n && status >= 0 && bench->request.profile; i++)
    status = bench_operations(bench, batches->values[i]);
  if (status < 0)
    return command_failed(bench->command);
  if (bench->results == NULL)
    return EXIT_DONE;
  return command_print_json(bench->command, bench_json(bench));
}

/* The model in the scheme asked for. */
static int quantize(struct runner *runner, const char *scheme) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  llq_quantizer *quantizer;
  llq_model *quantized;
  options.scheme = scheme;
  int status = llq_quantizer_open(&quantizer, NULL, runner->model, &options);
  if (status < 0)
    return status;
  status = llq_quantizer_run(quantizer);
  if (status >= 0)
    status = llq_quantizer_take(quantizer, &quantized);
  llq_quantizer_close(quantizer);
  if (status < 0)
    return status;
  llq_model_close(runner->model);
  runner->model = quantized;
  return LLQ_OK;
}

static int32_t largest(const struct sizes *sizes, int32_t least) {
  for (int i = 0; i < sizes->n; i++)
    least = sizes->values[i] > least ? sizes->values[i] : least;
  return least;
}

/* Opens everything, and measures the device. */
static int open_bench(struct bench *bench, const struct common_options *common,
                      const char *source, const struct sizes *prompts,
                      const struct sizes *batches) {
  const struct request *request = &bench->request;
  llq_generator_options options = LLQ_GENERATOR_OPTIONS_INIT;
  options.n_sequences = largest(batches, 1);
  options.n_chunk = largest(prompts, request->n_context);
  options.n_context = options.n_chunk + request->n_tokens;
  options.is_fast = request->fast;
  options.kv_cache = request->kv_cache;
  int status = command_open_backend(common, &bench->runner.backend);
  if (status >= 0)
    status = llq_model_open(&bench->runner.model, source, NULL);
  if (status >= 0 && request->scheme != NULL)
    status = quantize(&bench->runner, request->scheme);
  if (status >= 0)
    status = llq_model_describe(bench->runner.model, &bench->model);
  if (status >= 0)
    status = llq_backend_describe(bench->runner.backend, &bench->device);
  if (status >= 0) {
    status = llq_backend_measure(bench->runner.backend, &bench->rates);
    status = status == LLQ_ERROR_UNSUPPORTED ? LLQ_OK : status;
  }
  if (status >= 0)
    status = llq_generator_open(&bench->runner.generator, bench->runner.backend,
                                bench->runner.model, &options);
  return status;
}

int run_bench(const struct command *command, int argc, char **argv) {
  const char *source;
  struct common_options common = {0};
  struct bench bench = {.command = command,
                        .model = LLQ_MODEL_INFO_INIT,
                        .device = LLQ_DEVICE_INFO_INIT,
                        .rates = LLQ_DEVICE_RATES_INIT,
                        .request = {.prompts = "512,2048",
                                    .batches = "1,8,32",
                                    .n_tokens = 128,
                                    .n_context = 128,
                                    .n_repeats = 5}};
  struct request *request = &bench.request;
  struct sizes prompts, batches;
  const struct option options[] = {
      {"scheme", OPTION_TEXT, &request->scheme, "NAME",
       "quantize to this first, by rounding to nearest"},
      {"prompt", OPTION_TEXT, &request->prompts, "N,N,...",
       "lengths of prompts to time (default 512,2048)"},
      {"batch", OPTION_TEXT, &request->batches, "N,N,...",
       "sequences to decode at once (default 1,8,32)"},
      {"tokens", OPTION_INT, &request->n_tokens, "N",
       "tokens of each (default 128)"},
      {"context", OPTION_INT, &request->n_context, "N",
       "tokens of the prompt before them (default 128)"},
      {"repeat", OPTION_INT, &request->n_repeats, "N",
       "how often to time a prompt (default 5)"},
      KV_CACHE_OPTION(*request),
      {"fast", OPTION_FLAG, &request->fast, NULL,
       "let the last bits of results depend on the batch"},
      {"profile", OPTION_FLAG, &request->profile, NULL,
       "time each operation by itself, too"},
      COMMON_OPTIONS(common),
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  if (!read_sizes(request->prompts, &prompts) ||
      !read_sizes(request->batches, &batches))
    return command_misused(command, "expected numbers: 1,8,32");
  if (request->n_tokens < 4 + largest(&batches, 1) / 2 ||
      request->n_context < 1 || request->n_repeats < 1 ||
      request->n_repeats > MOST_REPEATS)
    return command_misused(command, "too few tokens for these batches, or a "
                                    "wrong --context or --repeat");
  int status = open_bench(&bench, &common, source, &prompts, &batches);
  if (status < 0) {
    exit_status = command_failed(command);
  } else {
    bench.results = common.json ? json_array() : NULL;
    if (!common.json)
      bench_print_head(&bench, source);
    exit_status = run_all(&bench, &prompts, &batches);
  }
  json_decref(bench.results);
  runner_close(&bench.runner);
  return exit_status;
}
