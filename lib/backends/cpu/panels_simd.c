/* SPDX-License-Identifier: Apache-2.0 */
/* y = x W^T for int8 weights and inputs, over panels of 16 outputs (packed.h).
   Sums are exact integers: w + 128 times x, less 128 times the sum of x. */
#include "backends/cpu/kernels_simd.h"
#include "tensor/dtype.h"

#define PANELS TILE_OUTPUTS

INLINE words16 broadcast4(const int8_t *x) {
  int32_t four;
  memcpy(&four, x, sizeof four);
  return words_set(four);
}

/* A panel's sums for one row, as they go out. */
INLINE void store_panel(const struct llqi_product *p, int64_t panel,
                        int64_t row, words16 sum) {
  int64_t output = panel * LLQI_PANEL_OUTPUTS;
  words16 exact = words_sub(sum, words_set(128 * p->x_sum[row]));
  v16 y = v16_mul(v16_of_words(exact), v16_set(p->x_scale[row]));
  y = v16_mul(y, v16_load(p->weight->scale + output));
  size_t size = p->out->dtype == LLQ_F32 ? 4 : 2;
  char *to = (char *)p->out->data + (size_t)(row * p->n_out) * size;
  v16_row_store(p->out->dtype, to, output, p->n_out, y);
}

INLINE void tile(int n_panels, int n_rows, const struct llqi_product *p,
                 int64_t panel, int64_t row) {
  int64_t n_in = p->weight->n_in;
  const char *w = p->weight->data + (size_t)panel * p->weight->stride;
  const int8_t *x = p->x_int8 + row * n_in;
  words16 sum[PANELS][TILE_ROWS];
#pragma GCC unroll 8
  for (int i = 0; i < n_panels; i++)
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
      sum[i][r] = words_set(0);
  for (int64_t k = 0; k < n_in; k += 4) {
    words16 weights[PANELS];
#pragma GCC unroll 8
    for (int i = 0; i < n_panels; i++)
      weights[i] = words_load(w + (size_t)i * p->weight->stride +
                              k * LLQI_PANEL_OUTPUTS);
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) {
      words16 four = broadcast4(x + r * n_in + k);
#pragma GCC unroll 8
      for (int i = 0; i < n_panels; i++)
        sum[i][r] = words_dot(sum[i][r], weights[i], four);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < n_panels; i++)
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++)
      store_panel(p, panel + i, row + r, sum[i][r]);
}

typedef void (*tile_fn)(const struct llqi_product *p, int64_t panel,
                        int64_t row);

#define TILE(n_panels, n_rows)                                                 \
  static void tile_##n_panels##_##n_rows(const struct llqi_product *p,         \
                                         int64_t panel, int64_t row) {         \
    tile(n_panels, n_rows, p, panel, row);                                     \
  }

TILE(1, 1)
#ifdef __AVX512F__
TILE(4, 1)
TILE(4, 2)
TILE(4, 3)
TILE(4, 4)
TILE(4, 5) TILE(4, 6) static const tile_fn tiles[1 + TILE_ROWS] = {
    tile_1_1, tile_4_1, tile_4_2, tile_4_3, tile_4_4, tile_4_5, tile_4_6};
#else
TILE(2, 1)
TILE(2, 2)
TILE(2, 3)
static const tile_fn tiles[1 + TILE_ROWS] = {tile_1_1, tile_2_1, tile_2_2,
                                             tile_2_3};
#endif

/* first is a panel's first output. */
void ARCH(multiply_panels)(const struct llqi_product *p, int64_t first,
                           int64_t end) {
  int64_t last = (end + LLQI_PANEL_OUTPUTS - 1) / LLQI_PANEL_OUTPUTS;
  for (int64_t row = 0; row < p->n_rows; row += TILE_ROWS) {
    int64_t left = p->n_rows - row;
    int64_t n_rows = left < TILE_ROWS ? left : TILE_ROWS;
    int64_t panel = first / LLQI_PANEL_OUTPUTS;
    for (; panel + PANELS <= last; panel += PANELS)
      tiles[n_rows](p, panel, row);
    for (; panel < last; panel++)
      for (int64_t r = 0; r < n_rows; r++)
        tiles[0](p, panel, row + r);
  }
}
