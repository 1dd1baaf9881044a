/* SPDX-License-Identifier: Apache-2.0 */
/* y = x W^T over the rows of a packed weight (packed.h), a tile of a few
   outputs by a few rows of x at a time. One output of one row is always the
   same sum: lane l adds up inputs l, l + 16, l + 32, ..., one after the other,
   and v16_sum() adds the lanes, whatever the tile, the call or the thread. */
#include "backends/cpu/kernels_simd.h"
#include "tensor/dtype.h"

/* Where a tile's weights lie, and its rows of x. */
struct operands {
  const char *w[TILE_OUTPUTS];
  const float *x[TILE_ROWS];
};

typedef v16 sums[TILE_OUTPUTS][TILE_ROWS];

/* Asks for what the next tile reads where this one reads `at`: rows are too
   short for the hardware to see that they follow each other. */
INLINE void prefetch_next(const struct llqi_product *p, const char *at) {
  _mm_prefetch(at + TILE_OUTPUTS * p->weight->stride, _MM_HINT_T1);
}

INLINE int64_t bytes_of(int kind) {
  return kind == LLQI_ROWS_F32 ? 4 : kind <= LLQI_ROWS_BF16 ? 2 : 1;
}

INLINE struct operands operands_at(const struct llqi_product *p, int n_outputs,
                                   int n_rows, int64_t output, int64_t row) {
  struct operands at;
  for (int o = 0; o < n_outputs; o++)
    at.w[o] = p->weight->data + (size_t)(output + o) * p->weight->stride;
  for (int r = 0; r < n_rows; r++)
    at.x[r] = p->x + (row + r) * p->weight->n_in;
  return at;
}

/* Sixteen weights of a row as the products see them. */
INLINE v16 load_weights(int kind, const char *row, int64_t k, v16 scale,
                        int dtype) {
  switch (kind) {
  case LLQI_ROWS_F32:
    return v16_load(row + 4 * k);
  case LLQI_ROWS_F16:
    return v16_load_f16(row + 2 * k);
  case LLQI_ROWS_BF16:
    return v16_load_bf16(row + 2 * k);
  case LLQI_ROWS_INT8:
    return v16_round_type(dtype, v16_mul(v16_load_i8(row + k), scale));
  default:
    return v16_load_e4m3(row + k);
  }
}

INLINE void multiply(int kind, int n_outputs, int n_rows,
                     const struct llqi_product *p, const struct operands *at,
                     const v16 *scale, int dtype, sums sum) {
  for (int64_t k = 0; k < p->weight->n_in; k += LANES) {
    v16 w[TILE_OUTPUTS];
#pragma GCC unroll 8
    for (int o = 0; o < n_outputs; o++) {
      prefetch_next(p, at->w[o] + k * bytes_of(kind));
      w[o] = load_weights(kind, at->w[o], k, scale[o], dtype);
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) {
      v16 x = v16_load(at->x[r] + k);
#pragma GCC unroll 8
      for (int o = 0; o < n_outputs; o++)
        sum[o][r] = v16_fma(w[o], x, sum[o][r]);
    }
  }
}

/* All sixteen values that a nibble can stand for in a group. */
INLINE v16 int4_table(int is_bf16, const struct llqi_product *p,
                      int64_t group) {
  float zero = p->weight->zero != NULL ? p->weight->zero[group] : 8;
  v16 q = v16_sub(v16_iota(), v16_set(zero));
  v16 w = v16_mul(q, v16_set(p->weight->scale[group]));
  return is_bf16 ? v16_table_bf16(w) : v16_round_type(p->dtype, w);
}

INLINE void int4_lookup(int is_bf16, v16 table, words16 words, int j,
                        v16 out[2]) {
  if (is_bf16) {
    v16_lookup_bf16(table, words, j, out);
  } else {
    out[0] = v16_lookup(table, words, j);
    out[1] = v16_lookup(table, words, j + 4);
  }
}

