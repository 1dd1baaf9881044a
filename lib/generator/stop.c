/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/stop.h"

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/utf8.h"

static int copy_one(struct llqi_stops *stops, const char *string) {
  size_t length = strlen(string);
  LLQ_REQUIRE(length > 0, "stop string %zu is empty", stops->n);
  LLQ_REQUIRE(llqi_utf8_is_valid(string, length),
              "stop string %zu is not UTF-8", stops->n);
  char *copy = llqi_strndup(string, length);
  if (copy == NULL)
    return LLQ_ERROR_MEMORY;
  stops->strings[stops->n] = copy;
  stops->lengths[stops->n++] = length;
  if (length > stops->longest)
    stops->longest = length;
  return LLQ_OK;
}

int llqi_stops_copy(struct llqi_stops *stops, const char *const *strings,
                    size_t n) {
  *stops = (struct llqi_stops){0};
  if (n == 0)
    return LLQ_OK;
  LLQ_REQUIRE(strings != NULL, "stops is NULL, n_stops is %zu", n);
  stops->strings = llqi_array(n, sizeof *stops->strings);
  stops->lengths = llqi_array(n, sizeof *stops->lengths);
  int status = stops->strings != NULL && stops->lengths != NULL
                   ? LLQ_OK
                   : LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n && status == LLQ_OK; i++)
    status = strings[i] != NULL
                 ? copy_one(stops, strings[i])
                 : llqi_fail(LLQ_ERROR_ARGUMENT, "stop string %zu is NULL", i);
  if (status < 0)
    llqi_stops_free(stops);
  return status;
}

void llqi_stops_free(struct llqi_stops *stops) {
  for (size_t i = 0; i < stops->n; i++)
    llqi_free(stops->strings[i]);
  llqi_free(stops->strings);
  llqi_free(stops->lengths);
  *stops = (struct llqi_stops){0};
}

/* The longest stop string that ends at byte `end`; 0: none. */
static size_t match_at(const struct llqi_stops *stops, const char *bytes,
                       size_t end) {
  size_t longest = 0;
  for (size_t i = 0; i < stops->n; i++) {
    size_t length = stops->lengths[i];
    if (length <= end && length > longest &&
        memcmp(bytes + end - length, stops->strings[i], length) == 0)
      longest = length;
  }
  return longest;
}

/* Can `n` bytes go on to be a stop string? */
static int is_beginning(const struct llqi_stops *stops, const char *bytes,
                        size_t n) {
  for (size_t i = 0; i < stops->n; i++)
    if (n < stops->lengths[i] && memcmp(bytes, stops->strings[i], n) == 0)
      return 1;
  return 0;
}

/* How many of n bytes must be held back: the longest end of them that is the
   beginning of a stop string. */
static size_t n_to_hold(const struct llqi_stops *stops, const char *bytes,
                        size_t n) {
  size_t most = stops->longest > 0 ? stops->longest - 1 : 0;
  size_t start = n > most ? n - most : 0;
  while (start < n && !is_beginning(stops, bytes + start, n - start))
    start++;
  return n - start;
}

/* Room was made by llqi_stream_reserve(). */
static void put(struct llqi_text *text, const char *bytes, size_t n) {
  if (n == 0)
    return;
  memcpy(text->data + text->length, bytes, n);
  text->length += n;
  text->data[text->length] = '\0';
}

/* Moves n bytes from what is held to the text, and forgets `n_drop` more. */
static void let_out(struct llqi_stream *stream, size_t n, size_t n_drop) {
  struct llqi_text *held = &stream->held;
  put(&stream->text, held->data, n);
  held->length -= n + n_drop;
  if (held->length > 0)
    memmove(held->data, held->data + n + n_drop, held->length);
}

int llqi_stream_reserve(struct llqi_stream *stream, size_t n) {
  if (n > SIZE_MAX / 16)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: token too long");
  /* Each byte, and each of the tail, may become a replacement character. */
  size_t most = LLQI_UTF8_REPLACEMENT_SIZE * (n + sizeof stream->tail);
  LLQ_TRY(llqi_text_reserve(&stream->held, most));
  return llqi_text_reserve(&stream->text, stream->held.length + most);
}

/* Adds the whole characters of `bytes` to what is held; returns how many bytes
   are left over, the beginning of a character. */
static size_t hold_characters(struct llqi_stream *stream, const char *bytes,
                              size_t n) {
  size_t at = 0;
  while (at < n) {
    int length = llqi_utf8_next(bytes + at, n - at);
    if (length == 0)
      break;
    if (length > 0)
      put(&stream->held, bytes + at, (size_t)length);
    else
      put(&stream->held, LLQI_UTF8_REPLACEMENT, LLQI_UTF8_REPLACEMENT_SIZE);
    at += (size_t)(length > 0 ? length : -length);
  }
  return n - at;
}

/* Completes the character in the tail, byte by byte; returns how many of the
   new bytes that took. */
static size_t finish_tail(struct llqi_stream *stream, const char *bytes,
                          size_t n) {
  size_t at = 0;
  while (stream->n_tail > 0 && at < n) {
    stream->tail[stream->n_tail++] = bytes[at++];
    size_t left = hold_characters(stream, stream->tail, stream->n_tail);
    memmove(stream->tail, stream->tail + stream->n_tail - left, left);
    stream->n_tail = left;
  }
  return at;
}

int llqi_stream_add(struct llqi_stream *stream, const struct llqi_stops *stops,
                    const char *bytes, size_t n) {
  size_t n_seen = stream->held.length;
  size_t at = finish_tail(stream, bytes, n);
  if (at < n) {
    size_t left = hold_characters(stream, bytes + at, n - at);
    memcpy(stream->tail, bytes + n - left, left);
    stream->n_tail = left;
  }
  const char *held = stream->held.data;
  size_t n_held = stream->held.length;
  for (size_t end = n_seen + 1; end <= n_held; end++) {
    size_t length = match_at(stops, held, end);
    if (length > 0) {
      let_out(stream, end - length, n_held - (end - length));
      stream->n_tail = 0;
      return 1;
    }
  }
  let_out(stream, n_held - n_to_hold(stops, held, n_held), 0);
  return 0;
}

void llqi_stream_finish(struct llqi_stream *stream) {
  let_out(stream, stream->held.length, 0);
  if (stream->n_tail > 0)
    put(&stream->text, LLQI_UTF8_REPLACEMENT, LLQI_UTF8_REPLACEMENT_SIZE);
  stream->n_tail = 0;
}

void llqi_stream_free(struct llqi_stream *stream) {
  llqi_text_free(&stream->text);
  llqi_text_free(&stream->held);
}
