/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/tasks.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/place.h"
#include "base/status.h"
#include "evaluator/skim.h"

enum { FILE_MAX = 256 << 20 };

enum member {
  TASK_ID,
  PROMPT,
  ENTRY_POINT,
  CANONICAL,
  TEST,
  CONTRACT,
  BASE_INPUT,
  PLUS_INPUT,
  ATOL,
  N_MEMBERS
};

static const char *const member_names[N_MEMBERS] = {
    "task_id", "prompt",   "entry_point", "canonical_solution",
    "test",    "contract", "base_input",  "plus_input",
    "atol"};

static int decode(struct llqi_span value, const char *name, json_t **out) {
  json_error_t error;
  *out = json_loadb(value.at, value.n, JSON_DECODE_ANY, &error);
  if (*out == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "\"%s\": %s", name, error.text);
  return LLQ_OK;
}

static int read_string(const struct llqi_span *values, enum member member,
                       int required, char **out) {
  const char *name = member_names[member];
  if (values[member].at == NULL) {
    if (required)
      return llqi_fail(LLQ_ERROR_FORMAT, "\"%s\" is missing", name);
    return LLQ_OK;
  }
  json_t *value;
  LLQ_TRY(decode(values[member], name, &value));
  int status = LLQ_OK;
  if (!json_is_string(value))
    status = llqi_fail(LLQ_ERROR_FORMAT, "\"%s\" is not a string", name);
  else if ((*out = llqi_strdup(json_string_value(value))) == NULL)
    status = LLQ_ERROR_MEMORY;
  json_decref(value);
  return status;
}

static int read_inputs(const struct llqi_span *values, enum member member,
                       char **out) {
  if (values[member].at == NULL)
    return LLQ_OK;
  if (values[member].at[0] != '[')
    return llqi_fail(LLQ_ERROR_FORMAT, "\"%s\" is not an array",
                     member_names[member]);
  *out = llqi_strndup(values[member].at, values[member].n);
  return *out != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

static int read_atol(const struct llqi_span *values, double *out) {
  if (values[ATOL].at == NULL)
    return LLQ_OK;
  json_t *value;
  LLQ_TRY(decode(values[ATOL], "atol", &value));
  int is_number = json_is_number(value);
  *out = json_number_value(value);
  json_decref(value);
  if (!is_number || *out < 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "\"atol\" is not a tolerance");
  return LLQ_OK;
}

/* ASCII only, as in all sets there are: it becomes part of a program. */
static int check_identifier(const char *name) {
  static const char letters[] =
      "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  if (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9') ||
      name[strspn(name, letters)] != '\0')
    return llqi_fail(LLQ_ERROR_FORMAT, "\"entry_point\" is not a name: '%s'",
                     name);
  return LLQ_OK;
}

static int read_task(const char *line, size_t n, struct llqi_task *task) {
  struct llqi_span values[N_MEMBERS];
  LLQ_TRY(llqi_skim_object(line, n, member_names, N_MEMBERS, values));
  LLQ_TRY(read_string(values, TASK_ID, 1, &task->task_id));
  LLQ_TRY(read_string(values, PROMPT, 1, &task->prompt));
  LLQ_TRY(read_string(values, ENTRY_POINT, 1, &task->entry_point));
  LLQ_TRY(check_identifier(task->entry_point));
  LLQ_TRY(read_string(values, TEST, 1, &task->test));
  LLQ_TRY(read_string(values, CANONICAL, 0, &task->canonical_solution));
  if (task->canonical_solution == NULL &&
      (task->canonical_solution = llqi_strdup("")) == NULL)
    return LLQ_ERROR_MEMORY;
  LLQ_TRY(read_string(values, CONTRACT, 0, &task->contract));
  LLQ_TRY(read_inputs(values, BASE_INPUT, &task->base_input));
  LLQ_TRY(read_inputs(values, PLUS_INPUT, &task->plus_input));
  return read_atol(values, &task->atol);
}

