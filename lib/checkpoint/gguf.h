/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files, version 3: keys with values, then tensors. The file is hostile
   until all of it but the tensors' bytes has been checked. */
#ifndef LLQI_CHECKPOINT_GGUF_H
#define LLQI_CHECKPOINT_GGUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "tensor/ggml.h"

struct llqi_gguf_tensor {
  char *name;
  const struct llqi_ggml *type;
  int n_dims;
  int64_t n_rows, n_cols; /* of up to two dimensions; a vector is one row */
  const void *data;
  size_t n_bytes;
};

struct llqi_gguf {
  char *path;
  struct llqi_mapping mapping;
  struct llqi_gguf_value *values; /* sorted by key */
  size_t n_values;
  struct llqi_gguf_tensor *tensors; /* sorted by name */
  size_t n_tensors;
};

/* Whether a file begins as one. */
int llqi_gguf_is(const struct llqi_mapping *file);

int llqi_gguf_open(struct llqi_gguf *out, const char *path);
void llqi_gguf_close(struct llqi_gguf *gguf);

/* NULL if there is none. */
const struct llqi_gguf_tensor *llqi_gguf_find(const struct llqi_gguf *gguf,
                                              const char *name);

int llqi_gguf_has(const struct llqi_gguf *gguf, const char *key);

/* Values by key; *out stays as it is where there is none. All fail on a value
   of another kind, or out of range. Text is borrowed from the file, without a
   NUL at its end. */
int llqi_gguf_int(const struct llqi_gguf *gguf, const char *key, int64_t low,
                  int64_t high, int64_t *out);
int llqi_gguf_real(const struct llqi_gguf *gguf, const char *key, double *out);
int llqi_gguf_text(const struct llqi_gguf *gguf, const char *key,
                   const char **text, size_t *n);

/* Lists of texts, or of int32: `left` counts down. */
struct llqi_gguf_list {
  const unsigned char *at;
  uint64_t left;
};
int llqi_gguf_texts(const struct llqi_gguf *gguf, const char *key,
                    struct llqi_gguf_list *out);
int llqi_gguf_ints(const struct llqi_gguf *gguf, const char *key,
                   struct llqi_gguf_list *out);
const char *llqi_gguf_next_text(struct llqi_gguf_list *list, size_t *n);
int32_t llqi_gguf_next_int(struct llqi_gguf_list *list);

#endif
