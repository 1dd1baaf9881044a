/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that end a text. */
#include "base/alloc.h"
#include "base/json.h"
#include "base/status.h"
#include "model/model.h"

struct ids {
  int32_t *ids;
  size_t capacity, n;
};

static int add(const llq_model *model, const char *where, const json_t *id,
               struct ids *out) {
  if (!json_is_integer(id) || json_integer_value(id) < 0 ||
      json_integer_value(id) >= model->config.n_vocab)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"eos_token_id\" is no token",
                     where);
  if (out->n == out->capacity)
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: \"eos_token_id\" has more than %zu tokens", where,
                     out->capacity);
  out->ids[out->n++] = (int32_t)json_integer_value(id);
  return LLQ_OK;
}

/* One id, or a list of them. */
static int read_ids(const llq_model *model, const char *where,
                    const json_t *json, struct ids *out) {
  const json_t *value = json_object_get(json, "eos_token_id");
  if (value == NULL || json_is_null(value))
    return LLQ_OK;
  if (!json_is_array(value))
    return add(model, where, value, out);
  for (size_t i = 0; i < json_array_size(value); i++)
    LLQ_TRY(add(model, where, json_array_get(value, i), out));
  return LLQ_OK;
}

static int read_generation_config(const llq_model *model, struct ids *out) {
  char *path = llqi_path_join(model->directory, "generation_config.json");
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = LLQ_OK;
  if (llqi_file_exists(path)) {
    json_t *json;
    status = llqi_json_read(path, &json);
    if (status >= 0)
      status = read_ids(model, path, json, out);
    json_decref(json);
  }
  llqi_free(path);
  return status;
}

int llqi_model_end_ids(const llq_model *model, int32_t *ids, size_t capacity,
                       size_t *n_ids) {
  struct ids out = {ids, capacity, 0};
  *n_ids = 0;
  if (model->directory != NULL)
    LLQ_TRY(read_generation_config(model, &out));
  if (out.n == 0)
    LLQ_TRY(read_ids(model, "config.json", model->config.json, &out));
  *n_ids = out.n;
  return LLQ_OK;
}
