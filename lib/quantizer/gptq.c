/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/gptq.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/status.h"
#include "tensor/format.h"

/* Damping is raised tenfold until the matrix is definite, up to this. */
#define DAMPING_MAX 10.0

void llqi_gptq_close(struct llqi_gptq *gptq) {
  llqi_free(gptq->columns);
  *gptq = (struct llqi_gptq){0};
}

/* ---- The factor ---- */

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

static int rank(struct llqi_gptq *gptq, const float *h) {
  const size_t n = (size_t)gptq->n;
  struct ranked *ranked = llqi_array(n, sizeof *ranked);
  if (ranked == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n; i++)
    ranked[i] = (struct ranked){h[i * n + i], (int32_t)i};
  if (gptq->options.order != LLQI_ORDER_NONE)
    qsort(ranked, n, sizeof *ranked, by_size);
  for (size_t i = 0; i < n; i++)
    gptq->columns[i] = ranked[i].column;
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
static void mark_dead(struct llqi_gptq *gptq, float *h, float *diagonal) {
  for (int64_t i = 0; i < gptq->n; i++) {
    float *x = &h[i * gptq->n + i];
    if (!(*x > 0)) {
      *x = 1;
      gptq->n_dead++;
    }
    diagonal[i] = *x;
  }
}

/* Makes the upper triangle what it was before factoring, but for a diagonal
   with more damping. */
static void damp(const struct llqi_gptq *gptq, float *h, const float *diagonal,
                 int again) {
  const int64_t n = gptq->n;
  double mean = 0;
  for (int64_t i = 0; i < n; i++)
    mean += diagonal[i] / (double)n;
  for (int64_t i = 0; i < n; i++)
    h[i * n + i] = diagonal[i] + (float)(gptq->damping * mean);
  for (int64_t i = 0; i < n && again; i++)
    for (int64_t j = i + 1; j < n; j++)
      h[i * n + j] = h[j * n + i];
}

static int factor(struct llqi_gptq *gptq, float *h, const float *diagonal) {
  const size_t n = (size_t)gptq->n, n_bytes = n * n * sizeof *h;
  for (int again = 0; gptq->damping <= DAMPING_MAX; again = 1) {
    int definite;
    damp(gptq, h, diagonal, again);
    if (gptq->factor.data != h)
      LLQ_TRY(llqi_memory_upload(gptq->backend, gptq->factor.data, h, n_bytes));
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

int llqi_gptq_open(struct llqi_gptq *gptq, struct llqi_inputs *inputs,
                   const struct llqi_gptq_options *options) {
  *gptq = (struct llqi_gptq){.backend = inputs->backend,
                             .options = *options,
                             .n = inputs->n,
                             .factor = inputs->gram,
                             .damping = options->damping};
  gptq->columns = llqi_array((size_t)gptq->n, sizeof *gptq->columns);
  float *diagonal = llqi_array((size_t)gptq->n, sizeof *diagonal);
  int status =
      gptq->columns != NULL && diagonal != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  if (status >= 0)
    status = rank(gptq, inputs->h);
  if (status >= 0)
    status = reorder(gptq, inputs->h);
  if (status >= 0) {
    mark_dead(gptq, inputs->h, diagonal);
    status = factor(gptq, inputs->h, diagonal);
  }
  llqi_free(diagonal);
  return status;
}

int llqi_gptq_has_group_index(const struct llqi_gptq *gptq,
                              const struct llqi_grid *grid) {
  return gptq->options.order == LLQI_ORDER_GROUP && grid->n_groups > 1;
}

/* ---- One linear ---- */

struct run {
  const struct llqi_gptq *gptq;
  struct llqi_grid *grid;
  struct llqi_threads *threads;
  float *host_w;                   /* [n_out, n], columns in order */
  llq_view w, errors, scale, zero; /* on the backend */
  int32_t *groups;                 /* [n]: of each column in order */
};

static int is_static(const struct run *run) {
  return run->gptq->options.order == LLQI_ORDER_STATIC ||
         run->grid->n_groups == 1;
}

static void assign_groups(struct run *run) {
  const int32_t *columns = run->gptq->columns;
  for (int64_t i = 0; i < run->gptq->n; i++)
    run->groups[i] =
        (int32_t)((is_static(run) ? columns[i] : i) / run->grid->group_size);
}

/* Host memory as a matrix on the backend: itself, where that is the host. */
static int place(const struct run *run, float *host, int64_t n_rows,
                 int64_t n_cols, llq_view *out) {
  *out = (llq_view){host, n_rows, n_cols, LLQ_F32};
  if (llqi_backend_is_host(run->gptq->backend))
    return LLQ_OK;
  const size_t n_bytes = (size_t)n_rows * (size_t)n_cols * sizeof *host;
  out->data = NULL;
  LLQ_TRY(llqi_memory_alloc(run->gptq->backend, n_bytes, &out->data));
  return llqi_memory_upload(run->gptq->backend, out->data, host, n_bytes);
}

static void unplace(const struct run *run, const float *host, llq_view *view) {
  if (view->data != host)
    llqi_memory_free(run->gptq->backend, view->data);
}

/* Makes host memory what the backend's is; and the reverse. */
static int fetch(const struct run *run, float *host, const llq_view *view) {
  if (view->data == host)
    return LLQ_OK;
  return llqi_memory_download(run->gptq->backend, host, view->data,
                              (size_t)view->n_rows * (size_t)view->n_cols *
                                  sizeof *host);
}

static int send(const struct run *run, const float *host, llq_view *view) {
  if (view->data == host)
    return LLQ_OK;
  return llqi_memory_upload(run->gptq->backend, view->data, host,
                            (size_t)view->n_rows * (size_t)view->n_cols *
                                sizeof *host);
}

/* Finds the grid of the group that begins at a column. */
static int observe_group(struct run *run, int64_t column) {
  LLQ_TRY(fetch(run, run->host_w, &run->w));
  LLQ_TRY(llqi_grid_observe(run->grid, &run->gptq->options.observer,
                            run->host_w, column / run->grid->group_size, 1,
                            run->threads));
  LLQ_TRY(send(run, run->grid->scale, &run->scale));
  return send(run, run->grid->zero, &run->zero);
}

static int run_block(struct run *run, int64_t first, int64_t n) {
  llq_backend *backend = run->gptq->backend;
  const llq_encoding encoding = {.struct_size = sizeof encoding,
                                 .format = run->grid->format,
                                 .dtype = run->grid->rule.dtype,
                                 .first = first,
                                 .n = n,
                                 .groups = run->groups + first,
                                 .scale = &run->scale,
                                 .zero = &run->zero};
  run->errors.n_cols = n;
  LLQ_TRY(llqi_op_encode(backend, &encoding, &run->gptq->factor, &run->w,
                         &run->errors));
  return llqi_op_update(backend, first, &run->errors, &run->gptq->factor,
                        &run->w);
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* A group's grid is found when all columns before it are done, so that no block
   crosses the beginning of a group. */
static int run_blocks(struct run *run) {
  const int64_t n = run->gptq->n;
  int64_t step = run->gptq->options.n_block;
  if (!is_static(run))
    step = smaller(step, run->grid->group_size);
  for (int64_t at = 0; at < n; at += step) {
    if (!is_static(run) && at % run->grid->group_size == 0)
      LLQ_TRY(observe_group(run, at));
    LLQ_TRY(run_block(run, at, smaller(step, n - at)));
  }
  return fetch(run, run->host_w, &run->w);
}

/* Codes, back in the weight's own order. */
static void store(const struct run *run, const struct llqi_quantized *to,
                  float *row) {
  const int64_t n = run->gptq->n;
  const struct llqi_format *format = llqi_format_of(run->grid->format);
  for (int64_t r = 0; r < run->grid->n_out; r++) {
    for (int64_t i = 0; i < n; i++)
      row[run->gptq->columns[i]] = run->host_w[r * n + i];
    format->pack(&to->weight, row, r, to->data);
  }
  llqi_grid_store(run->grid, to);
}

static int run_placed(struct run *run, float *errors) {
  struct llqi_grid *grid = run->grid;
  LLQ_TRY(place(run, run->host_w, grid->n_out, grid->n_in, &run->w));
  LLQ_TRY(place(run, errors, grid->n_out, run->gptq->options.n_block,
                &run->errors));
  LLQ_TRY(place(run, grid->scale, grid->n_out, grid->n_groups, &run->scale));
  LLQ_TRY(place(run, grid->zero, grid->n_out, grid->n_groups, &run->zero));
  return run_blocks(run);
}

int llqi_gptq_run(const struct llqi_gptq *gptq, struct llqi_grid *grid,
                  float *w, struct llqi_threads *threads,
                  const struct llqi_quantized *to, int32_t *group_index) {
  const size_t n = (size_t)gptq->n;
  struct run run = {
      .gptq = gptq, .grid = grid, .threads = threads, .host_w = w};
  float *row = llqi_array(n, sizeof *row);
  float *errors = llqi_array((size_t)grid->n_out,
                             (size_t)gptq->options.n_block * sizeof *errors);
  run.groups = llqi_array(n, sizeof *run.groups);
  int status = row != NULL && errors != NULL && run.groups != NULL
                   ? LLQ_OK
                   : LLQ_ERROR_MEMORY;
  if (status >= 0) {
    permute(w, grid->n_out, gptq->n, gptq->columns, row);
    assign_groups(&run);
    status = run_placed(&run, errors);
    unplace(&run, w, &run.w);
    unplace(&run, errors, &run.errors);
    unplace(&run, grid->scale, &run.scale);
    unplace(&run, grid->zero, &run.zero);
  }
  if (status >= 0)
    store(&run, to, row);
  for (size_t i = 0;
       i < n && status >= 0 && llqi_gptq_has_group_index(gptq, grid); i++)
    group_index[gptq->columns[i]] = run.groups[i];
  llqi_free(row);
  llqi_free(errors);
  llqi_free(run.groups);
  return status;
}
