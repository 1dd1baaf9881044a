/* SPDX-License-Identifier: Apache-2.0 */
/* A named, shaped run of values that somebody else owns. */
#ifndef LLQI_TENSOR_TENSOR_H
#define LLQI_TENSOR_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#define LLQI_TENSOR_DIMS_MAX 4

struct llqi_tensor {
  const char *name;  /* as in the checkpoint */
  const char *where; /* the file it came from, for messages */
  int32_t dtype;     /* of enum llq_dtype */
  int32_t n_dims;
  int64_t shape[LLQI_TENSOR_DIMS_MAX];
  const void *data;
  size_t n_bytes;
};

#endif
