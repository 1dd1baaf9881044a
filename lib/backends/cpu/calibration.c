/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix products of calibration and GPTQ, by OpenBLAS. */
#include <cblas.h>
#include <math.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "base/status.h"
#include "base/vector.h"
#include "tensor/dtype.h"

/* LAPACK, of which there may be no header. Matrices are column-major. */
void spotrf_(const char *triangle, const int *n, float *a, const int *stride,
             int *info);
void strtri_(const char *triangle, const char *diagonal, const int *n, float *a,
             const int *stride, int *info);

/* Rows that are converted at a time: enough for a product to be efficient. */
#define CHUNK_ROWS 256

/* OpenBLAS's number of threads is the whole process's: it is set for the time
   of an operation. */
static int enter(const struct llqi_cpu *cpu) {
  const int before = openblas_get_num_threads();
  const int wanted = llqi_threads_count(cpu->threads);
  if (wanted != before)
    openblas_set_num_threads(wanted);
  return before;
}

static void leave(const struct llqi_cpu *cpu, int before) {
  if (llqi_threads_count(cpu->threads) != before)
    openblas_set_num_threads(before);
}

/* Rows of x as floats: where they are, or converted. */
static const float *floats(struct llqi_cpu *cpu, const llq_view *x,
                           int64_t first, int64_t n_rows) {
  const size_t at = (size_t)(first * x->n_cols);
  const size_t n = (size_t)(n_rows * x->n_cols);
  if (x->dtype == LLQ_F32)
    return (const float *)x->data + at;
  float *values = llqi_cpu_scratch(cpu, n * sizeof *values);
  if (values != NULL)
    llqi_to_f32(x->dtype, (const uint16_t *)x->data + at, n, values);
  return values;
}

int llqi_cpu_gram(void *self, const llq_view *x, llq_view *h) {
  struct llqi_cpu *cpu = self;
  const int before = enter(cpu), n = (int)x->n_cols;
  int status = LLQ_OK;
  for (int64_t at = 0; at < x->n_rows && status >= 0; at += CHUNK_ROWS) {
    const int64_t left = x->n_rows - at;
    const int n_rows = left < CHUNK_ROWS ? (int)left : CHUNK_ROWS;
    const float *values = floats(cpu, x, at, n_rows);
    if (values == NULL)
      status = LLQ_ERROR_MEMORY;
    else
      cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, n, n_rows, 1, values,
                  n, 1, h->data, n);
  }
  leave(cpu, before);
  return status;
}

LLQI_VECTOR
static void add_magnitudes(const float *x, size_t n, float *sum,
                           float *largest) {
  for (size_t i = 0; i < n; i++) {
    const float magnitude = fabsf(x[i]);
    sum[i] += magnitude;
    largest[i] = magnitude > largest[i] ? magnitude : largest[i];
  }
}

int llqi_cpu_magnitudes(void *self, const llq_view *x, llq_view *out) {
  const size_t n = (size_t)x->n_cols;
  float *sum = out->data;
  for (int64_t r = 0; r < x->n_rows; r++) {
    const float *row = floats(self, x, r, 1);
    if (row == NULL)
      return LLQ_ERROR_MEMORY;
    add_magnitudes(row, n, sum, sum + n);
  }
  return LLQ_OK;
}

/* Turns a matrix by half a turn: element [i, j] becomes [n-1-i, n-1-j]. */
LLQI_VECTOR
static void turn(float *values, size_t n) {
  for (size_t i = 0; i < n / 2; i++) {
    const float x = values[i];
    values[i] = values[n - 1 - i];
    values[n - 1 - i] = x;
  }
}

/* With J the turned identity: J h J = L L^T gives h = (J L J) (J L J)^T, and U
   = (J L J)^-1 = J L^-1 J is the factor. One inverse of a triangle instead of
   two Cholesky decompositions and an inverse of the whole. Turning moves the
   upper triangle to the lower one, which column-major LAPACK calls upper. */
int llqi_cpu_factor(void *self, llq_view *h, int *definite) {
  const int before = enter(self), n = (int)h->n_cols;
  const size_t n_values = (size_t)n * (size_t)n;
  int info = 0;
  turn(h->data, n_values);
  spotrf_("U", &n, h->data, &n, &info);
  if (info == 0)
    strtri_("U", "N", &n, h->data, &n, &info);
  turn(h->data, n_values);
  *definite = info == 0;
  leave(self, before);
  return LLQ_OK;
}

int llqi_cpu_update(void *self, int64_t first, const llq_view *errors,
                    const llq_view *factor, llq_view *w) {
  const int n = (int)w->n_cols, width = (int)errors->n_cols;
  const int64_t next = first + width;
  if (next == n)
    return LLQ_OK;
  const int before = enter(self);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)w->n_rows,
              n - (int)next, width, -1, errors->data, width,
              (const float *)factor->data + first * n + next, n, 1,
              (float *)w->data + next, n);
  leave(self, before);
  return LLQ_OK;
}
