/* SPDX-License-Identifier: Apache-2.0 */
/* Random weights of every format, for tests of linears. */
#ifndef LLQ_TEST_WEIGHTS_H
#define LLQ_TEST_WEIGHTS_H

#include <llq/backend.h>

struct weight_format {
  const char *name;
  int format, dtype, activation, group_size; /* 0: per channel */
  int has_zero, has_order;
};
extern const struct weight_format weight_formats[];
extern const int n_weight_formats;

/* 0 if the format does not go with the shape. */
int random_weight(const struct weight_format *format, int64_t n_out,
                  int64_t n_in, llq_weight *weight);
void random_weight_free(llq_weight *weight);

#endif
