/* SPDX-License-Identifier: Apache-2.0 */
/* Where inputs run downwards: what GPTQ and AWQ have in common.

   qzeros, of 4 bits: group by group, eight outputs a word:

     word           0                 1
     group 0 | z[0 .. 7, 0]   z[8 .. 15, 0]   ...
     group 1 | z[0 .. 7, 1]   ...

   in GPTQ's order or in AWQ's. Scales have the same shape, unpacked. */
#include "tensor/transposed.h"

#include "tensor/dtype.h"
#include "tensor/weight.h"

const uint8_t llqi_gptq_order[8] = {0, 1, 2, 3, 4, 5, 6, 7};

void llqi_zeros_unpack(int bits, const uint8_t *order, int64_t n_out,
                       int64_t n_groups, const uint32_t *qzeros,
                       uint8_t *zeros) {
  const int a_word = 32 / bits;
  const uint32_t mask = (1u << bits) - 1;
  const int64_t n_words = n_out / a_word;
  for (int64_t g = 0; g < n_groups; g++)
    for (int64_t w = 0; w < n_words; w++)
      for (int i = 0; i < a_word; i++) {
        const int64_t out = w * a_word + order[i];
        zeros[out * n_groups + g] =
            (uint8_t)(qzeros[g * n_words + w] >> bits * i & mask);
      }
}

void llqi_zeros_pack(const llq_weight *weight, const uint8_t *order, int less,
                     int64_t first, int64_t n, uint32_t *qzeros) {
  const int bits = weight->format == LLQ_WEIGHT_INT4 ? 4 : 8;
  const int a_word = 32 / bits, middle = 1 << (bits - 1);
  const int64_t n_groups = llqi_weight_n_groups(weight);
  const int64_t n_words = weight->n_out / a_word;
  for (int64_t g = first; g < first + n; g++)
    for (int64_t w = 0; w < n_words; w++) {
      uint32_t word = 0;
      for (int i = 0; i < a_word; i++) {
        const int64_t at = (w * a_word + order[i]) * n_groups + g;
        const int zero = weight->zero != NULL ? weight->zero[at] : 0;
        word |= (uint32_t)(middle + zero - less) << bits * i;
      }
      qzeros[(g - first) * n_words + w] = word;
    }
}

void llqi_scales_transpose(const llq_weight *weight, int64_t first, int64_t n,
                           int dtype, void *scales) {
  const int64_t n_groups = llqi_weight_n_groups(weight);
  const size_t size = llqi_dtype_size(dtype);
  for (int64_t g = 0; g < n; g++)
    for (int64_t o = 0; o < weight->n_out; o++) {
      const float scale = llqi_load_f32(weight->dtype, weight->scale,
                                        (size_t)(o * n_groups + first + g));
      llqi_from_f32(dtype, &scale, 1,
                    (char *)scales + (size_t)(g * weight->n_out + o) * size);
    }
}
