/* SPDX-License-Identifier: Apache-2.0 */
/* Integers of 8 bits, one a byte:

     row 0 | q[0, 0] q[0, 1] ...          q[0, n_in - 1]
     row 1 | q[1, 0] ...

   from -128 to 127, in two's complement. */
#include "base/vector.h"
#include "tensor/dtype.h"
#include "tensor/format.h"

static size_t row_bytes(const llq_weight *weight) {
  return (size_t)weight->n_in;
}

LLQI_VECTOR
static void pack(const llq_weight *weight, const float *codes, int64_t out,
                 void *data) {
  int64_t n = weight->n_in;
  int8_t *row = (int8_t *)data + out * n;
  for (int64_t i = 0; i < n; i++)
    row[i] = (int8_t)llqi_f32_to_int(codes[i]);
}

LLQI_VECTOR
static void unpack(const llq_weight *weight, int64_t out, float *codes) {
  int64_t n = weight->n_in;
  const int8_t *row = (const int8_t *)weight->data + out * n;
  for (int64_t i = 0; i < n; i++)
    codes[i] = row[i];
}

static float get(const llq_weight *weight, int64_t out, int64_t in) {
  return ((const int8_t *)weight->data)[out * weight->n_in + in];
}

const struct llqi_format llqi_int8 = {-128, 127, row_bytes, pack, unpack, get};