static void free_task(struct llqi_task *task) {
  llqi_free(task->task_id);
  llqi_free(task->prompt);
  llqi_free(task->entry_point);
  llqi_free(task->canonical_solution);
  llqi_free(task->test);
  llqi_free(task->contract);
  llqi_free(task->base_input);
  llqi_free(task->plus_input);
}

static int add_task(struct llqi_task_set *set, size_t *capacity,
                    const char *line, size_t n) {
  if (set->n_tasks == *capacity) {
    size_t wanted = *capacity > 0 ? 2 * *capacity : 256;
    void *tasks = llqi_resize(set->tasks, wanted, sizeof *set->tasks);
    if (tasks == NULL)
      return LLQ_ERROR_MEMORY;
    set->tasks = tasks;
    *capacity = wanted;
  }
  struct llqi_task task = {0};
  int status = read_task(line, n, &task);
  if (status >= 0 && llqi_task_find(set, task.task_id) != NULL)
    status =
        llqi_fail(LLQ_ERROR_FORMAT, "the task '%s' comes twice", task.task_id);
  if (status < 0)
    free_task(&task);
  else
    set->tasks[set->n_tasks++] = task;
  return status;
}

static int read_lines(struct llqi_task_set *set, const char *text, size_t n,
                      size_t n_limit) {
  size_t capacity = 0, number = 0;
  const char *end = text + n;
  while (text < end && (n_limit == 0 || set->n_tasks < n_limit)) {
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    size_t length = (size_t)((newline != NULL ? newline : end) - text);
    number++;
    if (strspn(text, " \t\r") < length) {
      int status = add_task(set, &capacity, text, length);
      if (status < 0)
        return llqi_fail_within(status, "%s:%zu", set->path, number);
    }
    text += length + 1;
  }
  if (set->n_tasks == 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no tasks", set->path);
  return LLQ_OK;
}

static char *resolve(const char *path_or_name) {
  if (strcmp(path_or_name, "llq-micro") != 0)
    return llqi_strdup(path_or_name);
  char *data = llqi_data_directory();
  char *path =
      data != NULL ? llqi_path_join(data, "llq-micro/tasks.jsonl") : NULL;
  llqi_free(data);
  return path;
}

/* Gzip is known by its first two bytes, whatever the name. */
static int read_any(const char *path, char **text, size_t *n) {
  struct llqi_mapping file;
  LLQ_TRY(llqi_file_map(path, &file));
  const unsigned char *bytes = file.data;
  int is_gzip = file.size > 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
  llqi_file_unmap(&file);
  return is_gzip ? llqi_file_read_gzip(path, FILE_MAX, text, n)
                 : llqi_file_read(path, FILE_MAX, text, n);
}

static int fill_set(struct llqi_task_set *set, const char *path_or_name,
                    size_t n_limit) {
  set->path = resolve(path_or_name);
  if (set->path == NULL)
    return LLQ_ERROR_MEMORY;
  LLQ_TRY(llqi_hash_file(set->path, set->hash));
  char *text;
  size_t n;
  LLQ_TRY(read_any(set->path, &text, &n));
  int status = read_lines(set, text, n, n_limit);
  llqi_free(text);
  return status;
}

int llqi_task_set_open(struct llqi_task_set **out, const char *path_or_name,
                       size_t n_limit) {
  *out = NULL;
  struct llqi_task_set *set = llqi_calloc(1, sizeof *set);
  if (set == NULL)
    return LLQ_ERROR_MEMORY;
  int status = fill_set(set, path_or_name, n_limit);
  if (status < 0)
    llqi_task_set_close(set);
  else
    *out = set;
  return status;
}

void llqi_task_set_close(struct llqi_task_set *set) {
  if (set == NULL)
    return;
  for (size_t i = 0; i < set->n_tasks; i++)
    free_task(&set->tasks[i]);
  llqi_free(set->tasks);
  llqi_free(set->path);
  llqi_free(set);
}

const struct llqi_task *llqi_task_find(const struct llqi_task_set *set,
                                       const char *task_id) {
  for (size_t i = 0; i < set->n_tasks; i++)
    if (strcmp(set->tasks[i].task_id, task_id) == 0)
      return &set->tasks[i];
  return NULL;
}
