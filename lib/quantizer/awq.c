/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/vector.h"
#include "quantizer/fold.h"
#include "quantizer/grid.h"
#include "quantizer/matrix.h"

/* Candidates: no scaling, and s = x^r / w^(1 - r) for r = 0, 1/20, ... */
#define N_RATIOS 20
#define N_CANDIDATES (N_RATIOS + 1)

#define SCALE_MIN 1e-4f

/* Rows of a weight that are tried at a time. */
#define CHUNK 512

/* A candidate on some rows of a linear. */
struct trial {
  const struct llqi_target *target;
  const llq_weight *from;
  const float *w, *scale;
  const float *out; /* what the rows were divided by; NULL: nothing */
  float *lost;      /* what the rows lose, per unit of the unscaled input */
  int64_t n_rows;
  float *scratch; /* [threads, 2 * n_groups] */
};

/* Scaled so that the largest times the smallest is 1. */
static void make_candidate(int candidate, const float *sizes,
                           const float *w_sizes, int64_t n, float *scale) {
  const double ratio = (double)(candidate - 1) / N_RATIOS;
  float low = INFINITY, high = 0;
  for (int64_t i = 0; i < n; i++) {
    scale[i] = 1;
    if (candidate > 0)
      scale[i] = (float)(pow(sizes[i], ratio) /
                         (pow(w_sizes[i], 1 - ratio) + SCALE_MIN));
    scale[i] = fmaxf(scale[i], SCALE_MIN);
    low = fminf(low, scale[i]);
    high = fmaxf(high, scale[i]);
  }
  const float middle = sqrtf(low * high);
  for (int64_t i = 0; i < n; i++)
    scale[i] /= middle;
}

LLQI_VECTOR
static void multiply(const float *w, const float *scale, int64_t n,
                     float *out) {
  for (int64_t i = 0; i < n; i++)
    out[i] = w[i] * scale[i];
}

LLQI_VECTOR
static void subtract(float *values, const float *scale, const float *w,
                     float by, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    values[i] = (values[i] / scale[i] - w[i]) * by;
}

static void try_row(void *user, uint32_t row, int thread) {
  const struct trial *t = user;
  const int64_t n = t->from->n_in;
  struct llqi_quantized to = {.zero = t->target->asymmetric ? (int8_t *)t->lost
                                                            : NULL};
  llqi_target_shape(t->target, t->from, &to.weight);
  struct llqi_grid grid = llqi_grid_header(&to);
  float *scratch = t->scratch + thread * 2 * grid.n_groups;
  float *values = t->lost + row * n;
  const float *w = t->w + row * n;
  grid.scale = scratch;
  grid.zero = scratch + grid.n_groups;
  multiply(w, t->scale, n, values);
  const struct llqi_grids row_grids = {
      (size_t)grid.n_groups, (size_t)grid.group_size, grid.scale, grid.zero};
  llqi_observe(&grid.rule, values, &row_grids);
  for (int64_t g = 0; g < grid.n_groups; g++) {
    float *group = values + g * grid.group_size;
    llqi_grid_encode(&grid, g, group, grid.group_size, group);
    llqi_grid_decode(&grid, g, group, grid.group_size, group);
  }
  subtract(values, t->scale, w, t->out != NULL ? t->out[row] : 1, n);
}

static double sum_of_squares(const float *values, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += (double)values[i] * values[i];
  return sum;
}

/* What each candidate loses of some rows' outputs, added to `lost`. */
static void try_chunk(struct llqi_layer_job *job, struct trial *trial,
                      const struct llqi_inputs *inputs, const float *candidates,
                      float *outputs, double *lost) {
  const struct llqi_input_sample *sample = &inputs->fitted;
  const int64_t n = inputs->n;
  for (int c = 0; c < N_CANDIDATES; c++) {
    trial->scale = candidates + c * n;
    llqi_threads_run(job->threads, 0, (uint32_t)trial->n_rows, try_row, trial);
    llqi_matrix_apply(trial->lost, trial->n_rows, n, sample->rows,
                      sample->n_rows, outputs);
    lost[c] +=
        sum_of_squares(outputs, (size_t)(sample->n_rows * trial->n_rows));
  }
}

static int try_linear(struct llqi_layer_job *job, int linear,
                      const float *candidates, double *lost) {
  const llq_weight *from = &job->from->linears[linear];
  const struct llqi_inputs *inputs = &job->inputs[llqi_input_of(linear)];
  const struct llqi_fold fold = llqi_layer_fold(job, linear);
  const size_t n = (size_t)from->n_in;
  const size_t n_threads = (size_t)llqi_threads_count(job->threads);
  float *w = llqi_array((size_t)from->n_out, n * sizeof *w);
  float *scratch = llqi_array(n_threads, 2 * n * sizeof *scratch);
  float *chunk = llqi_array(CHUNK, n * sizeof *chunk);
  float *outputs = llqi_array(LLQI_INPUT_ROWS, CHUNK * sizeof *outputs);
  int status = LLQ_ERROR_MEMORY;
  if (w != NULL && scratch != NULL && chunk != NULL && outputs != NULL) {
    llqi_matrix_load(from, &fold, job->threads, w);
    for (int64_t at = 0; at < from->n_out; at += CHUNK) {
      const int64_t left = from->n_out - at;
      struct trial trial = {.target = &job->choices[linear].target,
                            .from = from,
                            .w = w + at * from->n_in,
                            .out = fold.out != NULL ? fold.out + at : NULL,
                            .lost = chunk,
                            .n_rows = left < CHUNK ? left : CHUNK,
                            .scratch = scratch};
      try_chunk(job, &trial, inputs, candidates, outputs, lost);
    }
    status = LLQ_OK;
  }
  llqi_free(w);
  llqi_free(scratch);
  llqi_free(chunk);
  llqi_free(outputs);
  return status;
}

/* The least loss of all linears together, among the candidates by which none
   of them loses more than without scaling: the first. */
static int best_of(double lost[LLQI_N_LINEARS][N_CANDIDATES]) {
  int best = 0;
  double least = INFINITY;
  for (int c = 0; c < N_CANDIDATES; c++) {
    double sum = 0;
    int worse = 0;
    for (int i = 0; i < LLQI_N_LINEARS; i++) {
      sum += lost[i][c];
      worse |= lost[i][c] > lost[i][0];
    }
    if (!worse && sum < least) {
      least = sum;
      best = c;
    }
  }
  return best;
}

int llqi_awq_search(struct llqi_layer_job *job, enum llqi_input input,
                    const float *sizes, const float *w_sizes, float *scale) {
  const int64_t n = job->inputs[input].n;
  double lost[LLQI_N_LINEARS][N_CANDIDATES] = {{0}};
  float *candidates = llqi_array(N_CANDIDATES, (size_t)n * sizeof *candidates);
  int status = candidates != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (int c = 0; c < N_CANDIDATES && status >= 0; c++) {
    make_candidate(c, sizes, w_sizes, n, candidates + c * n);
    status = llqi_fold_settle(job, input, candidates + c * n);
  }
  for (int i = 0; i < job->n_linears && status >= 0; i++)
    if (llqi_input_of(i) == input)
      status = try_linear(job, i, candidates, lost[i]);
  if (status >= 0)
    memcpy(scale, candidates + best_of(lost) * n, (size_t)n * sizeof *scale);
  llqi_free(candidates);
  return status;
}
