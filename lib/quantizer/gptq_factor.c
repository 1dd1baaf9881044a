/* SPDX-License-Identifier: Apache-2.0 */
/* The factor of GPTQ: second moments in the order of the columns, damped, and
   decomposed. */
#include "quantizer/gptq.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/status.h"
#include "quantizer/matrix.h"

/* Damping is raised tenfold until the matrix is definite, up to this. */
#define DAMPING_MAX 10.0

void llqi_gptq_close(struct llqi_gptq *gptq) {
  llqi_free(gptq->columns);
  if (gptq->own_factor != NULL)
    llqi_memory_free(gptq->backend, gptq->own_factor);
  *gptq = (struct llqi_gptq){0};
}

struct ranked {
  float size;
  int32_t column;
};

static int by_size(const void *a, const void *b) {
  const struct ranked *x = a, *y = b;
  if (x->size != y->size)
    return x->size < y->size ? 1 : -1;
  return x->column < y->column ? -1 : 1;
}

/* Chooses the order of the columns, and puts h's diagonal into it. */
static int rank(struct llqi_gptq *gptq, float *diagonal) {
  const size_t n = (size_t)gptq->n;
  struct ranked *ranked = llqi_array(n, sizeof *ranked);
  if (ranked == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n; i++)
    ranked[i] = (struct ranked){diagonal[i], (int32_t)i};
  if (gptq->options.order != LLQI_ORDER_NONE)
    qsort(ranked, n, sizeof *ranked, by_size);
  for (size_t i = 0; i < n; i++) {
    gptq->columns[i] = ranked[i].column;
    diagonal[i] = ranked[i].size;
  }
  llqi_free(ranked);
  return LLQ_OK;
}

/* Puts the columns of all rows into order; `row` is scratch. */
static void permute(float *w, int64_t n_out, int64_t n, const int32_t *columns,
                    float *row) {
  for (int64_t r = 0; r < n_out; r++, w += n) {
    for (int64_t i = 0; i < n; i++)
      row[i] = w[columns[i]];
    memcpy(w, row, (size_t)n * sizeof *row);
  }
}

/* The same with rows, in place: along each cycle of the permutation. */
static void permute_rows(float *h, int64_t n, const int32_t *columns,
                         char *done, float *row) {
  const size_t n_bytes = (size_t)n * sizeof *h;
  for (int64_t first = 0; first < n; first++) {
    if (done[first])
      continue;
    int64_t i = first;
    memcpy(row, h + i * n, n_bytes);
    for (; columns[i] != first; i = columns[i]) {
      memcpy(h + i * n, h + columns[i] * n, n_bytes);
      done[i] = 1;
    }
    memcpy(h + i * n, row, n_bytes);
    done[i] = 1;
  }
}

/* Puts h into the order of the columns. */
static int reorder(const struct llqi_gptq *gptq, float *h) {
  if (gptq->options.order == LLQI_ORDER_NONE)
    return LLQ_OK;
  const size_t n = (size_t)gptq->n;
  float *row = llqi_array(n, sizeof *row);
  char *done = llqi_calloc(n, 1);
  int status = row != NULL && done != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  if (status >= 0) {
    permute(h, gptq->n, gptq->n, gptq->columns, row);
    permute_rows(h, gptq->n, gptq->columns, done, row);
  }
  llqi_free(row);
  llqi_free(done);
  return status;
}

/* A dead column is rounded by itself: its row of h is that of the identity. */
static void mark_dead(struct llqi_gptq *gptq, float *diagonal) {
  for (int64_t i = 0; i < gptq->n; i++)
    if (!(diagonal[i] > 0)) {
      diagonal[i] = 1;
      gptq->n_dead++;
    }
}

/* The diagonal with the damping of this attempt. */
static void damp(const struct llqi_gptq *gptq, const float *diagonal,
                 float *damped) {
  const int64_t n = gptq->n;
  double mean = 0;
  for (int64_t i = 0; i < n; i++)
    mean += diagonal[i] / (double)n;
  for (int64_t i = 0; i < n; i++)
    damped[i] = diagonal[i] + (float)(gptq->damping * mean);
}

