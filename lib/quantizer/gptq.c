/* SPDX-License-Identifier: Apache-2.0 */
/* GPTQ of one linear, block after block. */
#include "quantizer/gptq.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "quantizer/matrix.h"
#include "tensor/format.h"

int llqi_gptq_has_group_index(const struct llqi_gptq *gptq,
                              const struct llqi_grid *grid) {
  return gptq->options.order == LLQI_ORDER_GROUP && grid->n_groups > 1;
}

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

/* Brings a group's columns, as they are by now, to the host. */
static int fetch_group(struct run *run, int64_t group) {
  const struct llqi_grid *grid = run->grid;
  const int64_t width = grid->group_size;
  if (run->w.data == run->host_w)
    return LLQ_OK;
  float *columns =
      llqi_array((size_t)grid->n_out, (size_t)width * sizeof(float));
  if (columns == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_matrix_fetch(run->gptq->backend, &run->w, group,
                                 grid->n_groups, grid->n_out, width, columns);
  for (int64_t r = 0; r < grid->n_out && status >= 0; r++)
    memcpy(run->host_w + r * grid->n_in + group * width, columns + r * width,
           (size_t)width * sizeof *columns);
  llqi_free(columns);
  return status;
}

/* Finds the grid of the group that begins at a column. */
static int observe_group(struct run *run, int64_t column) {
  const int64_t group = column / run->grid->group_size;
  LLQ_TRY(fetch_group(run, group));
  LLQ_TRY(llqi_grid_observe(run->grid, &run->gptq->options.observer,
                            run->host_w, group, 1, run->threads));
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

static int run_placed(struct run *run, float *errors) {
  struct llqi_grid *grid = run->grid;
  LLQ_TRY(place(run, run->host_w, grid->n_out, grid->n_in, &run->w));
  LLQ_TRY(place(run, errors, grid->n_out, run->gptq->options.n_block,
                &run->errors));
  LLQ_TRY(place(run, grid->scale, grid->n_out, grid->n_groups, &run->scale));
  LLQ_TRY(place(run, grid->zero, grid->n_out, grid->n_groups, &run->zero));
  return run_blocks(run);
}

/* ---- Rows, in the order of columns and back ---- */

/* Rows that a thread takes at a time. */
#define ROWS 64

struct rows {
  const struct run *run;
  const struct llqi_quantized *to;
  float *scratch; /* [threads, n] */
};

static void order_row(const struct rows *rows, int64_t r, float *scratch) {
  const int64_t n = rows->run->gptq->n;
  float *row = rows->run->host_w + r * n;
  for (int64_t i = 0; i < n; i++)
    scratch[i] = row[rows->run->gptq->columns[i]];
  memcpy(row, scratch, (size_t)n * sizeof *row);
}

/* Codes, back in the weight's own order. */
static void store_row(const struct rows *rows, int64_t r, float *scratch) {
  const int64_t n = rows->run->gptq->n;
  const float *row = rows->run->host_w + r * n;
  for (int64_t i = 0; i < n; i++)
    scratch[rows->run->gptq->columns[i]] = row[i];
  llqi_format_of(rows->run->grid->format)
      ->pack(&rows->to->weight, scratch, r, rows->to->data);
}

static void run_rows(void *user, uint32_t item, int thread) {
  const struct rows *rows = user;
  float *scratch = rows->scratch + thread * rows->run->gptq->n;
  const int64_t first = (int64_t)item * ROWS, n = rows->run->grid->n_out;
  for (int64_t r = first; r < first + ROWS && r < n; r++)
    if (rows->to == NULL)
      order_row(rows, r, scratch);
    else
      store_row(rows, r, scratch);
}

/* to: NULL = put the weights into order; else store the codes there. */
static void for_rows(const struct run *run, const struct llqi_quantized *to,
                     float *scratch) {
  struct rows rows = {run, to, scratch};
  const int64_t n_items = (run->grid->n_out + ROWS - 1) / ROWS;
  llqi_threads_run(run->threads, 0, (uint32_t)n_items, run_rows, &rows);
}

/* ---- One linear ---- */

static void place_index(const struct run *run, int32_t *group_index) {
  for (int64_t i = 0; i < run->gptq->n; i++)
    group_index[run->gptq->columns[i]] = run->groups[i];
}

static int run_linear(struct run *run, float *errors, float *scratch,
                      const struct llqi_quantized *to, int32_t *group_index) {
  if (run->gptq->options.order != LLQI_ORDER_NONE)
    for_rows(run, NULL, scratch);
  assign_groups(run);
  int status = run_placed(run, errors);
  unplace(run, run->host_w, &run->w);
  unplace(run, errors, &run->errors);
  unplace(run, run->grid->scale, &run->scale);
  unplace(run, run->grid->zero, &run->zero);
  LLQ_TRY(status);
  for_rows(run, to, scratch);
  llqi_grid_store(run->grid, to);
  if (llqi_gptq_has_group_index(run->gptq, run->grid))
    place_index(run, group_index);
  return LLQ_OK;
}

int llqi_gptq_run(const struct llqi_gptq *gptq, struct llqi_grid *grid,
                  float *w, struct llqi_threads *threads,
                  const struct llqi_quantized *to, int32_t *group_index) {
  const size_t n = (size_t)gptq->n;
  const size_t n_threads = (size_t)llqi_threads_count(threads);
  struct run run = {
      .gptq = gptq, .grid = grid, .threads = threads, .host_w = w};
  float *scratch = llqi_array(n_threads, n * sizeof *scratch);
  float *errors = llqi_array((size_t)grid->n_out,
                             (size_t)gptq->options.n_block * sizeof *errors);
  run.groups = llqi_array(n, sizeof *run.groups);
  int status = scratch != NULL && errors != NULL && run.groups != NULL
                   ? run_linear(&run, errors, scratch, to, group_index)
                   : LLQ_ERROR_MEMORY;
  llqi_free(scratch);
  llqi_free(errors);
  llqi_free(run.groups);
  return status;
}
