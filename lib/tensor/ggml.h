/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of weights in GGUF files. */
#ifndef LLQI_TENSOR_GGML_H
#define LLQI_TENSOR_GGML_H

#include <stddef.h>
#include <stdint.h>

/* Blocks never have more weights than this. */
#define LLQI_GGML_BLOCK_MAX 256

struct llqi_ggml {
  const char *name; /* "Q4_K" */
  int dtype;        /* of enum llq_dtype, for plain numbers; otherwise 0 */
  int block;        /* weights in a block */
  size_t n_bytes;   /* of a block */
  int bits, group;  /* where w = code * scale: 4 or 8, weights that share a
                       scale; otherwise 0 */
  /* One of these, unless they are plain numbers. */
  void (*codes)(const uint8_t *block, int8_t *codes, float *scales);
  void (*values)(const uint8_t *block, float *values);
};

/* By its number in the file; NULL for what is not known. */
const struct llqi_ggml *llqi_ggml_find(uint32_t type);

/* A row of n weights as floats, exactly as ggml computes them. */
void llqi_ggml_row(const struct llqi_ggml *type, const void *row, int64_t n,
                   float *values);

#endif
