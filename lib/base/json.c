/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

/* tokenizer.json of a 128k vocabulary is about 9 MB; indices are far less. */
#define JSON_FILE_LIMIT ((size_t)256 << 20)

int llqi_json_parse(const char *where, const char *bytes, size_t n,
                    json_t **out) {
  json_error_t error;
  *out = json_loadb(bytes, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
  if (*out == NULL && json_error_code(&error) == json_error_out_of_memory)
    return llqi_fail(LLQ_ERROR_MEMORY, "%s: out of memory", where);
  if (*out == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: line %d, column %d: %s", where,
                     error.line, error.column, error.text);
  if (json_is_object(*out))
    return LLQ_OK;
  json_decref(*out);
  *out = NULL;
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: not a JSON object", where);
}

int llqi_json_read(const char *path, json_t **out) {
  char *bytes;
  size_t n;
  *out = NULL;
  LLQ_TRY(llqi_file_read(path, JSON_FILE_LIMIT, &bytes, &n));
  int status = llqi_json_parse(path, bytes, n, out);
  llqi_free(bytes);
  return status;
}

static int absent(const char *where, const char *key) {
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"%s\"", where, key);
}

static int wrong_type(const char *where, const char *key, const char *wanted) {
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"%s\" is not %s", where, key,
                   wanted);
}

/* The member, or NULL when it is absent or null. */
static const json_t *member(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_null(value) ? NULL : value;
}

int llqi_json_int_or(const json_t *object, const char *where, const char *key,
                     int64_t low, int64_t high, int64_t *out) {
  const json_t *value = member(object, key);
  if (value == NULL)
    return LLQ_OK;
  if (!json_is_integer(value))
    return wrong_type(where, key, "an integer");
  json_int_t n = json_integer_value(value);
  if (n < low || n > high)
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: \"%s\" is %lld, expected %lld to %lld", where, key,
                     (long long)n, (long long)low, (long long)high);
  *out = n;
  return LLQ_OK;
}

int llqi_json_int(const json_t *object, const char *where, const char *key,
                  int64_t low, int64_t high, int64_t *out) {
  if (member(object, key) == NULL)
    return absent(where, key);
  return llqi_json_int_or(object, where, key, low, high, out);
}

int llqi_json_real_or(const json_t *object, const char *where, const char *key,
                      double *out) {
  const json_t *value = member(object, key);
  if (value == NULL)
    return LLQ_OK;
  if (!json_is_number(value))
    return wrong_type(where, key, "a number");
  *out = json_number_value(value);
  return LLQ_OK;
}

int llqi_json_real(const json_t *object, const char *where, const char *key,
                   double *out) {
  if (member(object, key) == NULL)
    return absent(where, key);
  return llqi_json_real_or(object, where, key, out);
}

int llqi_json_bool_or(const json_t *object, const char *where, const char *key,
                      int *out) {
  const json_t *value = member(object, key);
  if (value == NULL)
    return LLQ_OK;
  if (!json_is_boolean(value))
    return wrong_type(where, key, "true or false");
  *out = json_is_true(value);
  return LLQ_OK;
}

int llqi_json_string_or(const json_t *object, const char *where,
                        const char *key, const char **out) {
  const json_t *value = member(object, key);
  if (value == NULL)
    return LLQ_OK;
  if (!json_is_string(value))
    return wrong_type(where, key, "a string");
  if (strlen(json_string_value(value)) != json_string_length(value))
    return wrong_type(where, key, "text without NUL characters");
  *out = json_string_value(value);
  return LLQ_OK;
}

int llqi_json_string(const json_t *object, const char *where, const char *key,
                     const char **out) {
  if (member(object, key) == NULL)
    return absent(where, key);
  return llqi_json_string_or(object, where, key, out);
}

int llqi_json_array(const json_t *object, const char *where, const char *key,
                    const json_t **out) {
  *out = member(object, key);
  if (*out == NULL)
    return absent(where, key);
  return json_is_array(*out) ? LLQ_OK : wrong_type(where, key, "an array");
}

int llqi_json_dump(const json_t *value, size_t flags, struct llqi_text *out) {
  size_t n = json_dumpb(value, NULL, 0, flags);
  if (n == 0)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: JSON text");
  LLQ_TRY(llqi_text_reserve(out, n));
  json_dumpb(value, out->data + out->length, n, flags);
  out->length += n;
  out->data[out->length] = '\0';
  return LLQ_OK;
}

int llqi_json_write(const char *path, const json_t *value) {
  struct llqi_text text = {0};
  int status =
      llqi_json_dump(value, JSON_INDENT(2) | JSON_REAL_PRECISION(10), &text);
  if (status >= 0)
    status = llqi_text_puts(&text, "\n");
  if (status >= 0)
    status = llqi_file_write(path, text.data, text.length);
  llqi_text_free(&text);
  return status;
}
