/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny Llama on disk, to be spoilt by tests: hidden size 64, 2 layers, 2
   query heads and 1 key-value head of size 32, MLP width 96, 50 tokens. */
#ifndef LLQ_TEST_TINY_H
#define LLQ_TEST_TINY_H

#include <jansson.h>
#include <stddef.h>

/* A safetensors file of this header (padded with spaces to 8 bytes, as the
   format's own library does) and this many bytes of data: bf16 numbers that
   are all different from their neighbours. */
void tiny_write_raw(const char *path, const char *header, size_t n_data);
void tiny_write_file(const char *path, const json_t *header, size_t n_data);

/* The config, and the header of the weights with what they take. */
json_t *tiny_config(void);
json_t *tiny_header(size_t *n_data);

/* Adds a tensor to a header, at its end. */
void tiny_add(json_t *header, size_t *n_data, const char *name,
              const char *dtype, int n_dims, const int *shape);

/* Makes a directory below the test's and writes both files into it. The
   objects are decref'd. Returns the path, until the next call. */
const char *tiny_write(const char *name, json_t *config, json_t *header,
                       size_t n_data);

#endif
