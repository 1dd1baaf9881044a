/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/status.h"
#include "checkpoint/safetensors.h"

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

struct llqi_checkpoint {
  struct llqi_safetensors *files;
  size_t n_files;
  const struct llqi_tensor **tensors; /* sorted by name */
  size_t n_tensors;
};

static int by_name(const void *a, const void *b) {
  const struct llqi_tensor *const *x = a, *const *y = b;
  return strcmp((*x)->name, (*y)->name);
}

static void sort(struct llqi_checkpoint *checkpoint) {
  if (checkpoint->n_tensors > 0)
    qsort(checkpoint->tensors, checkpoint->n_tensors,
          sizeof *checkpoint->tensors, by_name);
}

static int open_single(struct llqi_checkpoint *checkpoint, const char *path) {
  checkpoint->files = llqi_calloc(1, sizeof *checkpoint->files);
  if (checkpoint->files == NULL)
    return LLQ_ERROR_MEMORY;
  struct llqi_safetensors *file = checkpoint->files;
  LLQ_TRY(llqi_safetensors_open(file, path));
  checkpoint->n_files = 1;
  checkpoint->tensors =
      llqi_calloc(file->n_tensors, sizeof *checkpoint->tensors);
  if (checkpoint->tensors == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < file->n_tensors; i++)
    checkpoint->tensors[i] = &file->tensors[i];
  checkpoint->n_tensors = file->n_tensors;
  sort(checkpoint);
  return LLQ_OK;
}

/* An index must not lead out of its directory. */
static int check_shard_name(const char *index, const char *tensor,
                            const json_t *shard) {
  if (!json_is_string(shard))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: %s: no file name", index, tensor);
  const char *name = json_string_value(shard);
  if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL ||
      strlen(name) != json_string_length(shard))
    return llqi_fail(LLQ_ERROR_FORMAT,
                     "%s: %s: \"%.100s\" is not the name of a file beside it",
                     index, tensor, name);
  return LLQ_OK;
}

/* The shard of a name, opened if it is not yet. `opened` maps names to
   numbers of files. */
static int find_shard(struct llqi_checkpoint *checkpoint, const char *directory,
                      json_t *opened, const char *name,
                      struct llqi_safetensors **out) {
  const json_t *number = json_object_get(opened, name);
  if (number != NULL) {
    *out = &checkpoint->files[json_integer_value(number)];
    return LLQ_OK;
  }
  char *path = llqi_path_join(directory, name);
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  *out = &checkpoint->files[checkpoint->n_files];
  int status = llqi_safetensors_open(*out, path);
  llqi_free(path);
  LLQ_TRY(status);
  number = json_integer((json_int_t)checkpoint->n_files++);
  if (json_object_set_new(opened, name, (json_t *)number) < 0)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: list of shards");
  return LLQ_OK;
}

static int open_shards(struct llqi_checkpoint *checkpoint,
                       const char *directory, const char *index, json_t *map,
                       json_t *opened) {
  const char *tensor;
  json_t *shard;
  json_object_foreach(map, tensor, shard) {
    struct llqi_safetensors *file;
    LLQ_TRY(check_shard_name(index, tensor, shard));
    LLQ_TRY(find_shard(checkpoint, directory, opened, json_string_value(shard),
                       &file));
  }
  return LLQ_OK;
}

static size_t count_tensors(const struct llqi_checkpoint *checkpoint) {
  size_t n = 0;
  for (size_t i = 0; i < checkpoint->n_files; i++)
    n += checkpoint->files[i].n_tensors;
  return n;
}

/* Takes the tensors that the index gives to the shard they lie in; a shard may
   hold others. */
static int collect(struct llqi_checkpoint *checkpoint, const char *index,
                   json_t *map) {
  checkpoint->tensors =
      llqi_calloc(count_tensors(checkpoint), sizeof *checkpoint->tensors);
  if (checkpoint->tensors == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < checkpoint->n_files; i++) {
    const struct llqi_safetensors *file = &checkpoint->files[i];
    const char *base = strrchr(file->path, '/') + 1;
    for (size_t t = 0; t < file->n_tensors; t++) {
      const json_t *shard = json_object_get(map, file->tensors[t].name);
      if (shard != NULL && strcmp(json_string_value(shard), base) == 0)
        checkpoint->tensors[checkpoint->n_tensors++] = &file->tensors[t];
    }
  }
  sort(checkpoint);
  const char *tensor;
  json_t *shard;
  json_object_foreach(
      map, tensor,
      shard) if (llqi_checkpoint_find(checkpoint, tensor) ==
                 NULL) return llqi_fail(LLQ_ERROR_FORMAT,
                                        "%s: %s: %s has no such tensor", index,
                                        tensor, json_string_value(shard));
  return LLQ_OK;
}

