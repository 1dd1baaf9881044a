/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/samples.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"

#define PROGRAMS_FILE_LIMIT ((size_t)4 << 30)

/* JSON text of bytes, in which what is not UTF-8 becomes U+FFFD. */
static json_t *text_json(const char *bytes, size_t n) {
  struct llqi_text valid = {0};
  int status = LLQ_OK;
  if (llqi_utf8_is_valid(bytes, n))
    return json_stringn(bytes, n);
  for (size_t i = 0; i < n && status >= 0;) {
    int length = llqi_utf8_next(bytes + i, n - i);
    if (length > 0)
      status = llqi_text_append(&valid, bytes + i, (size_t)length);
    else
      status = llqi_text_puts(&valid, LLQI_UTF8_REPLACEMENT);
    i += length == 0 ? n - i : (size_t)(length < 0 ? -length : length);
  }
  json_t *json = status >= 0 ? json_stringn(valid.data, valid.length) : NULL;
  llqi_text_free(&valid);
  return json;
}

static json_t *string_json(const char *text) {
  return text_json(text, strlen(text));
}

static json_t *ids_json(const int32_t *ids, size_t n) {
  json_t *array = json_array();
  for (size_t i = 0; i < n && array != NULL; i++) {
    if (json_array_append_new(array, json_integer(ids[i])) < 0) {
      json_decref(array);
      return NULL;
    }
  }
  return array;
}

/* Puts a value, which it takes; `*failed` collects what went wrong. */
static void put(json_t *object, const char *key, json_t *value, int *failed) {
  *failed |= json_object_set_new(object, key, value) < 0;
}

static void put_verdict(json_t *object, const struct llqi_verdict *verdict,
                        int *failed) {
  put(object, "passed", json_boolean(verdict->passed), failed);
  put(object, "verdict", json_string(llqi_reason_name(verdict->reason)),
      failed);
  put(object, "reason", string_json(verdict->text), failed);
  put(object, "cpu_seconds", llqi_json_number(verdict->cpu_seconds), failed);
  put(object, "runs", json_integer(verdict->n_runs), failed);
}

/* A further verdict, as an object of its own. */
static void put_other(json_t *line, const char *key,
                      const struct llqi_verdict *verdict, int *failed) {
  if (verdict == NULL)
    return;
  json_t *object = json_object();
  put_verdict(object, verdict, failed);
  put(line, key, object, failed);
}

static void put_generation(json_t *line, const struct llqi_sample *sample,
                           int *failed) {
  put(line, "seed", json_integer((json_int_t)sample->seed), failed);
  put(line, "stream", json_integer((json_int_t)sample->stream), failed);
  put(line, "prompt", string_json(sample->prompt), failed);
  put(line, "prompt_ids", ids_json(sample->prompt_ids, sample->n_prompt_ids),
      failed);
  put(line, "ids", ids_json(sample->ids, sample->n_ids), failed);
  put(line, "stop", json_string(sample->stop), failed);
  put(line, "min_margin", llqi_json_number(sample->min_margin), failed);
  put(line, "margin_at", json_integer(sample->margin_at), failed);
  put(line, "seconds", json_real(sample->seconds), failed);
}

static json_t *sample_json(const struct llqi_sample *sample) {
  json_t *line = json_object();
  int failed = line == NULL;
  put(line, "task_id", json_string(sample->task_id), &failed);
  put(line, "sample", json_integer(sample->sample), &failed);
  if (sample->completion != NULL)
    put(line, "completion", text_json(sample->completion, sample->n_bytes),
        &failed);
  if (sample->solution != NULL)
    put(line, "solution", string_json(sample->solution), &failed);
  put_verdict(line, sample->verdict, &failed);
  put_other(line, "raw", sample->raw, &failed);
  put_other(line, "base", sample->base, &failed);
  if (sample->generated)
    put_generation(line, sample, &failed);
  if (!failed)
    return line;
  json_decref(line);
  return NULL;
}

int llqi_sample_write(const struct llqi_sample *sample, struct llqi_text *out) {
  json_t *line = sample_json(sample);
  if (line == NULL)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: a sample's line");
  size_t before = out->length;
  int status =
      llqi_json_dump(line, JSON_COMPACT | JSON_REAL_PRECISION(10), out);
  if (status >= 0)
    status = llqi_text_puts(out, "\n");
  if (status < 0)
    out->length = before;
  json_decref(line);
  return status;
}

static int read_passed(const json_t *json, const char *where, int *passed) {
  *passed = -1;
  LLQ_TRY(llqi_json_bool_or(json, where, "passed", passed));
  if (*passed < 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"passed\"", where);
  return LLQ_OK;
}

/* Of a further verdict; -1 if there is none. */
static int read_other(const json_t *line, const char *where, const char *key,
                      int *passed) {
  const json_t *other = json_object_get(line, key);
  *passed = -1;
  return other != NULL ? read_passed(other, where, passed) : LLQ_OK;
}

static int read_generation(const json_t *line, const char *where,
                           struct llqi_outcome *outcome) {
  const char *stop = "";
  const json_t *ids = json_object_get(line, "ids");
  LLQ_TRY(llqi_json_string_or(line, where, "stop", &stop));
  LLQ_TRY(llqi_json_real_or(line, where, "seconds", &outcome->seconds));
  LLQ_TRY(llqi_json_real_or(line, where, "min_margin", &outcome->min_margin));
  outcome->n_tokens = json_array_size(ids);
  snprintf(outcome->stop, sizeof outcome->stop, "%s", stop);
  return LLQ_OK;
}

