/* SPDX-License-Identifier: Apache-2.0 */
#include "model/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "base/text.h"
#include "checkpoint/safetensors_write.h"
#include "model/gguf.h"
#include "model/parts.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"
#include "tokenizer/gguf_json.h"

#define SHARD_BYTES 5000000000u

/* What belongs to a model besides its weights, copied as it is. */
static const char *const companions[] = {
    "generation_config.json",  "tokenizer.json",    "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "chat_template.jinja",
};

/* Work under way. */
struct saving {
  const llq_model *model;
  const char *directory;
  struct llqi_parts parts;
  size_t *ends; /* of shard i, in parts */
  size_t n_shards;
};

static int in_directory(const struct saving *s, const char *name, char **path) {
  *path = llqi_path_join(s->directory, name);
  return *path != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static void shard_name(const struct saving *s, size_t i, char *name,
                       size_t size) {
  if (s->n_shards == 1)
    snprintf(name, size, "model.safetensors");
  else
    snprintf(name, size, "model-%05zu-of-%05zu.safetensors", i + 1,
             s->n_shards);
}

/* Gives consecutive parts to shards, none larger than it must be. */
static int divide(struct saving *s, uint64_t shard_bytes) {
  s->ends = llqi_array(s->parts.n, sizeof *s->ends);
  if (s->ends == NULL)
    return LLQ_ERROR_MEMORY;
  uint64_t n_bytes = 0;
  for (size_t i = 0; i < s->parts.n; i++) {
    const uint64_t more = s->parts.parts[i].tensor.n_bytes;
    if (i > 0 && n_bytes + more > shard_bytes) {
      s->ends[s->n_shards++] = i;
      n_bytes = 0;
    }
    n_bytes += more;
  }
  s->ends[s->n_shards++] = s->parts.n;
  return LLQ_OK;
}

/* Larger types first, so that all are aligned; otherwise as they come. */
static int by_alignment(const void *a, const void *b) {
  const struct llqi_part *x = a, *y = b;
  const size_t n_x = llqi_dtype_size(x->tensor.dtype);
  const size_t n_y = llqi_dtype_size(y->tensor.dtype);
  return n_x != n_y ? (n_x < n_y ? 1 : -1)
                    : strcmp(x->tensor.name, y->tensor.name);
}

/* A part's bytes are not needed any more. */
static void forget(const llq_model *model, const struct llqi_part *part) {
  const llq_weight *w = part->weight;
  if (w != NULL && w->data != NULL)
    llqi_model_forget(model, w->data, llqi_weight_data_bytes(w));
  if (part->tensor.data != NULL)
    llqi_model_forget(model, part->tensor.data, part->tensor.n_bytes);
}

static int write_parts(const llq_model *model, const struct llqi_part *parts,
                       size_t n, const char *path) {
  struct llqi_writer writer;
  const struct llqi_tensor **tensors = llqi_array(n, sizeof *tensors);
  if (tensors == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n; i++)
    tensors[i] = &parts[i].tensor;
  int status = llqi_safetensors_begin(&writer, path, tensors, n);
  llqi_free(tensors);
  LLQ_TRY(status);
  for (size_t i = 0; i < n && status >= 0; i++) {
    status = llqi_part_write(&parts[i], &writer);
    forget(model, &parts[i]);
  }
  if (status >= 0)
    return llqi_writer_commit(&writer);
  llqi_writer_abort(&writer);
  return status;
}

static int write_shard(struct saving *s, size_t i) {
  const size_t first = i > 0 ? s->ends[i - 1] : 0;
  const size_t n = s->ends[i] - first;
  char name[80], *path;
  shard_name(s, i, name, sizeof name);
  LLQ_TRY(in_directory(s, name, &path));
  qsort(s->parts.parts + first, n, sizeof *s->parts.parts, by_alignment);
  int status = write_parts(s->model, s->parts.parts + first, n, path);
  llqi_free(path);
  return status;
}

static json_t *index_json(const struct saving *s) {
  json_t *map = json_object();
  json_int_t total = 0;
  for (size_t i = 0, shard = 0; i < s->parts.n; i++) {
    char name[80];
    if (i == s->ends[shard])
      shard++;
    shard_name(s, shard, name, sizeof name);
    json_object_set_new(map, s->parts.parts[i].tensor.name, json_string(name));
    total += (json_int_t)s->parts.parts[i].tensor.n_bytes;
  }
  return json_pack("{s:{s:I}, s:o}", "metadata", "total_size", total,
                   "weight_map", map);
}

/* Numbers keep the digits that a person would have typed. Takes `json`. */
static int write_json(const struct saving *s, const char *name, json_t *json) {
  struct llqi_text text = {0};
  char *path = NULL;
  int status = json != NULL
                   ? LLQ_OK
                   : llqi_fail(LLQ_ERROR_MEMORY, "out of memory: %s", name);
  if (status >= 0)
    status =
        llqi_json_dump(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15), &text);
  if (status >= 0)
    status = llqi_text_puts(&text, "\n");
  if (status >= 0)
    status = in_directory(s, name, &path);
  if (status >= 0)
    status = llqi_file_write(path, text.data, text.length);
  json_decref(json);
  llqi_free(path);
  llqi_text_free(&text);
  return status;
}

