/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/run_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/text.h"

int llqi_run_directory_read(const char *directory, const char *name,
                            json_t **out) {
  *out = NULL;
  char *path = llqi_path_join(directory, name);
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = LLQ_OK;
  if (llqi_file_exists(path))
    status = llqi_json_read(path, out);
  llqi_free(path);
  return status;
}

static int write_json(const char *directory, const char *name,
                      const json_t *value) {
  char *path = llqi_path_join(directory, name);
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_json_write(path, value);
  llqi_free(path);
  return status;
}

static int lock(struct llqi_run_directory *directory) {
  directory->lock = llqi_files->open(directory->path, O_RDONLY, 0);
  if (directory->lock < 0)
    return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s", directory->path);
  if (flock(directory->lock, LOCK_EX | LOCK_NB) == 0)
    return LLQ_OK;
  if (errno == EWOULDBLOCK)
    return llqi_fail(LLQ_ERROR_STATE, "%s: another process is writing to it",
                     directory->path);
  return llqi_fail_errno(LLQ_ERROR_IO, errno, "%s: cannot lock",
                         directory->path);
}

static void describe(const json_t *value, struct llqi_text *out) {
  if (value == NULL)
    llqi_text_puts(out, "absent");
  else
    llqi_json_dump(value, JSON_ENCODE_ANY | JSON_COMPACT, out);
}

/* Names the first member in which two runs differ. */
static int refuse(const char *path, const json_t *there, const json_t *here,
                  const char *key) {
  struct llqi_text found = {0}, wanted = {0};
  describe(json_object_get(there, key), &found);
  describe(json_object_get(here, key), &wanted);
  int status =
      llqi_fail(LLQ_ERROR_STATE,
                "%s: holds another run: its \"%s\" is %.200s, not %.200s", path,
                key, found.data != NULL ? found.data : "?",
                wanted.data != NULL ? wanted.data : "?");
  llqi_text_free(&wanted);
  llqi_text_free(&found);
  return status;
}

static int check_same(const char *path, const json_t *there,
                      const json_t *here) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)here, key, value) {
    if (!json_equal(json_object_get(there, key), value))
      return refuse(path, there, here, key);
  }
  json_object_foreach((json_t *)there, key, value) {
    if (json_object_get(here, key) == NULL)
      return refuse(path, there, here, key);
  }
  return LLQ_OK;
}

/* What a manifest looks like once written and read: reals lose digits. */
static int round_trip(const json_t *value, json_t **out) {
  struct llqi_text text = {0};
  int status = llqi_json_dump(value, JSON_REAL_PRECISION(10), &text);
  if (status >= 0)
    status = llqi_json_parse("manifest.json", text.data, text.length, out);
  llqi_text_free(&text);
  return status;
}

static int enter(const struct llqi_run_directory *directory,
                 const json_t *manifest) {
  json_t *there, *here = NULL;
  LLQ_TRY(llqi_run_directory_read(directory->path, "manifest.json", &there));
  if (there == NULL && llqi_file_exists(directory->samples))
    return llqi_fail(LLQ_ERROR_STATE, "%s exists, but no manifest.json beside",
                     directory->samples);
  if (there == NULL)
    return write_json(directory->path, "manifest.json", manifest);
  int status = round_trip(manifest, &here);
  if (status >= 0)
    status = check_same(directory->path, json_object_get(there, "run"),
                        json_object_get(here, "run"));
  json_decref(here);
  json_decref(there);
  return status;
}

int llqi_run_directory_open(struct llqi_run_directory *out, const char *path,
                            const json_t *manifest) {
  *out = (struct llqi_run_directory){.lock = -1};
  out->path = llqi_strdup(path);
  out->samples = llqi_path_join(path, "samples.jsonl");
  int status = LLQ_ERROR_MEMORY;
  if (out->path != NULL && out->samples != NULL)
    status = llqi_directory_make(path);
  if (status >= 0)
    status = lock(out);
  if (status >= 0)
    status = enter(out, manifest);
  if (status < 0)
    llqi_run_directory_close(out);
  return status;
}

void llqi_run_directory_close(struct llqi_run_directory *directory) {
  if (directory->path != NULL && directory->lock >= 0)
    llqi_files->close(directory->lock);
  llqi_free(directory->samples);
  llqi_free(directory->path);
  *directory = (struct llqi_run_directory){.lock = -1};
}

static int read_line(const char *path, size_t number, const char *line,
                     size_t n, llqi_line_reader reader, void *user) {
  struct llqi_text where = {0};
  json_t *json = NULL;
  int status = llqi_text_printf(&where, "%s:%zu", path, number);
  if (status >= 0)
    status = llqi_json_parse(where.data, line, n, &json);
  if (status >= 0)
    status = reader(user, json, where.data);
  json_decref(json);
  llqi_text_free(&where);
  return status;
}

/* Reads the lines that are whole; *whole is how many bytes they take. */
static int read_lines(const char *path, const struct llqi_mapping *file,
                      llqi_line_reader reader, void *user, size_t *whole) {
  const char *at = file->data, *end = at + file->size, *newline;
  *whole = 0;
  for (size_t number = 1; at < end; number++, at = newline + 1) {
    newline = memchr(at, '\n', (size_t)(end - at));
    if (newline == NULL)
      break;
    LLQ_TRY(read_line(path, number, at, (size_t)(newline - at), reader, user));
    *whole = (size_t)(newline + 1 - (const char *)file->data);
  }
  return LLQ_OK;
}

int llqi_run_directory_load(const struct llqi_run_directory *directory,
                            llqi_line_reader reader, void *user) {
  struct llqi_mapping file;
  size_t whole;
  if (!llqi_file_exists(directory->samples))
    return LLQ_OK;
  LLQ_TRY(llqi_file_map(directory->samples, &file));
  int status = read_lines(directory->samples, &file, reader, user, &whole);
  if (status >= 0 && whole < file.size)
    status = llqi_file_write(directory->samples, file.data, whole);
  llqi_file_unmap(&file);
  return status;
}

int llqi_run_directory_append(const struct llqi_run_directory *directory,
                              const char *lines, size_t n) {
  return n > 0 ? llqi_file_append(directory->samples, lines, n) : LLQ_OK;
}

int llqi_run_directory_finish(const struct llqi_run_directory *directory,
                              const json_t *result) {
  return write_json(directory->path, "result.json", result);
}
