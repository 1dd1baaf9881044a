/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/safetensors_write.h"

#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "base/text.h"
#include "tensor/dtype.h"

#define LENGTH_BYTES 8

static json_t *entry_of(const struct llqi_tensor *tensor, uint64_t at) {
  json_t *shape = json_array();
  for (int32_t i = 0; i < tensor->n_dims; i++)
    json_array_append_new(shape, json_integer(tensor->shape[i]));
  return json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                   llqi_dtype_name(tensor->dtype), "shape", shape,
                   "data_offsets", (json_int_t)at,
                   (json_int_t)(at + tensor->n_bytes));
}

static json_t *json_of(const struct llqi_tensor *const *tensors, size_t n) {
  json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
  uint64_t at = 0;
  for (size_t i = 0; i < n; i++) {
    if (json_object_set_new(header, tensors[i]->name,
                            entry_of(tensors[i], at)) < 0) {
      json_decref(header);
      return NULL;
    }
    at += tensors[i]->n_bytes;
  }
  return header;
}

/* The length, the JSON, and spaces up to a multiple of 8. */
static int header_text(const struct llqi_tensor *const *tensors, size_t n,
                       struct llqi_text *out) {
  static const char zeros[LENGTH_BYTES];
  json_t *header = json_of(tensors, n);
  if (header == NULL)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: safetensors header");
  int status = llqi_text_append(out, zeros, LENGTH_BYTES);
  if (status >= 0)
    status = llqi_json_dump(header, JSON_COMPACT, out);
  json_decref(header);
  while (status >= 0 && out->length % 8 != 0)
    status = llqi_text_puts(out, " ");
  if (status < 0)
    return status;
  const uint64_t length = out->length - LENGTH_BYTES;
  for (int i = 0; i < LENGTH_BYTES; i++)
    out->data[i] = (char)(length >> 8 * i & 0xff);
  return LLQ_OK;
}

int llqi_safetensors_begin(struct llqi_writer *writer, const char *path,
                           const struct llqi_tensor *const *tensors,
                           size_t n_tensors) {
  struct llqi_text text = {0};
  LLQ_TRY(llqi_writer_open(writer, path));
  int status = header_text(tensors, n_tensors, &text);
  if (status >= 0)
    status = llqi_writer_write(writer, text.data, text.length);
  llqi_text_free(&text);
  if (status < 0)
    llqi_writer_abort(writer);
  return status;
}
