/* SPDX-License-Identifier: Apache-2.0 */
/* What is common to all packed formats of a linear's weight (llq_weight of
   llq/backend.h). Each format's own file has its layout, pack and get. */
#ifndef LLQI_TENSOR_WEIGHT_H
#define LLQI_TENSOR_WEIGHT_H

#include <llq/backend.h>

#include <stddef.h>

/* Bytes of the parts of a weight; 0 for parts that it does not have. */
size_t llqi_weight_data_bytes(const llq_weight *weight);
size_t llqi_weight_scale_bytes(const llq_weight *weight);
size_t llqi_weight_zero_bytes(const llq_weight *weight); /* int8 in memory */
size_t llqi_weight_bytes(const llq_weight *weight);      /* as stored on disk */

/* Groups along the input: n_in / group_size; 1 if per channel. */
int64_t llqi_weight_n_groups(const llq_weight *weight);

/* Row `out` as floats: for quantized formats (q - zero) * scale, rounded to
   the scale's type, which is what compressed-tensors defines. */
void llqi_weight_row(const llq_weight *weight, int64_t out, float *values);

/* The scheme's name: "bf16" for dense of any type, "w8a8-fp", ... */
const char *llqi_weight_scheme(const llq_weight *weight);

const char *llqi_scheme_name(int format, int activation);

/* The format, activation and bits of a scheme's name. */
int llqi_scheme_find(const char *scheme, int *format, int *activation);

#endif
