/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU's linears by format and rows, beside what memory and arithmetic
   allow in the same run. bench_linear [arch [threads]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/backend.h"
#include "base/alloc.h"
#include "base/random.h"
#include "base/threads.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

#define N_IN 2048
#define REPEATS 9

/* One thread is timed by its own time, so that a busy machine matters less. */
static clockid_t timer = CLOCK_MONOTONIC;

static double now(void) {
  struct timespec t;
  clock_gettime(timer, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *seconds) {
  qsort(seconds, REPEATS, sizeof *seconds, by_value);
  return seconds[REPEATS / 2];
}

#define N_PARTS 256
#define PART_WORDS ((size_t)128 << 10)

static void sum_part(void *user, uint32_t part, int thread) {
  const uint64_t *data = (const uint64_t *)user + part * PART_WORDS;
  uint64_t total = 0;
  for (size_t j = 0; j < PART_WORDS; j += 8)
    total += (data[j] + data[j + 1]) + (data[j + 2] + data[j + 3]) +
             (data[j + 4] + data[j + 5]) + (data[j + 6] + data[j + 7]);
  __asm__ volatile("" : : "r"(total)); /* the sum is wanted */
}

#define MULTIPLY(i) "vfmadd231ps %%ymm15, %%ymm15, %%ymm" #i "\n"
#define MULTIPLIES_PER_PART 8000

/* Multiply-adds of registers alone, twelve chains of them. */
static void multiply_part(void *user, uint32_t part, int thread) {
  for (long k = 0; k < MULTIPLIES_PER_PART; k++)
    __asm__ volatile(MULTIPLY(0) MULTIPLY(1) MULTIPLY(2) MULTIPLY(3) MULTIPLY(4)
                         MULTIPLY(5) MULTIPLY(6) MULTIPLY(7) MULTIPLY(8)
                             MULTIPLY(9) MULTIPLY(10) MULTIPLY(11)
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");
}

static double median_time(struct llqi_threads *threads, llqi_work work,
                          void *user) {
  double seconds[REPEATS];
  for (int i = 0; i < REPEATS; i++) {
    double start = now();
    llqi_threads_run(threads, 0, N_PARTS, work, user);
    seconds[i] = now() - start;
  }
  return median(seconds);
}

/* Bytes a second that all threads read from 256 MiB. */
static double read_bandwidth(struct llqi_threads *threads) {
  size_t n = N_PARTS * PART_WORDS * sizeof(uint64_t);
  void *data = llqi_alloc_aligned(n, 1);
  memset(data, 1, n);
  double seconds = median_time(threads, sum_part, data);
  llqi_free(data);
  return (double)n / seconds;
}

/* Operations a second of all threads. */
static double multiply_rate(struct llqi_threads *threads) {
  double n = (double)N_PARTS * MULTIPLIES_PER_PART * 12 * 16;
  return n / median_time(threads, multiply_part, NULL);
}

static const struct {
  const char *scheme;
  int format, activation, group_size;
} formats[] = {
    {"bf16", LLQ_WEIGHT_DENSE, LLQ_ACTIVATION_NONE, N_IN},
    {"w8a16-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_NONE, N_IN},
    {"w8a8-int", LLQ_WEIGHT_INT8, LLQ_ACTIVATION_INT8, N_IN},
    {"w8a8-fp", LLQ_WEIGHT_FP8, LLQ_ACTIVATION_FP8, N_IN},
    {"w4a16-int 128", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 128},
    {"w4a16-int 32", LLQ_WEIGHT_INT4, LLQ_ACTIVATION_NONE, 32},
};

/* Codes do not matter for speed; scales must be numbers. */
static llq_weight make_weight(int i, int64_t n_out) {
  llq_weight weight = {sizeof weight,
                       formats[i].format,
                       LLQ_BF16,
                       formats[i].activation,
                       0,
                       n_out,
                       N_IN,
                       formats[i].group_size,
                       NULL,
                       NULL,
                       NULL,
                       NULL};
  size_t n = llqi_weight_data_bytes(&weight);
  uint8_t *data = llqi_alloc_aligned(n, 1);
  for (size_t j = 0; j < n; j++)
    data[j] = (uint8_t)(j * 2654435761u >> 13) & 0x3d;
  weight.data = data;
  size_t n_scales = llqi_weight_scale_bytes(&weight) / 2;
  uint16_t *scale = llqi_array(n_scales, 2);
  for (size_t j = 0; j < n_scales; j++)
    scale[j] = llqi_f32_to_bf16(0.01f);
  weight.scale = scale;
  return weight;
}

static double time_rows(llq_backend *backend,
                        const struct llqi_linear_handle *linear, int n_rows) {
  float *x = llqi_array((size_t)n_rows * N_IN, sizeof *x);
  float *y = llqi_array((size_t)(n_rows * linear->n_out), sizeof *y);
  for (int i = 0; i < n_rows * N_IN; i++)
    x[i] = (float)(i % 97) - 48;
  llq_view in = {x, n_rows, N_IN, LLQ_F32};
  llq_view out = {y, n_rows, linear->n_out, LLQ_F32};
  double seconds[REPEATS];
  llqi_op_linear(backend, linear, &in, &out);
  for (int i = 0; i < REPEATS; i++) {
    double start = now();
    llqi_op_linear(backend, linear, &in, &out);
    seconds[i] = now() - start;
  }
  llqi_free(x);
  llqi_free(y);
  return median(seconds);
}

static void measure(llq_backend *backend, int i, int n_rows, double bandwidth,
                    double rate) {
  int64_t n_out = n_rows < 64 ? 65536 : 8192;
  llq_weight weight = make_weight(i, n_out);
  struct llqi_linear_handle linear;
  llqi_linear_upload(backend, &weight, LLQ_F32, &linear);
  double seconds = time_rows(backend, &linear, n_rows);
  double bytes = (double)llqi_weight_bytes(&weight) / seconds;
  double operations = 2.0 * n_rows * N_IN * (double)n_out / seconds;
  printf("%-14s %4d %10.2f %8.1f %7.2f %9.1f %7.2f\n", formats[i].scheme,
         n_rows, 1e3 * seconds, 1e-9 * bytes, bytes / bandwidth,
         1e-9 * operations, operations / rate);
  llqi_linear_free(backend, &linear);
  llqi_free((void *)weight.data);
  llqi_free((void *)weight.scale);
}

int main(int argc, char **argv) {
  static const int rows[] = {1, 8, 128};
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.arch = argc > 1 ? argv[1] : NULL;
  options.n_threads = argc > 2 ? atoi(argv[2]) : 0;
  struct llqi_threads *threads;
  if (llqi_threads_open(&threads, options.n_threads) < 0)
    return 1;
  int n_threads = llqi_threads_count(threads);
  if (n_threads == 1)
    timer = CLOCK_THREAD_CPUTIME_ID;
  llq_backend *backend;
  if (llq_backend_open(&backend, "cpu", &options) != LLQ_OK) {
    fprintf(stderr, "%s\n", llq_error_message());
    return 1;
  }
  double bandwidth = read_bandwidth(threads), rate = multiply_rate(threads);
  llqi_threads_close(threads);
  printf("%d threads: reads %.1f GB/s, multiplies and adds %.0f GFLOP/s\n",
         n_threads, 1e-9 * bandwidth, 1e-9 * rate);
  printf("%-14s %4s %10s %8s %7s %9s %7s\n", "format", "rows", "ms", "GB/s",
         "of it", "GFLOP/s", "of it");
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
    for (int r = 0; r < 3; r++)
      measure(backend, (int)i, rows[r], bandwidth, rate);
  llq_backend_close(backend);
  return 0;
}
