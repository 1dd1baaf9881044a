/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration samples from text and from JSONL. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status.h"
#include "quantizer/calibration.h"

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define MESSAGES_MAX 256

/* A file being read. What it may give is collected first; then samples are
   chosen of it. */
struct source {
  llq_model *model;
  const llq_tokenizer *tokenizer;
  const struct llqi_choice_of_samples *choice;
  const char *path;
  struct llqi_calibration all;
};

/* Encodes a text; *ids is to be freed. */
static int encode(const struct source *source, const char *text, size_t n_bytes,
                  int flags, int32_t **ids, size_t *n_ids) {
  const size_t capacity = 3 * n_bytes + 2;
  *ids = llqi_array(capacity, sizeof **ids);
  if (*ids == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llq_tokenizer_encode(source->tokenizer, text, n_bytes, flags,
                                    *ids, capacity, n_ids);
  if (status < 0)
    llqi_free(*ids);
  return status;
}

static int begin_flag(const struct source *source) {
  return llq_tokenizer_bos(source->tokenizer) >= 0 ? LLQ_ENCODE_BOS : 0;
}

static int add(struct source *source, const int32_t *ids, size_t n_ids) {
  const size_t most = source->choice->n_tokens;
  if (n_ids == 0)
    return LLQ_OK;
  return llqi_calibration_add(&source->all, ids, n_ids < most ? n_ids : most,
                              source->model->config.n_vocab);
}

/* One sample of one text. */
static int add_text(struct source *source, const char *text, size_t n_bytes,
                    int flags) {
  int32_t *ids;
  size_t n_ids;
  LLQ_TRY(encode(source, text, n_bytes, flags, &ids, &n_ids));
  int status = add(source, ids, n_ids);
  llqi_free(ids);
  return status;
}

static int read_messages(const json_t *json, const char *where,
                         llq_message *messages) {
  const json_t *message;
  size_t i;
  json_array_foreach(json, i, message) {
    LLQ_TRY(llqi_json_string(message, where, "role", &messages[i].role));
    LLQ_TRY(llqi_json_string(message, where, "content", &messages[i].content));
  }
  return LLQ_OK;
}

static int add_chat(struct source *source, const json_t *json,
                    const char *where) {
  llq_message messages[MESSAGES_MAX];
  const json_t *list;
  char *text;
  LLQ_TRY(llqi_json_array(json, where, "messages", &list));
  const size_t n = json_array_size(list);
  if (n == 0 || n > MESSAGES_MAX)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: %zu messages, expected 1 to %d",
                     where, n, MESSAGES_MAX);
  LLQ_TRY(read_messages(list, where, messages));
  int status =
      llq_tokenizer_chat(source->tokenizer, messages, n, NULL, 0, &text);
  if (status >= 0) {
    status = add_text(source, text, strlen(text), LLQ_ENCODE_SPECIAL);
    llq_free(text);
  }
  return status < 0 ? llqi_fail_within(status, "%s", where) : LLQ_OK;
}

static int add_line(struct source *source, const char *line, size_t n,
                    const char *where) {
  json_t *json;
  const char *text;
  LLQ_TRY(llqi_json_parse(where, line, n, &json));
  int status;
  if (json_object_get(json, "messages") != NULL) {
    status = add_chat(source, json, where);
  } else {
    status = llqi_json_string(json, where, "text", &text);
    if (status >= 0)
      status = add_text(source, text, strlen(text), begin_flag(source));
  }
  json_decref(json);
  return status;
}

static int add_lines(struct source *source, const char *text, size_t n) {
  const char *end = text + n;
  for (int line = 1; text < end; line++) {
    const char *next = memchr(text, '\n', (size_t)(end - text));
    const size_t length = (size_t)((next != NULL ? next : end) - text);
    char where[600];
    snprintf(where, sizeof where, "%.500s:%d", source->path, line);
    if (strspn(text, " \t\r") < length)
      LLQ_TRY(add_line(source, text, length, where));
    text += length + (next != NULL);
  }
  return LLQ_OK;
}

/* All of a text, cut up; each piece begins as a text does. */
static int add_pieces(struct source *source, const char *text, size_t n) {
  int32_t *ids;
  size_t n_ids;
  LLQ_TRY(encode(source, text, n, begin_flag(source), &ids, &n_ids));
  const size_t begins = begin_flag(source) != 0 && n_ids > 0;
  const size_t step = source->choice->n_tokens - begins;
  const int32_t bos = begins ? ids[0] : 0;
  int status = LLQ_OK;
  for (size_t at = begins; at < n_ids && status >= 0; at += step) {
    const size_t left = n_ids - at;
    if (begins)
      ids[at - 1] = bos; /* the piece before is added already */
    status =
        add(source, ids + at - begins, (left < step ? left : step) + begins);
  }
  llqi_free(ids);
  return status;
}

/* A random order of n numbers (Fisher and Yates). */
static void shuffle(size_t *order, size_t n, uint64_t seed) {
  for (size_t i = 0; i < n; i++)
    order[i] = i;
  for (size_t i = n; i > 1; i--) {
    const size_t j = (size_t)(llqi_uniform(seed, i, 0) * (double)i);
    const size_t last = order[i - 1];
    order[i - 1] = order[j];
    order[j] = last;
  }
}

static int choose(const struct source *source, struct llqi_calibration *set) {
  const struct llqi_calibration *all = &source->all;
  size_t *order = llqi_array(all->n_samples, sizeof *order);
  if (order == NULL)
    return LLQ_ERROR_MEMORY;
  shuffle(order, all->n_samples, source->choice->seed);
  int status = LLQ_OK;
  for (size_t i = 0;
       i < all->n_samples && i < source->choice->n_samples && status >= 0;
       i++) {
    const size_t first = order[i] > 0 ? all->ends[order[i] - 1] : 0;
    status =
        llqi_calibration_add(set, all->ids + first, all->ends[order[i]] - first,
                             source->model->config.n_vocab);
  }
  llqi_free(order);
  return status;
}

static int read_samples(struct source *source) {
  char *text;
  size_t n;
  const size_t length = strlen(source->path);
  LLQ_TRY(llqi_file_read_gzip(source->path, FILE_BYTES_MAX, &text, &n));
  const int is_lines =
      (length > 6 && strcmp(source->path + length - 6, ".jsonl") == 0) ||
      (length > 9 && strcmp(source->path + length - 9, ".jsonl.gz") == 0);
  int status =
      is_lines ? add_lines(source, text, n) : add_pieces(source, text, n);
  llqi_free(text);
  LLQ_TRY(status);
  if (source->all.n_ids == 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no text to calibrate on",
                     source->path);
  if (source->all.n_samples < source->choice->n_samples)
    llqi_log(LLQ_LOG_INFO, "%s: %zu calibration samples, %zu were asked for",
             source->path, source->all.n_samples, source->choice->n_samples);
  return LLQ_OK;
}

int llqi_calibration_add_file(struct llqi_calibration *set, llq_model *model,
                              const char *path,
                              const struct llqi_choice_of_samples *choice) {
  struct source source = {.model = model, .choice = choice, .path = path};
  LLQ_TRY(llq_model_tokenizer(model, &source.tokenizer));
  int status = read_samples(&source);
  if (status >= 0)
    status = choose(&source, set);
  llqi_calibration_free(&source.all);
  return status;
}
