/* SPDX-License-Identifier: Apache-2.0 */
/* GPTQ's qweight: consecutive inputs of one output share a word, the first in
   the lowest bits. Of 4 bits:

     word             0                 1
     row 0 | q[0, 0 .. 7]      q[1, 0 .. 7]     ...
     row 1 | q[0, 8 .. 15]     q[1, 8 .. 15]    ...

     bits  31..28 27..24 23..20 19..16 15..12 11..8  7..4   3..0
     input   7      6      5      4      3      2     1      0

   These are the words of int4.c, transposed; and those of int8.c, but for the
   codes' sign. */
#include "tensor/transposed.h"

/* Words of a cache line: so many rows are written side by side. */
#define TILE 16

/* to[c, r] = from[r, first + c] ^ flip for c < n. */
static void transpose(const uint32_t *from, int64_t n_rows, int64_t n_cols,
                      int64_t first, int64_t n, uint32_t flip, uint32_t *to) {
  for (int64_t tile = 0; tile < n; tile += TILE) {
    const int64_t end = tile + TILE < n ? tile + TILE : n;
    for (int64_t r = 0; r < n_rows; r++)
      for (int64_t c = tile; c < end; c++)
        to[c * n_rows + r] = from[r * n_cols + first + c] ^ flip;
  }
}

static uint32_t flip_of(int bits) {
  return bits == 8 ? 0x80808080 : 0;
}

void llqi_gptq_unpack(int bits, int64_t n_out, int64_t n_in,
                      const uint32_t *qweight, void *codes) {
  transpose(qweight, n_in * bits / 32, n_out, 0, n_out, flip_of(bits), codes);
}

void llqi_gptq_pack(const llq_weight *weight, int64_t first, int64_t n,
                    uint32_t *qweight) {
  const int bits = weight->format == LLQ_WEIGHT_INT4 ? 4 : 8;
  transpose(weight->data, weight->n_out, weight->n_in * bits / 32, first, n,
            flip_of(bits), qweight);
}
