/* SPDX-License-Identifier: Apache-2.0 */
/* AWQ's qweight (its "GEMM" version): eight outputs of one input share a word,

     word           0                1
     row 0 | q[0 .. 7, 0]     q[8 .. 15, 0]    ...
     row 1 | q[0 .. 7, 1]     ...

   in an order that suits its kernel:

     bits  31..28 27..24 23..20 19..16 15..12 11..8  7..4   3..0
     output  7      5      3      1      6      4     2      0

     0 1 2 3 4 5 6 7  ->  0x75316420 */
#include "tensor/transposed.h"

#define A_WORD 8
#define TILE 16 /* words of a cache line */

const uint8_t llqi_awq_order[8] = {0, 2, 4, 6, 1, 3, 5, 7};

/* Nibble k of to[i] is nibble i of from[k]. */
static void transpose(const uint32_t from[A_WORD], uint32_t to[A_WORD]) {
  for (int i = 0; i < A_WORD; i++) {
    to[i] = 0;
    for (int k = 0; k < A_WORD; k++)
      to[i] |= (from[k] >> 4 * i & 15) << 4 * k;
  }
}

/* Eight inputs by eight outputs: columns to rows. `row` counts in eights. */
static void unpack_block(const uint32_t *qweight, int64_t n_words,
                         int64_t n_row_words, int64_t row, int64_t word,
                         uint32_t *codes) {
  uint32_t columns[A_WORD], rows[A_WORD];
  for (int k = 0; k < A_WORD; k++)
    columns[k] = qweight[(row * A_WORD + k) * n_words + word];
  transpose(columns, rows);
  for (int i = 0; i < A_WORD; i++)
    codes[(word * A_WORD + llqi_awq_order[i]) * n_row_words + row] = rows[i];
}

void llqi_awq_unpack(int64_t n_out, int64_t n_in, const uint32_t *qweight,
                     uint32_t *codes) {
  const int64_t n_words = n_out / A_WORD, n_row_words = n_in / A_WORD;
  for (int64_t tile = 0; tile < n_row_words; tile += TILE)
    for (int64_t word = 0; word < n_words; word++)
      for (int64_t row = tile; row < n_row_words && row < tile + TILE; row++)
        unpack_block(qweight, n_words, n_row_words, row, word, codes);
}

void llqi_awq_pack(const llq_weight *weight, int64_t first, int64_t n,
                   uint32_t *qweight) {
  const uint32_t *codes = weight->data;
  const int64_t n_words = weight->n_out / A_WORD;
  const int64_t n_row_words = weight->n_in / A_WORD;
  uint32_t rows[A_WORD], columns[A_WORD];
  for (int64_t word = 0; word < n_words; word++)
    for (int64_t row = 0; row < n / A_WORD; row++) {
      for (int i = 0; i < A_WORD; i++)
        rows[i] = codes[(word * A_WORD + llqi_awq_order[i]) * n_row_words +
                        first / A_WORD + row];
      transpose(rows, columns);
      for (int k = 0; k < A_WORD; k++)
        qweight[(row * A_WORD + k) * n_words + word] = columns[k];
    }
}
