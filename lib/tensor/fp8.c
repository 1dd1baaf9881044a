/* SPDX-License-Identifier: Apache-2.0 */
/* OCP FP8 E4M3 numbers, one a byte:

     row 0 | q[0, 0] q[0, 1] ...          q[0, n_in - 1]
     row 1 | q[1, 0] ...

     bit  7      6 5 4 3    2 1 0
          sign   exponent   mantissa

   (-1)^sign * 1.mantissa * 2^(exponent - 7), or 0.mantissa * 2^-6 where the
   exponent is 0; all ones is NaN. From -448 to 448. */
#include "tensor/dtype.h"
#include "tensor/format.h"

static size_t row_bytes(const llq_weight *weight) {
  return (size_t)weight->n_in;
}

static void pack(const llq_weight *weight, const float *codes, int64_t out,
                 void *data) {
  uint8_t *row = (uint8_t *)data + out * weight->n_in;
  llqi_from_f32(LLQ_F8_E4M3, codes, (size_t)weight->n_in, row);
}

static void unpack(const llq_weight *weight, int64_t out, float *codes) {
  const uint8_t *row = (const uint8_t *)weight->data + out * weight->n_in;
  llqi_to_f32(LLQ_F8_E4M3, row, (size_t)weight->n_in, codes);
}

static float get(const llq_weight *weight, int64_t out, int64_t in) {
  const uint8_t *data = weight->data;
  return llqi_e4m3_to_f32(data[out * weight->n_in + in]);
}

const struct llqi_format llqi_fp8 = {-448, 448, row_bytes, pack, unpack, get};
