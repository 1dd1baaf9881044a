/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/grid.h"

#include <math.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/vector.h"
#include "tensor/dtype.h"
#include "tensor/format.h"
#include "tensor/weight.h"

/* Rows whose grids are found together, by one thread. */
#define ROWS 64

struct llqi_grid llqi_grid_header(const struct llqi_quantized *to) {
  const llq_weight *w = &to->weight;
  const struct llqi_format *format = llqi_format_of(w->format);
  const int64_t n_groups = llqi_weight_n_groups(w);
  return (struct llqi_grid){
      .format = w->format,
      .rule = {w->dtype, format->q_min, format->q_max, to->zero != NULL},
      .n_out = w->n_out,
      .n_in = w->n_in,
      .n_groups = n_groups,
      .group_size = w->n_in / n_groups};
}

int llqi_grid_open(struct llqi_grid *grid, const struct llqi_quantized *to) {
  *grid = llqi_grid_header(to);
  const size_t n = (size_t)(grid->n_out * grid->n_groups);
  grid->scale = llqi_array(n, sizeof *grid->scale);
  grid->zero = llqi_array(n, sizeof *grid->zero);
  return grid->scale != NULL && grid->zero != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

void llqi_grid_close(struct llqi_grid *grid) {
  llqi_free(grid->scale);
  llqi_free(grid->zero);
  *grid = (struct llqi_grid){0};
}

LLQI_VECTOR
static void encode_integers(float scale, float zero, float low, float high,
                            const float *w, int64_t n, float *codes) {
  for (int64_t i = 0; i < n; i++) {
    float code = w[i] / scale + zero;
    code = code > low ? code : low;
    code = code < high ? code : high;
    codes[i] = (float)llqi_f32_to_int(code);
  }
}

void llqi_grid_encode(const struct llqi_grid *grid, int64_t at, const float *w,
                      int64_t n, float *codes) {
  const float scale = grid->scale[at];
  if (grid->format == LLQ_WEIGHT_FP8) {
    for (int64_t i = 0; i < n; i++)
      codes[i] = llqi_e4m3_to_f32(llqi_f32_to_e4m3(w[i] / scale));
    return;
  }
  encode_integers(scale, grid->zero[at], grid->rule.q_min, grid->rule.q_max, w,
                  n, codes);
}

LLQI_VECTOR
static void scale_codes(float scale, float zero, const float *codes, int64_t n,
                        float *values) {
  for (int64_t i = 0; i < n; i++)
    values[i] = (codes[i] - zero) * scale;
}

void llqi_grid_decode(const struct llqi_grid *grid, int64_t at,
                      const float *codes, int64_t n, float *values) {
  scale_codes(grid->scale[at], grid->zero[at], codes, n, values);
  llqi_round_f32(grid->rule.dtype, values, (size_t)n);
}

/* ---- Finding grids ---- */

struct search {
  struct llqi_grid *grid;
  const struct llqi_observer *observer;
  const float *w;
  int64_t first_group, n_groups;
  float *scratch; /* [threads, 2 * group_size] */
  int64_t *bad;   /* [items]: a bad group's row, or -1 */
};

LLQI_VECTOR
static void subtract(float *values, const float *w, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    values[i] -= w[i];
}

/* In several sums, so that the order of additions allows SIMD. */
LLQI_VECTOR
static float dot(const float *a, const float *b, int64_t n) {
  float sums[16] = {0}, sum = 0;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int k = 0; k < 16; k++)
      sums[k] += a[i + k] * b[i + k];
  for (; i < n; i++)
    sum += a[i] * b[i];
  for (int k = 0; k < 16; k++)
    sum += sums[k];
  return sum;
}

LLQI_VECTOR
static void multiply(const float *h, const float *x, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++)
    out[i] = 0;
  for (int64_t k = 0; k < n; k++)
    for (int64_t i = 0; i < n; i++)
      out[i] += x[k] * h[k * n + i];
}

/* What a group's grid does to its weights. */
static float error_of(const struct search *s, int64_t at, int64_t group,
                      const float *w, float *values) {
  const struct llqi_grid *grid = s->grid;
  const int64_t n = grid->group_size;
  llqi_grid_encode(grid, at, w, n, values);
  llqi_grid_decode(grid, at, values, n, values);
  subtract(values, w, n);
  if (s->observer->h == NULL)
    return dot(values, values, n);
  multiply(s->observer->h + group * n * n, values, n, values + n);
  return dot(values, values + n, n);
}

