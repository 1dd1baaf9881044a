/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of round-to-nearest with one thread on one linear of Llama 3.1 8B's
   shape, beside what memory allows: the same bytes read and written with no
   work between. Prints a table in Markdown; see doc/performance.md. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "quantizer/rtn.h"
#include "quantizer/target.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_set_num_threads(n) (void)(n)
#endif

#define N_OUT 14336
#define N_IN 4096
/* The least of the times is what neighbours on the machine disturb least. */
#define REPEATS 15

/* The processor's time, which other programs on the machine do not add to. */
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *allocate(size_t size) {
  void *memory = malloc(size);
  if (memory == NULL)
    exit(1);
  memset(memory, 1, size); /* its pages are there before the clock starts */
  return memory;
}

/* Reads `from` and writes n_write bytes, each row's where a quantizer would. */
static void move(const uint64_t *from, char *to, size_t n_write) {
  size_t n_words = N_IN * sizeof(uint16_t) / sizeof *from;
  size_t n_row = n_write / N_OUT;
  for (int row = 0; row < N_OUT; row++) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n_words; i++)
      sum |= from[(size_t)row * n_words + i];
    memset(to + (size_t)row * n_row, (int)(sum & 255), n_row);
  }
}

static double time_move(const llq_weight *from, const struct llqi_quantized *to,
                        size_t n_write) {
  double least = INFINITY;
  for (int i = 0; i < REPEATS; i++) {
    double start = now();
    move(from->data, to->data, n_write);
    least = fmin(least, now() - start);
  }
  return least;
}

static double time_rtn(const llq_weight *from,
                       const struct llqi_quantized *to) {
  double least = INFINITY;
  for (int i = 0; i < REPEATS; i++) {
    double start = now();
    if (llqi_rtn(from, NULL, to) < 0)
      exit(1);
    least = fmin(least, now() - start);
  }
  return least;
}

static void measure(const char *name, int format, int group_size,
                    int asymmetric, const llq_weight *from) {
  struct llqi_target target = {format, 0, group_size, asymmetric};
  struct llqi_quantized to = {.data = NULL};
  llqi_target_shape(&target, from, &to.weight);
  size_t n_scales =
      (size_t)(N_OUT * llqi_weight_n_groups(&to.weight)) * sizeof(uint16_t);
  size_t n_write = llqi_weight_data_bytes(&to.weight);
  to.data = allocate(n_write);
  to.scale = allocate(n_scales);
  to.zero = asymmetric ? allocate(n_scales) : NULL;
  double floor = time_move(from, &to, n_write);
  double seconds = time_rtn(from, &to);
  double mb = 1e-6 * (double)llqi_weight_data_bytes(from);
  printf("| %s | %.0f | %.0f | %.2f |\n", name, mb / seconds, mb / floor,
         seconds / floor);
  free(to.data);
  free(to.scale);
  free(to.zero);
}

int main(void) {
  omp_set_num_threads(1);
  size_t n = (size_t)N_OUT * N_IN;
  uint16_t *values = allocate(n * sizeof *values);
  for (size_t i = 0; i < n; i += 4) {
    float normal[4];
    llqi_normal4(1, i, 0, normal);
    for (int k = 0; k < 4; k++)
      normal[k] *= 0.02f;
    llqi_from_f32(LLQ_BF16, normal, 4, values + i);
  }
  llq_weight from = {.format = LLQ_WEIGHT_DENSE,
                     .dtype = LLQ_BF16,
                     .n_out = N_OUT,
                     .n_in = N_IN,
                     .group_size = N_IN,
                     .data = values};
  printf("| scheme | MB of bf16 a second | floor, MB/s | time / floor |\n"
         "| --- | ---: | ---: | ---: |\n");
  measure("w8a8-fp", LLQ_WEIGHT_FP8, -1, 0, &from);
  measure("w8a8-int, w8a16-int", LLQ_WEIGHT_INT8, -1, 0, &from);
  measure("w4a16-int, per channel", LLQ_WEIGHT_INT4, -1, 0, &from);
  measure("w4a16-int, group 128", LLQ_WEIGHT_INT4, 128, 0, &from);
  measure("w4a16-int, group 32", LLQ_WEIGHT_INT4, 32, 0, &from);
  measure("w4a16-int, group 128, asymmetric", LLQ_WEIGHT_INT4, 128, 1, &from);
  measure("w4a16-int, group 32, asymmetric", LLQ_WEIGHT_INT4, 32, 1, &from);
  free(values);
  return 0;
}
