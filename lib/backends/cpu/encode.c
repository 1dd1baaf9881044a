/* SPDX-License-Identifier: Apache-2.0 */
/* GPTQ within a block of columns. */
#include "backends/cpu/cpu.h"
#include "base/status.h"
#include "base/vector.h"
#include "tensor/dtype.h"
#include "tensor/format.h"

/* Rows that are worked on together, one a lane; and columns that fit. */
#define LANES 16
#define WIDTH_MAX 1024

struct block {
  const llq_encoding *encoding;
  const llq_view *factor;
  llq_view *w, *errors;
  float q_min, q_max;
};

/* A block of LANES rows, column by column. */
struct tile {
  float w[WIDTH_MAX][LANES];
  float errors[WIDTH_MAX][LANES];
};

/* codes = the nearest to w / scale + zero; values = what they stand for. */
LLQI_VECTOR
static void round_integers(const struct block *block, const float *w,
                           const float *scale, const float *zero, float *codes,
                           float *values) {
  const float low = block->q_min, high = block->q_max;
  for (int r = 0; r < LANES; r++) {
    float code = w[r] / scale[r] + zero[r];
    code = code > low ? code : low;
    code = code < high ? code : high;
    codes[r] = (float)llqi_f32_to_int(code);
    values[r] = (codes[r] - zero[r]) * scale[r];
  }
}

static void round_e4m3(const float *w, const float *scale, float *codes,
                       float *values) {
  for (int r = 0; r < LANES; r++) {
    codes[r] = llqi_e4m3_to_f32(llqi_f32_to_e4m3(w[r] / scale[r]));
    values[r] = codes[r] * scale[r];
  }
}

/* The columns after one of the block, whose errors are given. */
LLQI_VECTOR
static void spread(float (*w)[LANES], const float *errors, const float *factor,
                   int64_t n) {
  for (int64_t j = 0; j < n; j++)
    for (int r = 0; r < LANES; r++)
      w[j][r] -= errors[r] * factor[j];
}

/* The grid of a column in each of n rows from `first` on. Lanes without a row
   have one that is harmless. */
static void load_grid(const struct block *block, int64_t first, int64_t n,
                      int32_t group, float *scale, float *zero) {
  const int64_t n_groups = block->encoding->scale->n_cols;
  const float *scales = block->encoding->scale->data;
  const float *zeros = block->encoding->zero->data;
  for (int64_t r = 0; r < LANES; r++) {
    const int64_t at = (first + r) * n_groups + group;
    scale[r] = r < n ? scales[at] : 1;
    zero[r] = r < n ? zeros[at] : 0;
  }
}

static void encode_column(const struct block *block, struct tile *tile,
                          int64_t i, const float *scale, const float *zero) {
  const llq_encoding *encoding = block->encoding;
  const int64_t n_in = block->w->n_cols, column = encoding->first + i;
  const float *factor =
      (const float *)block->factor->data + column * n_in + column;
  float codes[LANES], values[LANES];
  if (encoding->format == LLQ_WEIGHT_FP8)
    round_e4m3(tile->w[i], scale, codes, values);
  else
    round_integers(block, tile->w[i], scale, zero, codes, values);
  llqi_round_f32(encoding->dtype, values, LANES);
  for (int r = 0; r < LANES; r++) {
    tile->errors[i][r] = (tile->w[i][r] - values[r]) / factor[0];
    tile->w[i][r] = codes[r];
  }
  spread(tile->w + i + 1, tile->errors[i], factor + 1, encoding->n - i - 1);
}

/* Rows of the matrix to lanes of the tile, and back. */
static void load(const struct block *block, int64_t first, int64_t n,
                 struct tile *tile) {
  const llq_encoding *e = block->encoding;
  for (int64_t r = 0; r < LANES; r++) {
    const float *row = (const float *)block->w->data +
                       (first + r) * block->w->n_cols + e->first;
    for (int64_t i = 0; i < e->n; i++)
      tile->w[i][r] = r < n ? row[i] : 0;
  }
}

static void store(const struct block *block, int64_t first, int64_t n,
                  const struct tile *tile) {
  const llq_encoding *e = block->encoding;
  for (int64_t r = 0; r < n; r++) {
    float *row = (float *)block->w->data + (first + r) * block->w->n_cols;
    float *errors = (float *)block->errors->data + (first + r) * e->n;
    for (int64_t i = 0; i < e->n; i++) {
      row[e->first + i] = tile->w[i][r];
      errors[i] = tile->errors[i][r];
    }
  }
}

static void encode_rows(void *user, uint32_t item, int thread) {
  const struct block *block = user;
  const llq_encoding *encoding = block->encoding;
  const int64_t first = (int64_t)item * LANES;
  const int64_t left = block->w->n_rows - first;
  const int64_t n = left < LANES ? left : LANES;
  struct tile tile;
  float scale[LANES], zero[LANES];
  load(block, first, n, &tile);
  for (int64_t i = 0; i < encoding->n; i++) {
    if (i == 0 || encoding->groups[i] != encoding->groups[i - 1])
      load_grid(block, first, n, encoding->groups[i], scale, zero);
    encode_column(block, &tile, i, scale, zero);
  }
  store(block, first, n, &tile);
}

int llqi_cpu_encode(void *self, const llq_encoding *encoding,
                    const llq_view *factor, llq_view *w, llq_view *errors) {
  struct llqi_cpu *cpu = self;
  const struct llqi_format *format = llqi_format_of(encoding->format);
  LLQ_REQUIRE(encoding->n <= WIDTH_MAX, "a block of %lld columns, at most %d",
              (long long)encoding->n, WIDTH_MAX);
  LLQ_REQUIRE(format != NULL && format->q_max > 0, "encode: format %d",
              encoding->format);
  struct block block = {encoding, factor,        w,
                        errors,   format->q_min, format->q_max};
  const uint32_t n_items = (uint32_t)((w->n_rows + LANES - 1) / LANES);
  llqi_threads_run(cpu->threads, 0, n_items, encode_rows, &block);
  return LLQ_OK;
}
