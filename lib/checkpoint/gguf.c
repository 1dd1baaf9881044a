/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "checkpoint/gguf_read.h"

#define VERSION 3
#define DIMS_MAX 4
#define ALIGNMENT_MAX (1 << 16)

/* The least bytes of a key with its value, and of a tensor's header. */
#define VALUE_BYTES 13
#define TENSOR_BYTES 24

static int bad(const struct llqi_gguf *gguf, const char *name,
               const char *what) {
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: %s", gguf->path, name, what);
}

static int by_key(const void *a, const void *b) {
  const struct llqi_gguf_value *x = a, *y = b;
  return strcmp(x->key, y->key);
}

static int by_name(const void *a, const void *b) {
  const struct llqi_gguf_tensor *x = a, *y = b;
  return strcmp(x->name, y->name);
}

static int by_place(const void *a, const void *b) {
  const struct llqi_gguf_tensor *x = a, *y = b;
  if (x->data != y->data)
    return x->data < y->data ? -1 : 1;
  return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static int read_values(struct llqi_gguf *gguf, struct llqi_gguf_cursor *cursor,
                       uint64_t n) {
  gguf->values = llqi_calloc((size_t)n, sizeof *gguf->values);
  if (gguf->values == NULL)
    return LLQ_ERROR_MEMORY;
  for (uint64_t i = 0; i < n; i++) {
    LLQ_TRY(llqi_gguf_read_value(cursor, &gguf->values[i]));
    gguf->n_values++;
  }
  if (n > 0)
    qsort(gguf->values, (size_t)n, sizeof *gguf->values, by_key);
  for (uint64_t i = 1; i < n; i++)
    if (strcmp(gguf->values[i - 1].key, gguf->values[i].key) == 0)
      return bad(gguf, gguf->values[i].key, "given twice");
  return LLQ_OK;
}

/* Dimensions, the fastest first; a row must be whole blocks. */
static int read_shape(const struct llqi_gguf *gguf,
                      struct llqi_gguf_cursor *cursor,
                      struct llqi_gguf_tensor *tensor) {
  uint32_t n_dims;
  uint64_t n = 1;
  LLQ_TRY(llqi_gguf_u32(cursor, &n_dims));
  if (n_dims < 1 || n_dims > DIMS_MAX)
    return bad(gguf, tensor->name, "not of 1 to 4 dimensions");
  tensor->n_dims = (int)n_dims;
  tensor->n_rows = 1;
  for (uint32_t i = 0; i < n_dims; i++) {
    uint64_t dim;
    LLQ_TRY(llqi_gguf_u64(cursor, &dim));
    if (dim < 1 || __builtin_mul_overflow(n, dim, &n) || n > PTRDIFF_MAX / 4)
      return bad(gguf, tensor->name, "its shape is empty or too large");
    if (i == 0)
      tensor->n_cols = (int64_t)dim;
  }
  tensor->n_rows = (int64_t)(n / (uint64_t)tensor->n_cols);
  return LLQ_OK;
}

/* The place is an offset for now: where the data begins is not known yet. */
static int read_tensor(struct llqi_gguf *gguf, struct llqi_gguf_cursor *cursor,
                       struct llqi_gguf_tensor *tensor, uint64_t *offset) {
  uint32_t type;
  LLQ_TRY(llqi_gguf_name(cursor, &tensor->name));
  gguf->n_tensors++; /* it has something to free */
  LLQ_TRY(read_shape(gguf, cursor, tensor));
  LLQ_TRY(llqi_gguf_u32(cursor, &type));
  LLQ_TRY(llqi_gguf_u64(cursor, offset));
  tensor->type = llqi_ggml_find(type);
  if (tensor->type == NULL)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: %s: weights of type %u are not supported", gguf->path,
                     tensor->name, type);
  if (tensor->n_cols % tensor->type->block != 0)
    return bad(gguf, tensor->name, "its rows are no whole blocks of its type");
  tensor->n_bytes =
      (size_t)(tensor->n_rows * tensor->n_cols / tensor->type->block) *
      tensor->type->n_bytes;
  return LLQ_OK;
}

static int place_tensors(struct llqi_gguf *gguf, const uint64_t *offsets,
                         size_t begin, int64_t alignment) {
  const size_t size = gguf->mapping.size;
  for (size_t i = 0; i < gguf->n_tensors; i++) {
    struct llqi_gguf_tensor *tensor = &gguf->tensors[i];
    if (offsets[i] % (uint64_t)alignment != 0)
      return bad(gguf, tensor->name, "its data is not aligned");
    if (begin > size || offsets[i] > size - begin ||
        tensor->n_bytes > size - begin - offsets[i])
      return bad(gguf, tensor->name,
                 "its data is not within the file (truncated?)");
    tensor->data =
        (const unsigned char *)gguf->mapping.data + begin + offsets[i];
  }
  return LLQ_OK;
}

