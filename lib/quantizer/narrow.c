/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/narrow.h"

#include <math.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/vector.h"
#include "quantizer/matrix.h"

/* Rows that are tried at a time. */
#define CHUNK 512

/* A range that is tried on some rows. */
struct trial {
  struct llqi_grid grid; /* of these rows; its memory is the trial's */
  const float *w;
  float part;  /* of the whole range */
  float *lost; /* [rows, n_in]: what the weights lose */
};

LLQI_VECTOR
static void subtract(float *values, const float *w, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    values[i] -= w[i];
}

static void try_row(void *user, uint32_t row, int thread) {
  struct trial *t = user;
  struct llqi_grid *grid = &t->grid;
  const int64_t n = grid->n_in;
  const float *w = t->w + row * n;
  float *values = t->lost + row * n;
  const struct llqi_grids one = {1, (size_t)n, grid->scale + row,
                                 grid->zero + row};
  llqi_ranges(w, &one);
  *one.zero *= t->part;
  *one.scale *= t->part;
  llqi_observe_ranges(&grid->rule, &one);
  llqi_grid_encode(grid, row, w, n, values);
  llqi_grid_decode(grid, row, values, n, values);
  subtract(values, w, n);
}

LLQI_VECTOR
static void add_squares(const float *outputs, int64_t n, float *sums) {
  for (int64_t i = 0; i < n; i++)
    sums[i] += outputs[i] * outputs[i];
}

/* Working memory of a chunk. */
struct scratch {
  float *lost;    /* [CHUNK, n_in] */
  float *outputs; /* [LLQI_INPUT_ROWS, CHUNK] */
  float *rows;    /* [4, CHUNK]: scales, zeros, sums and the least sums */
};

/* Keeps the trial's grids where its outputs lose less than all before. */
static void keep_better(const struct trial *t, const float *sums, float *least,
                        float *scale, float *zero) {
  for (int64_t r = 0; r < t->grid.n_out; r++)
    if (sums[r] < least[r]) {
      least[r] = sums[r];
      scale[r] = t->grid.scale[r];
      zero[r] = t->grid.zero[r];
    }
}

/* Grids of rows from `first` on. */
static void narrow_chunk(const struct llqi_grid *grid,
                         const struct llqi_observer *observer, const float *w,
                         int64_t first, const struct llqi_input_sample *sample,
                         struct llqi_threads *threads,
                         const struct scratch *scratch) {
  const int64_t left = grid->n_out - first;
  struct trial t = {*grid, w + first * grid->n_in, 1, scratch->lost};
  float *sums = scratch->rows + 2 * CHUNK, *least = scratch->rows + 3 * CHUNK;
  t.grid.n_out = left < CHUNK ? left : CHUNK;
  t.grid.scale = scratch->rows;
  t.grid.zero = scratch->rows + CHUNK;
  for (int64_t r = 0; r < CHUNK; r++)
    least[r] = INFINITY;
  for (int i = 0; i < observer->n_steps; i++) {
    t.part = 1 - (float)i * observer->step;
    llqi_threads_run(threads, 0, (uint32_t)t.grid.n_out, try_row, &t);
    llqi_matrix_apply(t.lost, t.grid.n_out, grid->n_in, sample->rows,
                      sample->n_rows, scratch->outputs);
    for (int64_t r = 0; r < CHUNK; r++)
      sums[r] = 0;
    for (int64_t s = 0; s < sample->n_rows; s++)
      add_squares(scratch->outputs + s * t.grid.n_out, t.grid.n_out, sums);
    keep_better(&t, sums, least, grid->scale + first, grid->zero + first);
  }
}

int llqi_grid_narrow(struct llqi_grid *grid,
                     const struct llqi_observer *observer, const float *w,
                     const struct llqi_input_sample *sample,
                     struct llqi_threads *threads) {
  const struct llqi_observer whole = {1, 0, NULL};
  LLQ_TRY(llqi_grid_observe(grid, &whole, w, 0, 1, threads));
  const struct scratch scratch = {
      llqi_array(CHUNK, (size_t)grid->n_in * sizeof(float)),
      llqi_array(LLQI_INPUT_ROWS, CHUNK * sizeof(float)),
      llqi_array(4, CHUNK * sizeof(float))};
  const int has_memory =
      scratch.lost != NULL && scratch.outputs != NULL && scratch.rows != NULL;
  for (int64_t at = 0; has_memory && at < grid->n_out; at += CHUNK)
    narrow_chunk(grid, observer, w, at, sample, threads, &scratch);
  llqi_free(scratch.lost);
  llqi_free(scratch.outputs);
  llqi_free(scratch.rows);
  return has_memory ? LLQ_OK : LLQ_ERROR_MEMORY;
}
