/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/matrix.h"

#include <cblas.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/vector.h"

#define ROWS 64

struct loading {
  const llq_weight *from;
  const struct llqi_fold *fold;
  float *w;
};

LLQI_VECTOR
static void multiply(float *values, const float *by, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    values[i] *= by[i];
}

LLQI_VECTOR
static void divide(float *values, float by, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    values[i] /= by;
}

static void load_rows(void *user, uint32_t item, int thread) {
  const struct loading *l = user;
  const int64_t n = l->from->n_in, first = (int64_t)item * ROWS;
  for (int64_t r = first; r < first + ROWS && r < l->from->n_out; r++) {
    float *row = l->w + r * n;
    llqi_weight_row(l->from, r, row);
    if (l->fold->in != NULL)
      multiply(row, l->fold->in, n);
    if (l->fold->out != NULL)
      divide(row, l->fold->out[r], n);
  }
}

void llqi_matrix_load(const llq_weight *from, const struct llqi_fold *fold,
                      struct llqi_threads *threads, float *w) {
  struct loading loading = {from, fold, w};
  llqi_threads_run(threads, 0, (uint32_t)((from->n_out + ROWS - 1) / ROWS),
                   load_rows, &loading);
}

void llqi_matrix_apply(const float *w, int64_t n_out, int64_t n_in,
                       const float *x, int64_t n_rows, float *out) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n_rows, (int)n_out,
              (int)n_in, 1, x, (int)n_in, w, (int)n_in, 0, out, (int)n_out);
}

int llqi_matrix_fetch(llq_backend *backend, const llq_view *matrix,
                      int64_t first, int64_t stride, int64_t n_rows,
                      int64_t width, float *to) {
  const size_t n_bytes = (size_t)(n_rows * width) * sizeof *to;
  const llq_view blocks = {
      matrix->data, matrix->n_rows * matrix->n_cols / width, width, LLQ_F32};
  llq_view picked = {NULL, n_rows, width, LLQ_F32};
  int32_t *numbers = llqi_array((size_t)n_rows, sizeof *numbers);
  int status = numbers != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (int64_t i = 0; i < n_rows && status >= 0; i++)
    numbers[i] = (int32_t)(first + i * stride);
  if (status >= 0)
    status = llqi_memory_alloc(backend, n_bytes, &picked.data);
  if (status >= 0)
    status = llqi_op_gather(backend, &blocks, numbers, &picked);
  if (status >= 0)
    status = llqi_memory_download(backend, to, picked.data, n_bytes);
  llqi_memory_free(backend, picked.data);
  llqi_free(numbers);
  return status;
}
