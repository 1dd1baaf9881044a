/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens a second of a whole model on the CPU: a prompt of 128 tokens, then 32
   tokens one by one. bench_forward [model [threads [scheme ...]]] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <llq/quantizer.h>

#include "base/alloc.h"
#include "forward_run.h"
#include "tensor/weight.h"

#define N_PROMPT 128
#define N_DECODED 32
#define PROMPTS 3

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
  qsort(values, n, sizeof *values, by_value);
  return values[n / 2];
}

static void check(int status) {
  if (status >= 0)
    return;
  fprintf(stderr, "%s\n", llq_error_message());
  exit(1);
}

static llq_model *quantize(llq_backend *backend, llq_model *model,
                           const char *scheme) {
  llq_quantizer_options options = LLQ_QUANTIZER_OPTIONS_INIT;
  llq_quantizer *quantizer;
  llq_model *quantized;
  options.scheme = scheme;
  check(llq_quantizer_open(&quantizer, backend, model, &options));
  check(llq_quantizer_run(quantizer));
  check(llq_quantizer_take(quantizer, &quantized));
  llq_quantizer_close(quantizer);
  return quantized;
}

/* Weights that every token reads. */
static double bytes_per_token(const llq_model *model) {
  double bytes = (double)llqi_weight_bytes(&model->output);
  for (int64_t i = 0; i < model->config.n_layers; i++)
    for (int j = 0; j < LLQI_N_LINEARS; j++)
      bytes += (double)llqi_weight_bytes(&model->layers[i].linears[j]);
  return bytes;
}

static void measure(llq_backend *backend, llq_model *model,
                    const char *scheme) {
  struct forward_run run;
  int32_t ids[N_PROMPT];
  double prompts[PROMPTS], tokens[N_DECODED];
  float *logits = llqi_array((size_t)model->config.n_vocab, sizeof *logits);
  for (int i = 0; i < N_PROMPT; i++)
    ids[i] = (int32_t)((i * 7919 + 1) % model->config.n_vocab);
  check(forward_run_open(&run, backend, model, LLQ_F32, N_PROMPT,
                         N_PROMPT + N_DECODED));
  for (int i = 0; i < PROMPTS; i++) {
    double start = now();
    check(forward_run_tokens(&run, ids, N_PROMPT, 0, 1, logits));
    prompts[i] = now() - start;
  }
  for (int i = 0; i < N_DECODED; i++) {
    double start = now();
    check(forward_run_tokens(&run, ids + i, 1, N_PROMPT + i, 1, logits));
    tokens[i] = now() - start;
  }
  double decode = median(tokens, N_DECODED), bytes = bytes_per_token(model);
  printf("%-10s %8.0f %10.1f %9.2f %9.1f\n", scheme, 1e-6 * bytes,
         N_PROMPT / median(prompts, PROMPTS), 1 / decode,
         1e-9 * bytes / decode);
  fflush(stdout);
  llqi_free(logits);
  forward_run_close(&run);
}

int main(int argc, char **argv) {
  static const char *const all[] = {"bf16", "w8a8-fp", "w8a8-int", "w8a16-int",
                                    "w4a16-int"};
  const char *const *schemes = argc > 3 ? (const char *const *)argv + 3 : all;
  int n_schemes = argc > 3 ? argc - 3 : 5;
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.n_threads = argc > 2 ? atoi(argv[2]) : 0;
  llq_backend *backend;
  llq_model *model;
  check(llq_backend_open(&backend, "cpu", &options));
  check(
      llq_model_open(&model, argc > 1 ? argv[1] : "random:llama-3.2-1b", NULL));
  printf("%-10s %8s %10s %9s %9s\n", "scheme", "MB", "prompt/s", "decode/s",
         "GB/s");
  for (int i = 0; i < n_schemes; i++) {
    llq_model *quantized = quantize(backend, model, schemes[i]);
    measure(backend, quantized, schemes[i]);
    llq_model_close(quantized);
  }
  llq_model_close(model);
  llq_backend_close(backend);
  return 0;
}