/* Pairs of sixteens first .. end - 1 of the block at input k. */
INLINE void multiply_int4(int is_bf16, int n_outputs, int n_rows, int first,
                          int end, const struct operands *at, int64_t k,
                          const words16 *words, const v16 *table, sums sum) {
#pragma GCC unroll 4
  for (int j = first; j < end; j++) {
    v16 w[TILE_OUTPUTS][2];
#pragma GCC unroll 8
    for (int o = 0; o < n_outputs; o++)
      int4_lookup(is_bf16, table[o], words[o], j, w[o]);
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++)
#pragma GCC unroll 8
      for (int r = 0; r < n_rows; r++) {
        v16 x = v16_load(at->x[r] + k + LANES * (2 * j + half));
#pragma GCC unroll 8
        for (int o = 0; o < n_outputs; o++)
          sum[o][r] = v16_fma(w[o][half], x, sum[o][r]);
      }
  }
}

/* per_table: pairs of sixteens that share a table within a block, 4, 2 or 1. */
INLINE void int4_blocks(int is_bf16, int n_outputs, int n_rows, int per_table,
                        const struct llqi_product *p, const struct operands *at,
                        int64_t output, sums sum) {
  const struct llqi_cpu_packed *weight = p->weight;
  int64_t n_blocks = weight->n_in / LLQI_INT4_BLOCK;
  int64_t blocks_per_group =
      n_blocks > weight->n_groups ? n_blocks / weight->n_groups : 1;
  int64_t group = output * weight->n_groups, left = 0;
  v16 table[TILE_OUTPUTS];
  for (int64_t b = 0; b < n_blocks; b++) {
    words16 words[TILE_OUTPUTS];
#pragma GCC unroll 8
    for (int o = 0; o < n_outputs; o++) {
      prefetch_next(p, at->w[o] + 64 * b);
      words[o] = words_load(at->w[o] + 64 * b);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j += per_table) {
      if (left == 0 || per_table < 4) {
#pragma GCC unroll 8
        for (int o = 0; o < n_outputs; o++)
          table[o] = int4_table(is_bf16, p, group + o * weight->n_groups);
        left = blocks_per_group;
        group++;
      }
      multiply_int4(is_bf16, n_outputs, n_rows, j, j + per_table, at,
                    b * LLQI_INT4_BLOCK, words, table, sum);
    }
    left--;
  }
}

INLINE void int4_groups(int is_bf16, int n_outputs, int n_rows,
                        const struct llqi_product *p, const struct operands *at,
                        int64_t output, sums sum) {
  int64_t size = p->weight->n_groups > 1 ? p->weight->group_size : 0;
  if (size == 32)
    int4_blocks(is_bf16, n_outputs, n_rows, 1, p, at, output, sum);
  else if (size == 64)
    int4_blocks(is_bf16, n_outputs, n_rows, 2, p, at, output, sum);
  else
    int4_blocks(is_bf16, n_outputs, n_rows, 4, p, at, output, sum);
}

INLINE void store_sum(const struct llqi_product *p, int64_t row, int64_t output,
                      float sum) {
  int64_t at = row * p->n_out + output;
  if (p->x_scale != NULL)
    sum = sum * p->x_scale[row] * p->weight->scale[output];
  if (p->out->dtype == LLQ_F32)
    ((float *)p->out->data)[at] = sum;
  else
    ((uint16_t *)p->out->data)[at] = llqi_f32_to_bf16(sum);
}

INLINE void clear(int n_outputs, int n_rows, sums sum) {
#pragma GCC unroll 8
  for (int o = 0; o < n_outputs; o++)
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
      sum[o][r] = v16_zero();
}

INLINE void store(const struct llqi_product *p, int n_outputs, int n_rows,
                  int64_t output, int64_t row, sums sum) {
#pragma GCC unroll 8
  for (int o = 0; o < n_outputs; o++)
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
      store_sum(p, row + r, output + o, v16_sum(sum[o][r]));
}

