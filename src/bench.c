/* SPDX-License-Identifier: Apache-2.0 */
/* llq bench: how fast a model reads prompts and writes tokens, beside what the
   device's memory and arithmetic allow. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

#define MOST_SIZES 16
#define MOST_REPEATS 99

struct request {
  const char *scheme, *prompts, *batches;
  int32_t n_tokens, n_context, n_repeats;
  int fast, profile;
};

struct sizes {
  int32_t values[MOST_SIZES];
  int n;
};

/* A median with the range around it, of seconds. */
struct times {
  double median, least, most;
};

struct bench {
  const struct command *command;
  struct runner runner;
  llq_model_info model;
  llq_device_info device;
  llq_device_rates rates; /* zeros where the backend measures nothing */
  struct request request;
  json_t *results; /* NULL: print tables */
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

/* Weights that a step reads, whatever its number of rows. */
static double step_bytes(const struct bench *bench) {
  const llq_model_info *model = &bench->model;
  double element = strcmp(model->dtype, "f32") == 0 ? 4 : 2;
  return (double)model->n_linear_bytes +
         element * model->n_vocab * model->hidden_size;
}

/* Operations of the layers' linears, for a token. */
static double token_operations(const struct bench *bench) {
  const llq_model_info *m = &bench->model;
  double q = (double)m->n_heads * m->head_size;
  double kv = (double)m->n_kv_heads * m->head_size;
  double hidden = m->hidden_size;
  return 2.0 * m->n_layers *
         (hidden * (2 * q + 2 * kv) + 3 * hidden * m->intermediate_size);
}

/* Prints a row of the table, or keeps it. fraction: of the ceiling named. */
static void report(struct bench *bench, const char *what, int32_t size,
                   double n_tokens, struct times times, const char *ceiling,
                   double fraction) {
  if (bench->results != NULL) {
    json_array_append_new(
        bench->results,
        json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:s, s:f}", "what", what,
                  "size", (int)size, "tokens_per_second",
                  n_tokens / times.median, "seconds", times.median,
                  "seconds_least", times.least, "seconds_most", times.most,
                  "ceiling", ceiling, "fraction", fraction));
    return;
  }
  printf("%-10s %6d %12.1f %10.3f  %8.3f to %8.3f", what, (int)size,
         n_tokens / times.median, 1e3 * times.median, 1e3 * times.least,
         1e3 * times.most);
  if (fraction > 0)
    printf("  %5.1f %% of %s", 100 * fraction, ceiling);
  putchar('\n');
  fflush(stdout);
}

static int bench_prompts(struct bench *bench, const struct sizes *prompts) {
  for (int i = 0; i < prompts->n; i++) {
    int32_t n = prompts->values[i];
    struct times times;
    int status = time_prompt(bench, n, &times);
    if (status < 0)
      return status;
    double rate = token_operations(bench) * n / times.median;
    double ceiling = bench->rates.bf16_operations;
    report(bench, "prompt", n, n, times, "bf16 operations",
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
    double rate = step_bytes(bench) / times.median;
    double ceiling = bench->rates.read_bytes;
    report(bench, "decode", n, n, times, "reading the weights once",
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
    if (bench->results != NULL)
      json_array_append_new(bench->results,
                            json_pack("{s:s, s:I, s:f}", "what", entry.name,
                                      "calls", (json_int_t)entry.n_calls,
                                      "seconds", entry.seconds));
    else
      printf("%-58s %8llu %9.2f %9.2f\n", entry.name,
             (unsigned long long)entry.n_calls,
             1e6 * entry.seconds / (double)entry.n_calls, 1e3 * entry.seconds);
  return LLQ_OK;
}

static void print_head(const struct bench *bench, const char *source) {
  const llq_device_rates *rates = &bench->rates;
  printf("%s, %s, on %s (%s:%d, %s)%s\n", source, bench->model.scheme,
         bench->device.name, bench->device.backend, (int)bench->device.index,
         bench->device.arch, bench->request.fast ? ", fast" : "");
  if (rates->read_bytes > 0)
    printf("memory: %.3f TB/s read, %.3f TB/s copied, %.1f GB/s uploaded; "
           "bf16 %.0f, fp8 %.0f TFLOP/s, int8 %.0f TOP/s\n",
           1e-12 * rates->read_bytes, 1e-12 * rates->copy_bytes,
           1e-9 * rates->upload_bytes, 1e-12 * rates->bf16_operations,
           1e-12 * rates->fp8_operations, 1e-12 * rates->int8_operations);
  printf("%.3f GB of weights a step\n\n%-10s %6s %12s %10s  %20s\n",
         1e-9 * step_bytes(bench), "", "size", "tokens/s", "median ms",
         "range, ms");
}

static json_t *rates_json(const llq_device_rates *rates) {
  return json_pack(
      "{s:f, s:f, s:f, s:f, s:f, s:f}", "read_bytes", rates->read_bytes,
      "copy_bytes", rates->copy_bytes, "upload_bytes", rates->upload_bytes,
      "bf16_operations", rates->bf16_operations, "fp8_operations",
      rates->fp8_operations, "int8_operations", rates->int8_operations);
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
  return command_print_json(
      bench->command,
      json_pack("{s:s, s:s, s:s, s:b, s:f, s:o, s:o}", "scheme",
                bench->model.scheme, "device", bench->device.name, "arch",
                bench->device.arch, "fast", bench->request.fast, "step_bytes",
                step_bytes(bench), "rates", rates_json(&bench->rates),
                "results", json_incref(bench->results)));
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
      print_head(&bench, source);
    exit_status = run_all(&bench, &prompts, &batches);
  }
  json_decref(bench.results);
  runner_close(&bench.runner);
  return exit_status;
}
