/* SPDX-License-Identifier: Apache-2.0 */
/* Integers of 4 bits, eight a 32-bit word, as in compressed-tensors:
   weight_packed:

     word         0               1                     n_in / 8 - 1
     row 0 | q[0, 0 .. 7]   q[0, 8 .. 15]   ...   q[0, n_in - 8 .. n_in - 1]
     row 1 | q[1, 0 .. 7]   ...

     bits  31..28 27..24 23..20 19..16 15..12 11..8  7..4   3..0
     input   7      6      5      4      3      2     1      0

   from -8 to 7, stored as q + 8. */
#include "base/vector.h"
#include "tensor/dtype.h"
#include "tensor/format.h"

#define A_WORD 8

static size_t row_bytes(const llq_weight *weight) {
  return (size_t)weight->n_in / A_WORD * sizeof(uint32_t);
}

LLQI_VECTOR
static void pack(const llq_weight *weight, const float *codes, int64_t out,
                 void *data) {
  int64_t n_words = weight->n_in / A_WORD;
  uint32_t *row = (uint32_t *)data + out * n_words;
  for (int64_t w = 0; w < n_words; w++) {
    uint32_t word = 0;
    for (int i = 0; i < A_WORD; i++) {
      int32_t q = llqi_f32_to_int(codes[w * A_WORD + i]);
      word |= (uint32_t)(q + 8) << 4 * i;
    }
    row[w] = word;
  }
}

LLQI_VECTOR
static void unpack(const llq_weight *weight, int64_t out, float *codes) {
  int64_t n_words = weight->n_in / A_WORD;
  const uint32_t *row = (const uint32_t *)weight->data + out * n_words;
  for (int64_t w = 0; w < n_words; w++)
    for (int i = 0; i < A_WORD; i++)
      codes[w * A_WORD + i] = (float)((int32_t)(row[w] >> 4 * i & 15) - 8);
}

static float get(const llq_weight *weight, int64_t out, int64_t in) {
  const uint32_t *data = weight->data;
  uint32_t word = data[out * (weight->n_in / A_WORD) + in / A_WORD];
  return (float)((int32_t)(word >> 4 * (in % A_WORD) & 15) - 8);
}

const struct llqi_format llqi_int4 = {-8, 7, row_bytes, pack, unpack, get};