/* The grid of one group of a row; 0 if it has none. */
static int find_grid(const struct search *s, int64_t row, int64_t group,
                     float *values) {
  struct llqi_grid *grid = s->grid;
  const int64_t at = row * grid->n_groups + group;
  const float *w = s->w + row * grid->n_in + group * grid->group_size;
  struct llqi_grids one = {1, (size_t)grid->group_size, grid->scale + at,
                           grid->zero + at};
  llqi_ranges(w, &one);
  const float low = *one.zero, high = *one.scale;
  llqi_observe_ranges(&grid->rule, &one);
  if (!isfinite(*one.scale))
    return 0;
  if (s->observer->n_steps < 2)
    return 1;
  float best_error = error_of(s, at, group, w, values);
  float best_scale = *one.scale, best_zero = *one.zero;
  for (int i = 1; i < s->observer->n_steps; i++) {
    const float part = 1 - (float)i * s->observer->step;
    *one.zero = low * part;
    *one.scale = high * part;
    llqi_observe_ranges(&grid->rule, &one);
    const float error = error_of(s, at, group, w, values);
    if (error < best_error) {
      best_error = error;
      best_scale = *one.scale;
      best_zero = *one.zero;
    }
  }
  *one.scale = best_scale;
  *one.zero = best_zero;
  return 1;
}

static void find_grids(void *user, uint32_t item, int thread) {
  const struct search *s = user;
  const struct llqi_grid *grid = s->grid;
  const int64_t group = s->first_group + item % s->n_groups;
  const int64_t first = item / s->n_groups * ROWS;
  s->bad[item] = -1;
  for (int64_t row = first; row < first + ROWS && row < grid->n_out; row++)
    if (!find_grid(s, row, group, s->scratch + thread * 2 * grid->group_size)) {
      s->bad[item] = row;
      return;
    }
}

static int check(const struct search *s, uint32_t n_items) {
  const struct llqi_grid *grid = s->grid;
  for (uint32_t item = 0; item < n_items; item++) {
    if (s->bad[item] < 0)
      continue;
    const int64_t first =
        (s->first_group + item % s->n_groups) * grid->group_size;
    const float *w = s->w + s->bad[item] * grid->n_in;
    int64_t i = first;
    while (i < first + grid->group_size && isfinite(w[i]))
      i++;
    const int is_finite = i == first + grid->group_size;
    return llqi_fail(LLQ_ERROR_FORMAT, "%s at [%lld, %lld]",
                     is_finite     ? "range too wide"
                     : isnan(w[i]) ? "NaN"
                                   : "infinity",
                     (long long)s->bad[item],
                     (long long)(is_finite ? first : i));
  }
  return LLQ_OK;
}

int llqi_grid_observe(struct llqi_grid *grid,
                      const struct llqi_observer *observer, const float *w,
                      int64_t first_group, int64_t n_groups,
                      struct llqi_threads *threads) {
  const size_t n_threads = (size_t)llqi_threads_count(threads);
  const uint32_t n_items =
      (uint32_t)((grid->n_out + ROWS - 1) / ROWS * n_groups);
  struct search s = {grid, observer, w, first_group, n_groups, NULL, NULL};
  s.scratch =
      llqi_array(n_threads, 2 * (size_t)grid->group_size * sizeof(float));
  s.bad = llqi_array(n_items, sizeof *s.bad);
  int status = LLQ_ERROR_MEMORY;
  if (s.scratch != NULL && s.bad != NULL) {
    llqi_threads_run(threads, 0, n_items, find_grids, &s);
    status = check(&s, n_items);
  }
  llqi_free(s.scratch);
  llqi_free(s.bad);
  return status;
}

/* ---- Storing ---- */

void llqi_grid_store(const struct llqi_grid *grid,
                     const struct llqi_quantized *to) {
  const size_t n = (size_t)(grid->n_out * grid->n_groups);
  llqi_from_f32(grid->rule.dtype, grid->scale, n, to->scale);
  for (size_t i = 0; i < n && to->zero != NULL; i++)
    to->zero[i] = (int8_t)grid->zero[i];
}

struct rounding {
  const struct llqi_grid *grid;
  const struct llqi_quantized *to;
  const float *w;
  float *scratch; /* [threads, n_in] */
};

static void round_rows(void *user, uint32_t item, int thread) {
  const struct rounding *r = user;
  const struct llqi_grid *grid = r->grid;
  float *codes = r->scratch + thread * grid->n_in;
  const int64_t first = (int64_t)item * ROWS, width = grid->group_size;
  for (int64_t row = first; row < first + ROWS && row < grid->n_out; row++) {
    for (int64_t g = 0; g < grid->n_groups; g++)
      llqi_grid_encode(grid, row * grid->n_groups + g,
                       r->w + row * grid->n_in + g * width, width,
                       codes + g * width);
    llqi_format_of(grid->format)->pack(&r->to->weight, codes, row, r->to->data);
  }
}

int llqi_grid_round(const struct llqi_grid *grid, const float *w,
                    struct llqi_threads *threads,
                    const struct llqi_quantized *to) {
  const size_t n_threads = (size_t)llqi_threads_count(threads);
  struct rounding r = {grid, to, w, NULL};
  r.scratch = llqi_array(n_threads, (size_t)grid->n_in * sizeof *r.scratch);
  if (r.scratch == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_grid_store(grid, to);
  llqi_threads_run(threads, 0, (uint32_t)((grid->n_out + ROWS - 1) / ROWS),
                   round_rows, &r);
  llqi_free(r.scratch);
  return LLQ_OK;
}