static int write_weights(struct saving *s, uint64_t shard_bytes) {
  LLQ_TRY(divide(s, shard_bytes));
  for (size_t i = 0; i < s->n_shards; i++)
    LLQ_TRY(write_shard(s, i));
  if (s->n_shards == 1)
    return LLQ_OK;
  return write_json(s, "model.safetensors.index.json", index_json(s));
}

static int copy_file(const char *from, const char *to) {
  struct llqi_mapping mapping;
  LLQ_TRY(llqi_file_map(from, &mapping));
  int status = llqi_file_write(to, mapping.data, mapping.size);
  llqi_file_unmap(&mapping);
  return status;
}

static int copy_companions(const struct saving *s, const llq_model *model) {
  const size_t n = sizeof companions / sizeof *companions;
  int status = LLQ_OK;
  for (size_t i = 0; model->directory != NULL && i < n && status >= 0; i++) {
    char *from = llqi_path_join(model->directory, companions[i]), *to = NULL;
    status =
        from != NULL ? in_directory(s, companions[i], &to) : LLQ_ERROR_MEMORY;
    if (status >= 0 && llqi_file_exists(from))
      status = copy_file(from, to);
    llqi_free(from);
    llqi_free(to);
  }
  return status;
}

/* A GGUF file has its tokenizer inside. */
static int write_tokenizer(const struct saving *s, const llq_model *model) {
  const struct llqi_gguf *gguf = llqi_model_gguf(model);
  struct llqi_text text = {0};
  char *path = NULL;
  if (gguf == NULL || !llqi_gguf_has(gguf, "tokenizer.ggml.tokens"))
    return LLQ_OK;
  int status = llqi_gguf_tokenizer_json(gguf, &text);
  if (status >= 0)
    status = in_directory(s, "tokenizer.json", &path);
  if (status >= 0)
    status = llqi_file_write(path, text.data, text.length);
  llqi_free(path);
  llqi_text_free(&text);
  return status;
}

/* A directory is a model from the moment it has a config.json; weights without
   one are what a failed save left, and would hide those of this one. */
static int prepare(const struct saving *s) {
  static const char *const names[] = {"config.json", "model.safetensors",
                                      "model.safetensors.index.json"};
  LLQ_TRY(llqi_directory_make(s->directory));
  for (int i = 0; i < 3; i++) {
    char *path;
    LLQ_TRY(in_directory(s, names[i], &path));
    int status = LLQ_OK;
    if (i == 0 && llqi_file_exists(path))
      status = llqi_fail(LLQ_ERROR_ARGUMENT, "%s: holds a model already",
                         s->directory);
    else if (i > 0)
      status = llqi_file_remove(path);
    llqi_free(path);
    LLQ_TRY(status);
  }
  return LLQ_OK;
}

static int save(const llq_model *model, const char *directory,
                const struct llqi_layout_plan *plan, uint64_t shard_bytes) {
  struct saving s = {.model = model, .directory = directory};
  json_t *config = NULL;
  LLQ_TRY(llqi_config_json(model, plan, &config));
  int status = prepare(&s);
  if (status >= 0)
    status = llqi_parts_list(model, plan, &s.parts);
  if (status >= 0)
    status = write_weights(&s, shard_bytes);
  if (status >= 0)
    status = copy_companions(&s, model);
  if (status >= 0)
    status = write_tokenizer(&s, model);
  if (status >= 0)
    status = write_json(&s, "config.json", json_incref(config));
  json_decref(config);
  llqi_parts_free(&s.parts);
  llqi_free(s.ends);
  return status;
}

int llqi_model_save(const llq_model *model, const char *directory,
                    uint64_t shard_bytes) {
  struct llqi_layout_plan plan;
  llqi_layout_plan(model, LLQI_LAYOUT_COMPRESSED, &plan);
  return save(model, directory, &plan, shard_bytes);
}

int llq_model_save_as(const llq_model *model, const char *directory,
                      const llq_save_options *options) {
  llqi_error_clear();
  LLQ_REQUIRE(model != NULL && directory != NULL,
              "llq_model_save: model and directory must not be NULL");
  llq_save_options ours;
  LLQ_TRY(llqi_options_copy(&ours, sizeof ours, options, "llq_save_options"));
  const char *format = ours.format != NULL ? ours.format : "compressed-tensors";
  const enum llqi_layout layout = llqi_layout_find(format);
  LLQ_REQUIRE(layout != LLQI_LAYOUT_NONE,
              "format \"%.60s\", expected compressed-tensors, gptq, awq or "
              "safetensors",
              format);
  struct llqi_layout_plan plan;
  llqi_layout_plan(model, layout, &plan);
  if (!ours.lossy)
    LLQ_TRY(llqi_layout_check(model, &plan));
  return save(model, directory, &plan, SHARD_BYTES);
}

int llq_model_save(const llq_model *model, const char *directory,
                   const char *format) {
  llq_save_options options = LLQ_SAVE_OPTIONS_INIT;
  options.format = format;
  return llq_model_save_as(model, directory, &options);
}
