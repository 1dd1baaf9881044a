/* SPDX-License-Identifier: Apache-2.0 */
/* Plain float weights:

     row 0 | w[0, 0] w[0, 1] ...          w[0, n_in - 1]
     row 1 | w[1, 0] ...

   each of the weight's dtype, without gaps. */
#include "tensor/dtype.h"
#include "tensor/format.h"

static size_t row_bytes(const llq_weight *weight) {
  return (size_t)weight->n_in * llqi_dtype_size(weight->dtype);
}

static void pack(const llq_weight *weight, const float *codes, int64_t out,
                 void *data) {
  char *row = (char *)data + (size_t)out * row_bytes(weight);
  llqi_from_f32(weight->dtype, codes, (size_t)weight->n_in, row);
}

static void unpack(const llq_weight *weight, int64_t out, float *codes) {
  const char *row =
      (const char *)weight->data + (size_t)out * row_bytes(weight);
  llqi_to_f32(weight->dtype, row, (size_t)weight->n_in, codes);
}

static float get(const llq_weight *weight, int64_t out, int64_t in) {
  return llqi_load_f32(weight->dtype, weight->data,
                       (size_t)(out * weight->n_in + in));
}

const struct llqi_format llqi_dense = {0, 0, row_bytes, pack, unpack, get};
