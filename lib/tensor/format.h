/* SPDX-License-Identifier: Apache-2.0 */
/* What each packed format of a weight defines: one file a format. A code is
   what is stored for a weight, as a float: an integer, or an E4M3 value. */
#ifndef LLQI_TENSOR_FORMAT_H
#define LLQI_TENSOR_FORMAT_H

#include <llq/backend.h>

#include <stddef.h>

struct llqi_format {
  float q_min, q_max; /* the codes' range; 0, 0 if it has no scales */

  /* Bytes of one row of codes. */
  size_t (*row_bytes)(const llq_weight *weight);

  /* Rounds n_in codes within the range to the format's, ties to even, and
     packs them as row `out` of `data`, which has the weight's layout. */
  void (*pack)(const llq_weight *weight, const float *codes, int64_t out,
               void *data);

  /* Row `out`; and one code of it. */
  void (*unpack)(const llq_weight *weight, int64_t out, float *codes);
  float (*get)(const llq_weight *weight, int64_t out, int64_t in);
};

extern const struct llqi_format llqi_dense, llqi_int4, llqi_int8, llqi_fp8;

/* The format of enum llq_weight_format; NULL for what is none. */
const struct llqi_format *llqi_format_of(int format);

#endif