int llqi_sample_read(const json_t *line, const char *where,
                     struct llqi_outcome *outcome, const char **task_id) {
  int64_t sample;
  const char *verdict;
  *outcome = (struct llqi_outcome){.min_margin = INFINITY};
  LLQ_TRY(llqi_json_string(line, where, "task_id", task_id));
  LLQ_TRY(llqi_json_int(line, where, "sample", 0, UINT32_MAX, &sample));
  outcome->sample = (uint32_t)sample;
  LLQ_TRY(read_passed(line, where, &outcome->passed));
  LLQ_TRY(read_other(line, where, "raw", &outcome->passed_raw));
  LLQ_TRY(read_other(line, where, "base", &outcome->passed_base));
  LLQ_TRY(llqi_json_string(line, where, "verdict", &verdict));
  snprintf(outcome->verdict, sizeof outcome->verdict, "%s", verdict);
  LLQ_TRY(llqi_json_real_or(line, where, "cpu_seconds", &outcome->cpu_seconds));
  return read_generation(line, where, outcome);
}

char *llqi_program_text(const char *bytes, size_t n) {
  char *text = llqi_strndup(bytes, n);
  for (size_t i = 0; i < n && text != NULL; i++)
    text[i] = bytes[i] == '\0' ? '\1' : bytes[i];
  return text;
}

static int copy_or(const json_t *line, const char *where, const char *key,
                   char **out) {
  const json_t *text = json_object_get(line, key);
  if (text == NULL || json_is_null(text))
    return LLQ_OK;
  if (!json_is_string(text))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"%s\" is not a string", where,
                     key);
  *out = llqi_program_text(json_string_value(text), json_string_length(text));
  return *out != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static int add_program(struct llqi_programs *programs,
                       const struct llqi_program *program) {
  if (programs->n == programs->capacity) {
    size_t capacity = programs->capacity * 2 + 64;
    struct llqi_program *items =
        llqi_resize(programs->items, capacity, sizeof *items);
    if (items == NULL)
      return LLQ_ERROR_MEMORY;
    programs->items = items;
    programs->capacity = capacity;
  }
  programs->items[programs->n++] = *program;
  return LLQ_OK;
}

static void program_free(struct llqi_program *program) {
  llqi_free(program->completion);
  llqi_free(program->solution);
}

static int read_program(const json_t *line, const char *where,
                        struct llqi_program *program) {
  int status = copy_or(line, where, "completion", &program->completion);
  if (status >= 0)
    status = copy_or(line, where, "solution", &program->solution);
  if (status >= 0 && program->completion == NULL && program->solution == NULL)
    status = llqi_fail(LLQ_ERROR_FORMAT,
                       "%s: neither \"completion\" nor \"solution\"", where);
  return status;
}

/* What a file's programs are of. */
struct source {
  const char *path;
  const struct llqi_task_set *set;
  int skip;
};

static int unknown_task(const struct source *source, const char *where,
                        const char *task_id) {
  if (source->skip)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT, "%s: no task %s in %s", where, task_id,
                   source->set->path);
}

static int take_line(const struct source *source, const json_t *line,
                     const char *where, struct llqi_programs *out) {
  const char *task_id;
  LLQ_TRY(llqi_json_string(line, where, "task_id", &task_id));
  const struct llqi_task *task = llqi_task_find(source->set, task_id);
  if (task == NULL)
    return unknown_task(source, where, task_id);
  struct llqi_program program = {.task = (uint32_t)(task - source->set->tasks)};
  int status = read_program(line, where, &program);
  if (status >= 0)
    status = add_program(out, &program);
  if (status < 0)
    program_free(&program);
  return status;
}

static int read_line(const struct source *source, size_t number,
                     const char *bytes, size_t n, struct llqi_programs *out) {
  struct llqi_text where = {0};
  json_t *line = NULL;
  int status = llqi_text_printf(&where, "%s:%zu", source->path, number);
  if (status >= 0)
    status = llqi_json_parse(where.data, bytes, n, &line);
  if (status >= 0)
    status = take_line(source, line, where.data, out);
  json_decref(line);
  llqi_text_free(&where);
  return status;
}

static int is_blank(const char *bytes, size_t n) {
  return strspn(bytes, " \t\r\n") >= n;
}

static int read_lines(const struct source *source, const char *bytes, size_t n,
                      struct llqi_programs *out) {
  const char *end = bytes + n;
  for (size_t number = 1; bytes < end; number++) {
    const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
    const char *stop = newline != NULL ? newline : end;
    if (!is_blank(bytes, (size_t)(stop - bytes)))
      LLQ_TRY(read_line(source, number, bytes, (size_t)(stop - bytes), out));
    bytes = stop + 1;
  }
  return LLQ_OK;
}

int llqi_programs_read(const char *path, const struct llqi_task_set *set,
                       int skip, struct llqi_programs *out) {
  const struct source source = {path, set, skip};
  char *bytes;
  size_t n;
  *out = (struct llqi_programs){0};
  LLQ_TRY(llqi_file_read_gzip(path, PROGRAMS_FILE_LIMIT, &bytes, &n));
  llqi_hash_bytes(bytes, n, out->sha256);
  int status = read_lines(&source, bytes, n, out);
  llqi_free(bytes);
  if (status < 0)
    llqi_programs_free(out);
  return status;
}

void llqi_programs_free(struct llqi_programs *programs) {
  for (size_t i = 0; i < programs->n; i++)
    program_free(&programs->items[i]);
  llqi_free(programs->items);
  *programs = (struct llqi_programs){0};
}
