/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* The limit of the format's own library. */
#define HEADER_LIMIT 100000000

/* Where the tensors' bytes are. */
struct body {
  const char *path;
  const unsigned char *data;
  uint64_t size;
};

static int bad(const struct body *body, const char *name, const char *what) {
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: %s", body->path, name, what);
}

static int read_dtype(const struct body *body, const char *name,
                      const json_t *entry, struct llqi_tensor *tensor) {
  const json_t *dtype = json_object_get(entry, "dtype");
  if (!json_is_string(dtype))
    return bad(body, name, "no dtype");
  tensor->dtype = llqi_dtype_of(json_string_value(dtype));
  if (tensor->dtype == 0)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED, "%s: %s: unknown dtype \"%.40s\"",
                     body->path, name, json_string_value(dtype));
  return LLQ_OK;
}

/* The shape, and the bytes that it means. */
static int read_shape(const struct body *body, const char *name,
                      const json_t *entry, struct llqi_tensor *tensor) {
  const json_t *shape = json_object_get(entry, "shape");
  if (!json_is_array(shape) || json_array_size(shape) > INT32_MAX)
    return bad(body, name, "no shape");
  tensor->n_dims = (int32_t)json_array_size(shape);
  uint64_t n_bytes = llqi_dtype_size(tensor->dtype);
  for (int32_t i = 0; i < tensor->n_dims; i++) {
    const json_t *dim = json_array_get(shape, (size_t)i);
    if (!json_is_integer(dim) || json_integer_value(dim) < 0)
      return bad(body, name, "a dimension of its shape is not a size");
    if (__builtin_mul_overflow(n_bytes, (uint64_t)json_integer_value(dim),
                               &n_bytes) ||
        n_bytes > PTRDIFF_MAX)
      return bad(body, name, "its shape is too large");
    if (i < LLQI_TENSOR_DIMS_MAX)
      tensor->shape[i] = json_integer_value(dim);
  }
  tensor->n_bytes = (size_t)n_bytes;
  return LLQ_OK;
}

static int read_offsets(const struct body *body, const char *name,
                        const json_t *entry, struct llqi_tensor *tensor) {
  const json_t *offsets = json_object_get(entry, "data_offsets");
  const json_t *first = json_array_get(offsets, 0);
  const json_t *last = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(first) ||
      !json_is_integer(last))
    return bad(body, name, "no data_offsets");
  json_int_t begin = json_integer_value(first), end = json_integer_value(last);
  if (begin < 0 || begin > end || (uint64_t)end > body->size)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: %s: data_offsets [%lld, %lld] are not within the "
                     "file's %llu bytes of data (truncated?)",
                     body->path, name, (long long)begin, (long long)end,
                     (unsigned long long)body->size);
  if ((uint64_t)(end - begin) != tensor->n_bytes)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: %s: %lld bytes of data, but its shape and dtype %s "
                     "make %zu",
                     body->path, name, (long long)(end - begin),
                     llqi_dtype_name(tensor->dtype), tensor->n_bytes);
  tensor->data = body->data + begin;
  if ((uintptr_t)tensor->data % llqi_dtype_size(tensor->dtype) != 0)
    return bad(body, name, "its data is not aligned to its dtype");
  return LLQ_OK;
}

static int read_tensor(const struct body *body, const char *name,
                       const json_t *entry, struct llqi_tensor *tensor) {
  if (!json_is_object(entry))
    return bad(body, name, "not a JSON object");
  LLQ_TRY(read_dtype(body, name, entry, tensor));
  LLQ_TRY(read_shape(body, name, entry, tensor));
  LLQ_TRY(read_offsets(body, name, entry, tensor));
  tensor->where = body->path;
  tensor->name = llqi_strdup(name);
  return tensor->name != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static int by_place(const void *a, const void *b) {
  const struct llqi_tensor *x = a, *y = b;
  if (x->data != y->data)
    return x->data < y->data ? -1 : 1;
  return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static int check_overlaps(struct llqi_safetensors *file) {
  if (file->n_tensors == 0)
    return LLQ_OK;
  qsort(file->tensors, file->n_tensors, sizeof *file->tensors, by_place);
  for (size_t i = 1; i < file->n_tensors; i++) {
    const struct llqi_tensor *a = &file->tensors[i - 1], *b = a + 1;
    if ((const char *)a->data + a->n_bytes > (const char *)b->data)
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: overlaps %s", file->path,
                       b->name, a->name);
  }
  return LLQ_OK;
}

static int read_entries(struct llqi_safetensors *file, const struct body *body,
                        json_t *header) {
  file->tensors = llqi_calloc(json_object_size(header), sizeof *file->tensors);
  if (file->tensors == NULL)
    return LLQ_ERROR_MEMORY;
  const char *name;
  json_t *entry;
  json_object_foreach(header, name, entry) {
    if (strcmp(name, "__metadata__") == 0)
      continue;
    LLQ_TRY(read_tensor(body, name, entry, &file->tensors[file->n_tensors]));
    file->n_tensors++;
  }
  return check_overlaps(file);
}

static int read_header(struct llqi_safetensors *file) {
  const unsigned char *bytes = file->mapping.data;
  const size_t size = file->mapping.size;
  if (size < 8)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: %zu bytes are no safetensors file (truncated?)",
                     file->path, size);
  uint64_t length = 0;
  for (int i = 7; i >= 0; i--)
    length = length << 8 | bytes[i];
  if (length > size - 8 || length > HEADER_LIMIT)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: header of %llu bytes in a file of %zu (truncated?)",
                     file->path, (unsigned long long)length, size);
  json_t *header;
  LLQ_TRY(llqi_json_parse(file->path, (const char *)bytes + 8, (size_t)length,
                          &header));
  const struct body body = {file->path, bytes + 8 + length, size - 8 - length};
  int status = read_entries(file, &body, header);
  json_decref(header);
  return status;
}

int llqi_safetensors_open(struct llqi_safetensors *out, const char *path) {
  *out = (struct llqi_safetensors){0};
  out->path = llqi_strdup(path);
  int status =
      out->path != NULL ? llqi_file_map(path, &out->mapping) : LLQ_ERROR_MEMORY;
  if (status >= 0)
    status = read_header(out);
  if (status < 0)
    llqi_safetensors_close(out);
  return status;
}

void llqi_safetensors_close(struct llqi_safetensors *file) {
  for (size_t i = 0; i < file->n_tensors; i++)
    llqi_free((char *)file->tensors[i].name);
  llqi_free(file->tensors);
  llqi_file_unmap(&file->mapping);
  llqi_free(file->path);
  *file = (struct llqi_safetensors){0};
}