static int check_tensors(struct llqi_gguf *gguf) {
  struct llqi_gguf_tensor *t = gguf->tensors;
  if (gguf->n_tensors == 0)
    return LLQ_OK;
  qsort(t, gguf->n_tensors, sizeof *t, by_place);
  for (size_t i = 1; i < gguf->n_tensors; i++)
    if ((const char *)t[i - 1].data + t[i - 1].n_bytes >
        (const char *)t[i].data)
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: overlaps %s", gguf->path,
                       t[i].name, t[i - 1].name);
  qsort(t, gguf->n_tensors, sizeof *t, by_name);
  for (size_t i = 1; i < gguf->n_tensors; i++)
    if (strcmp(t[i - 1].name, t[i].name) == 0)
      return bad(gguf, t[i].name, "given twice");
  return LLQ_OK;
}

static int read_tensors(struct llqi_gguf *gguf, struct llqi_gguf_cursor *cursor,
                        uint64_t n, uint64_t *offsets) {
  int64_t alignment = 32;
  gguf->tensors = llqi_calloc((size_t)n, sizeof *gguf->tensors);
  if (gguf->tensors == NULL || offsets == NULL)
    return LLQ_ERROR_MEMORY;
  for (uint64_t i = 0; i < n; i++)
    LLQ_TRY(read_tensor(gguf, cursor, &gguf->tensors[i], &offsets[i]));
  LLQ_TRY(
      llqi_gguf_int(gguf, "general.alignment", 8, ALIGNMENT_MAX, &alignment));
  if ((alignment & (alignment - 1)) != 0)
    return bad(gguf, "general.alignment", "no power of two");
  const size_t at =
      (size_t)(cursor->at - (const unsigned char *)gguf->mapping.data);
  const size_t begin = (at + (size_t)alignment - 1) & ~((size_t)alignment - 1);
  LLQ_TRY(place_tensors(gguf, offsets, begin, alignment));
  return check_tensors(gguf);
}

static int check_count(const struct llqi_gguf *gguf,
                       const struct llqi_gguf_cursor *cursor, uint64_t n,
                       size_t least, const char *what) {
  if (n <= (size_t)(cursor->end - cursor->at) / least)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT,
                   "%s: %llu %s in a file of %zu bytes "
                   "(truncated?)",
                   gguf->path, (unsigned long long)n, what, gguf->mapping.size);
}

static int read_all(struct llqi_gguf *gguf) {
  const unsigned char *begin = gguf->mapping.data;
  struct llqi_gguf_cursor cursor = {gguf->path, begin,
                                    begin + gguf->mapping.size};
  uint32_t magic, version;
  uint64_t n_tensors, n_values;
  LLQ_TRY(llqi_gguf_u32(&cursor, &magic));
  if (!llqi_gguf_is(&gguf->mapping))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no GGUF file", gguf->path);
  LLQ_TRY(llqi_gguf_u32(&cursor, &version));
  if (version != VERSION)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: GGUF of version %u is not supported, only 3",
                     gguf->path, version);
  LLQ_TRY(llqi_gguf_u64(&cursor, &n_tensors));
  LLQ_TRY(llqi_gguf_u64(&cursor, &n_values));
  LLQ_TRY(check_count(gguf, &cursor, n_values, VALUE_BYTES, "keys"));
  LLQ_TRY(check_count(gguf, &cursor, n_tensors, TENSOR_BYTES, "tensors"));
  LLQ_TRY(read_values(gguf, &cursor, n_values));
  uint64_t *offsets = llqi_array((size_t)n_tensors, sizeof *offsets);
  int status = read_tensors(gguf, &cursor, n_tensors, offsets);
  llqi_free(offsets);
  return status;
}

int llqi_gguf_is(const struct llqi_mapping *file) {
  return file->size >= 4 && memcmp(file->data, "GGUF", 4) == 0;
}

int llqi_gguf_open(struct llqi_gguf *out, const char *path) {
  *out = (struct llqi_gguf){0};
  out->path = llqi_strdup(path);
  int status =
      out->path != NULL ? llqi_file_map(path, &out->mapping) : LLQ_ERROR_MEMORY;
  if (status >= 0)
    status = read_all(out);
  if (status < 0)
    llqi_gguf_close(out);
  return status;
}

void llqi_gguf_close(struct llqi_gguf *gguf) {
  for (size_t i = 0; i < gguf->n_values; i++)
    llqi_free(gguf->values[i].key);
  for (size_t i = 0; i < gguf->n_tensors; i++)
    llqi_free(gguf->tensors[i].name);
  llqi_free(gguf->values);
  llqi_free(gguf->tensors);
  llqi_file_unmap(&gguf->mapping);
  llqi_free(gguf->path);
  *gguf = (struct llqi_gguf){0};
}

const struct llqi_gguf_tensor *llqi_gguf_find(const struct llqi_gguf *gguf,
                                              const char *name) {
  const struct llqi_gguf_tensor key = {.name = (char *)name};
  if (gguf->n_tensors == 0)
    return NULL;
  return bsearch(&key, gguf->tensors, gguf->n_tensors, sizeof key, by_name);
}
