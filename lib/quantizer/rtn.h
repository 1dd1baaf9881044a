/* SPDX-License-Identifier: Apache-2.0 */
/* Round to nearest: every weight by itself, no calibration. */
#ifndef LLQI_QUANTIZER_RTN_H
#define LLQI_QUANTIZER_RTN_H

#include <llq/backend.h>

#include "base/threads.h"

/* A weight to be filled in: `weight` says what is wanted and points to the
   same memory. */
struct llqi_quantized {
  llq_weight weight;
  void *data, *scale;
  int8_t *zero; /* NULL: symmetric */
};

/* Quantizes a dense weight of finite values, or, to a dense one, converts it.
   Fails with LLQ_ERROR_FORMAT, naming the place, on a NaN or an infinity, or if
   a range is too wide for the weight's type. threads: NULL = the caller's. */
int llqi_rtn(const llq_weight *from, struct llqi_threads *threads,
             const struct llqi_quantized *to);

#endif