/* h, in order of the columns, where the factor will be; `again` undoes what an
   attempt did to the upper triangle. */
static int place_h(const struct llqi_gptq *gptq, float *h, const float *damped,
                   int again) {
  const int64_t n = gptq->n;
  for (int64_t i = 0; i < n; i++)
    h[i * n + i] = damped[i];
  for (int64_t i = 0; i < n && again; i++)
    for (int64_t j = i + 1; j < n; j++)
      h[i * n + j] = h[j * n + i];
  if (gptq->factor.data == h)
    return LLQ_OK;
  return llqi_memory_upload(gptq->backend, gptq->factor.data, h,
                            (size_t)(n * n) * sizeof *h);
}

/* diagonal: [2, n], the second half is scratch. */
static int factor(struct llqi_gptq *gptq, const struct llqi_inputs *inputs,
                  float *diagonal) {
  float *damped = diagonal + gptq->n;
  for (int again = 0; gptq->damping <= DAMPING_MAX; again = 1) {
    int definite;
    damp(gptq, diagonal, damped);
    if (inputs->h != NULL)
      LLQ_TRY(place_h(gptq, inputs->h, damped, again));
    else
      LLQ_TRY(llqi_op_arrange(gptq->backend, &inputs->gram, gptq->columns,
                              1 / (float)inputs->n_fitted, damped,
                              &gptq->factor));
    LLQ_TRY(llqi_op_factor(gptq->backend, &gptq->factor, &definite));
    if (definite)
      return LLQ_OK;
    gptq->damping *= 10;
    llqi_log(LLQ_LOG_WARNING,
             "GPTQ: second moments of the input are not positive definite; "
             "trying again with damping %g",
             gptq->damping);
  }
  return llqi_fail(LLQ_ERROR_FORMAT,
                   "GPTQ: second moments of the input are not positive "
                   "definite, even with damping %g",
                   gptq->damping / 10);
}

/* The diagonal of the mean of x x^T. */
static int read_diagonal(const struct llqi_inputs *inputs, float *diagonal) {
  const int64_t n = inputs->n;
  if (inputs->h == NULL)
    LLQ_TRY(llqi_matrix_fetch(inputs->backend, &inputs->gram, 0, n + 1, n, 1,
                              diagonal));
  for (int64_t i = 0; i < n; i++)
    diagonal[i] = inputs->h != NULL
                      ? inputs->h[i * n + i]
                      : diagonal[i] * (1 / (float)inputs->n_fitted);
  return LLQ_OK;
}

static int prepare(struct llqi_gptq *gptq, struct llqi_inputs *inputs,
                   float *diagonal) {
  const size_t n = (size_t)gptq->n;
  LLQ_TRY(read_diagonal(inputs, diagonal));
  LLQ_TRY(rank(gptq, diagonal));
  if (inputs->h != NULL) {
    LLQ_TRY(reorder(gptq, inputs->h));
  } else {
    LLQ_TRY(llqi_memory_alloc(gptq->backend, n * n * sizeof(float),
                              &gptq->own_factor));
    gptq->factor.data = gptq->own_factor;
  }
  mark_dead(gptq, diagonal);
  return factor(gptq, inputs, diagonal);
}

int llqi_gptq_open(struct llqi_gptq *gptq, struct llqi_inputs *inputs,
                   const struct llqi_gptq_options *options) {
  *gptq = (struct llqi_gptq){.backend = inputs->backend,
                             .options = *options,
                             .n = inputs->n,
                             .factor = inputs->gram,
                             .damping = options->damping};
  gptq->columns = llqi_array((size_t)gptq->n, sizeof *gptq->columns);
  float *diagonal = llqi_array(2 * (size_t)gptq->n, sizeof *diagonal);
  int status =
      gptq->columns != NULL && diagonal != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  if (status >= 0)
    status = prepare(gptq, inputs, diagonal);
  llqi_free(diagonal);
  return status;
}