static int open_map(struct llqi_checkpoint *checkpoint, const char *directory,
                    const char *index, json_t *map) {
  if (!json_is_object(map))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"weight_map\"", index);
  checkpoint->files =
      llqi_calloc(json_object_size(map), sizeof *checkpoint->files);
  json_t *opened = json_object();
  int status = LLQ_ERROR_MEMORY;
  if (checkpoint->files != NULL && opened != NULL)
    status = open_shards(checkpoint, directory, index, map, opened);
  json_decref(opened);
  if (status >= 0)
    status = collect(checkpoint, index, map);
  return status;
}

static int open_index(struct llqi_checkpoint *checkpoint, const char *directory,
                      const char *path) {
  json_t *index;
  LLQ_TRY(llqi_json_read(path, &index));
  int status = open_map(checkpoint, directory, path,
                        json_object_get(index, "weight_map"));
  json_decref(index);
  return status;
}

static int open_directory(struct llqi_checkpoint *checkpoint,
                          const char *directory) {
  char *single = llqi_path_join(directory, SINGLE);
  char *index = llqi_path_join(directory, INDEX);
  int status;
  if (single == NULL || index == NULL)
    status = LLQ_ERROR_MEMORY;
  else if (llqi_file_exists(single))
    status = open_single(checkpoint, single);
  else if (llqi_file_exists(index))
    status = open_index(checkpoint, directory, index);
  else
    status =
        llqi_fail(LLQ_ERROR_IO, "%s: no " SINGLE " and no " INDEX, directory);
  llqi_free(single);
  llqi_free(index);
  return status;
}

int llqi_checkpoint_open(struct llqi_checkpoint **out, const char *directory) {
  struct llqi_checkpoint *checkpoint = llqi_calloc(1, sizeof *checkpoint);
  *out = NULL;
  if (checkpoint == NULL)
    return LLQ_ERROR_MEMORY;
  int status = open_directory(checkpoint, directory);
  if (status < 0)
    llqi_checkpoint_close(checkpoint);
  else
    *out = checkpoint;
  return status;
}

void llqi_checkpoint_close(struct llqi_checkpoint *checkpoint) {
  if (checkpoint == NULL)
    return;
  for (size_t i = 0; i < checkpoint->n_files; i++)
    llqi_safetensors_close(&checkpoint->files[i]);
  llqi_free(checkpoint->files);
  llqi_free(checkpoint->tensors);
  llqi_free(checkpoint);
}

size_t llqi_checkpoint_n_tensors(const struct llqi_checkpoint *checkpoint) {
  return checkpoint->n_tensors;
}

const struct llqi_tensor *
llqi_checkpoint_at(const struct llqi_checkpoint *checkpoint, size_t index) {
  return checkpoint->tensors[index];
}

const struct llqi_tensor *
llqi_checkpoint_find(const struct llqi_checkpoint *checkpoint,
                     const char *name) {
  const struct llqi_tensor key = {.name = name}, *wanted = &key;
  if (checkpoint->n_tensors == 0)
    return NULL;
  const struct llqi_tensor *const *found =
      bsearch(&wanted, checkpoint->tensors, checkpoint->n_tensors,
              sizeof *checkpoint->tensors, by_name);
  return found != NULL ? *found : NULL;
}

int llqi_checkpoint_forget(const struct llqi_checkpoint *checkpoint,
                           const void *data, size_t n) {
  for (size_t i = 0; i < checkpoint->n_files; i++)
    if (llqi_file_forget(&checkpoint->files[i].mapping, data, n))
      return 1;
  return 0;
}

int llqi_checkpoint_describe(const struct llqi_checkpoint *checkpoint,
                             struct llqi_text *text) {
  for (size_t i = 0; i < checkpoint->n_files; i++) {
    const struct llqi_safetensors *file = &checkpoint->files[i];
    struct stat status;
    if (stat(file->path, &status) < 0)
      return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s", file->path);
    LLQ_TRY(llqi_text_printf(
        text, " %s %zu %lld.%09ld", file->path, file->mapping.size,
        (long long)status.st_mtim.tv_sec, (long)status.st_mtim.tv_nsec));
  }
  return LLQ_OK;
}
