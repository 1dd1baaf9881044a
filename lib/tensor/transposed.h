/* SPDX-License-Identifier: Apache-2.0 */
/* The words of GPTQ's and AWQ's checkpoints, which store a weight's transpose,
   to and from the layouts of llq_weight. Codes and zero points are unsigned in
   their words: 8, or 128 of 8 bits, stands for 0. */
#ifndef LLQI_TENSOR_TRANSPOSED_H
#define LLQI_TENSOR_TRANSPOSED_H

#include <llq/backend.h>

/* Which of a run of outputs each part of a word has, lowest bits first. */
extern const uint8_t llqi_gptq_order[8], llqi_awq_order[8];

/* GPTQ's qweight of 4 or 8 bits, [n_in / (32 / bits), n_out], to the codes of
   an int4 or int8 weight; and rows `first` to first + n - 1 of it from them. */
void llqi_gptq_unpack(int bits, int64_t n_out, int64_t n_in,
                      const uint32_t *qweight, void *codes);
void llqi_gptq_pack(const llq_weight *weight, int64_t first, int64_t n,
                    uint32_t *qweight);

/* AWQ's qweight, [n_in, n_out / 8], to the codes of an int4 weight; and rows of
   it from them: `first` and n are multiples of 8. */
void llqi_awq_unpack(int64_t n_out, int64_t n_in, const uint32_t *qweight,
                     uint32_t *codes);
void llqi_awq_pack(const llq_weight *weight, int64_t first, int64_t n,
                   uint32_t *qweight);

/* qzeros of either, [n_groups, n_out / (32 / bits)], to a byte for each, as
   stored: [n_out, n_groups]. */
void llqi_zeros_unpack(int bits, const uint8_t *order, int64_t n_out,
                       int64_t n_groups, const uint32_t *qzeros,
                       uint8_t *zeros);

/* Rows of qzeros, for an int4 or int8 weight; `less` is taken off each zero
   point: 1 in GPTQ's first version. */
void llqi_zeros_pack(const llq_weight *weight, const uint8_t *order, int less,
                     int64_t first, int64_t n, uint32_t *qzeros);

/* Groups `first` to first + n - 1 of a weight's scales for all outputs: [n,
   n_out], rounded to a float type. */
void llqi_scales_transpose(const llq_weight *weight, int64_t first, int64_t n,
                           int dtype, void *scales);

#endif