INLINE void tile(int kind, int n_outputs, int n_rows,
                 const struct llqi_product *p, int64_t output, int64_t row) {
  sums sum;
  struct operands at = operands_at(p, n_outputs, n_rows, output, row);
  clear(n_outputs, n_rows, sum);
  if (kind == LLQI_ROWS_INT4) {
    if (p->dtype == LLQ_BF16)
      int4_groups(1, n_outputs, n_rows, p, &at, output, sum);
    else
      int4_groups(0, n_outputs, n_rows, p, &at, output, sum);
  } else {
    v16 scale[TILE_OUTPUTS];
    for (int o = 0; o < n_outputs; o++)
      scale[o] =
          v16_set(kind == LLQI_ROWS_INT8 ? p->weight->scale[output + o] : 1);
    if (p->dtype == LLQ_BF16)
      multiply(kind, n_outputs, n_rows, p, &at, scale, LLQ_BF16, sum);
    else
      multiply(kind, n_outputs, n_rows, p, &at, scale, p->dtype, sum);
  }
  store(p, n_outputs, n_rows, output, row, sum);
}

typedef void (*tile_fn)(const struct llqi_product *p, int64_t output,
                        int64_t row);

#define TILE(kind, n_outputs, n_rows)                                          \
  static void tile_##kind##_##n_outputs##_##n_rows(                            \
      const struct llqi_product *p, int64_t output, int64_t row) {             \
    tile(LLQI_ROWS_##kind, n_outputs, n_rows, p, output, row);                 \
  }

#ifdef __AVX512F__
#define TILES(kind)                                                            \
  TILE(kind, 1, 1)                                                             \
  TILE(kind, 4, 1)                                                             \
  TILE(kind, 4, 2)                                                             \
  TILE(kind, 4, 3) TILE(kind, 4, 4) TILE(kind, 4, 5) TILE(kind, 4, 6)
#define TILE_NAMES(kind)                                                       \
  {                                                                            \
    tile_##kind##_1_1, tile_##kind##_4_1, tile_##kind##_4_2,                   \
        tile_##kind##_4_3, tile_##kind##_4_4, tile_##kind##_4_5,               \
        tile_##kind##_4_6                                                      \
  }
#else
#define TILES(kind)                                                            \
  TILE(kind, 1, 1) TILE(kind, 2, 1) TILE(kind, 2, 2) TILE(kind, 2, 3)
#define TILE_NAMES(kind)                                                       \
  { tile_##kind##_1_1, tile_##kind##_2_1, tile_##kind##_2_2, tile_##kind##_2_3 }
#endif

TILES(F32)
TILES(F16)
TILES(BF16)
TILES(INT8)
TILES(E4M3)
TILES(INT4)

/* Of one output and one row; then of TILE_OUTPUTS by 1, 2, ... rows. */
static const tile_fn tiles[LLQI_N_ROW_KINDS][1 + TILE_ROWS] = {
    [LLQI_ROWS_F32] = TILE_NAMES(F32),   [LLQI_ROWS_F16] = TILE_NAMES(F16),
    [LLQI_ROWS_BF16] = TILE_NAMES(BF16), [LLQI_ROWS_INT8] = TILE_NAMES(INT8),
    [LLQI_ROWS_E4M3] = TILE_NAMES(E4M3), [LLQI_ROWS_INT4] = TILE_NAMES(INT4),
};

void ARCH(multiply_rows)(const struct llqi_product *p, int64_t first,
                         int64_t end) {
  const tile_fn *tile_of = tiles[p->weight->kind];
  for (int64_t row = 0; row < p->n_rows; row += TILE_ROWS) {
    int64_t left = p->n_rows - row;
    int64_t n_rows = left < TILE_ROWS ? left : TILE_ROWS;
    int64_t output = first;
    for (; output + TILE_OUTPUTS <= end; output += TILE_OUTPUTS)
      tile_of[n_rows](p, output, row);
    for (; output < end; output++)
      for (int64_t r = 0; r < n_rows; r++)
        tile_of[0](p, output, row + r);
  }
}
