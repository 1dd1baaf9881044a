/* SPDX-License-Identifier: Apache-2.0 */
/* How long GPTQ of a model takes and what the time goes into: by layers, and
   with "profile" by operations of the device. Calibrated on random tokens.
     bench_gptq MODEL BACKEND [SAMPLES [LENGTH [LAYERS [DIRECTORY [profile]]]]]
   LAYERS: only that many (0: all); DIRECTORY: where layers wait and the result
   is saved ("-": nowhere). See doc/performance_gpu.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <llq/llq.h>

struct bench {
  llq_backend *backend;
  llq_model *model;
  llq_quantizer *quantizer;
  llq_quantizer_options options;
  int64_t n_layers; /* 0: all */
  int profiles;
};

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double start_of_phase;

/* Prints what has passed since the phase before. */
static void end_phase(const char *name) {
  const double time = now();
  printf("%-28s %9.3f s\n", name, time - start_of_phase);
  fflush(stdout);
  start_of_phase = time;
}

static void print_log(void *user, int level, const char *line) {
  (void)user;
  (void)level;
  printf("  %s\n", line);
}

static int failed(void) {
  fprintf(stderr, "bench_gptq: %s\n", llq_error_message());
  return 1;
}

/* A layer a step; the first includes what comes before all. */
static int quantize(struct bench *bench) {
  llq_progress progress = LLQ_PROGRESS_INIT;
  int status = LLQ_MORE;
  const double start = now();
  for (int64_t i = 0; status == LLQ_MORE; i++) {
    if (bench->n_layers > 0 && i == bench->n_layers)
      break;
    status = llq_quantizer_step(bench->quantizer, &progress);
    end_phase(progress.what);
  }
  printf("%-28s %9.3f s\n", "all these layers", now() - start);
  return status;
}

static int save(struct bench *bench) {
  llq_model *result;
  int status = llq_quantizer_take(bench->quantizer, &result);
  if (status < 0)
    return status;
  status = llq_model_save(result, bench->options.directory, NULL);
  llq_model_close(result);
  end_phase("saved");
  return status;
}

static void print_profile(struct bench *bench) {
  llq_profile_entry entry = LLQ_PROFILE_ENTRY_INIT;
  double all = 0;
  for (uint64_t i = 0;
       llq_backend_profile_get(bench->backend, i, &entry) == LLQ_OK; i++) {
    printf("%-52s %8llu calls %9.3f s\n", entry.name,
           (unsigned long long)entry.n_calls, entry.seconds);
    all += entry.seconds;
  }
  printf("%-52s %24.3f s\n", "on the device", all);
}

static int run(struct bench *bench, const char *model, const char *backend) {
  const double start = start_of_phase = now();
  if (llq_model_open(&bench->model, model, NULL) < 0)
    return -1;
  end_phase("model");
  if (llq_backend_open(&bench->backend, backend, NULL) < 0)
    return -1;
  end_phase("backend");
  if (bench->profiles && llq_backend_profile(bench->backend, 1) < 0)
    return -1;
  if (llq_quantizer_open(&bench->quantizer, bench->backend, bench->model,
                         &bench->options) < 0 ||
      llq_quantizer_calibrate_random(bench->quantizer) < 0)
    return -1;
  end_phase("quantizer, samples");
  int status = quantize(bench);
  if (status == LLQ_OK && bench->options.directory != NULL)
    status = save(bench);
  printf("%-28s %9.3f s\n", "in all", now() - start);
  if (bench->profiles && llq_backend_profile(bench->backend, 0) == LLQ_OK)
    print_profile(bench);
  return status;
}

int main(int argc, char **argv) {
  struct bench bench = {.options = LLQ_QUANTIZER_OPTIONS_INIT};
  if (argc < 3) {
    fprintf(stderr, "usage: bench_gptq MODEL BACKEND [SAMPLES [LENGTH [LAYERS "
                    "[DIRECTORY [profile]]]]]\n");
    return 2;
  }
  bench.options.scheme = "w4a16-int";
  bench.options.method = "gptq";
  bench.options.group_size = 128;
  bench.options.n_samples = argc > 3 ? atoi(argv[3]) : 0;
  bench.options.n_tokens = argc > 4 ? atoi(argv[4]) : 0;
  bench.n_layers = argc > 5 ? atoi(argv[5]) : 0;
  if (argc > 6 && strcmp(argv[6], "-") != 0)
    bench.options.directory = argv[6];
  bench.profiles = argc > 7 && strcmp(argv[7], "profile") == 0;
  llq_log_set(print_log, NULL, LLQ_LOG_DEBUG);
  const int status = run(&bench, argv[1], argv[2]) < 0 ? failed() : 0;
  llq_quantizer_close(bench.quantizer);
  llq_backend_close(bench.backend);
  llq_model_close(bench.model);
  return status;
}
