/* SPDX-License-Identifier: Apache-2.0 */
/* Hugging Face's tokenizer.json. The vocabulary and the merges, nearly all of
   it, are scanned in place; the rest goes through jansson. Only what Llama 3.x
   files say is accepted, because anything else would change the ids. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/json_scan.h"
#include "tokenizer/tokenizer.h"

/* Tokens are written with a printable character for each byte: U+0021 to
   U+007E, U+00A1 to U+00AC and U+00AE to U+00FF for themselves, and U+0100
   onwards for the other bytes, in order. */
#define ALPHABET_SIZE 324

struct reader {
  llq_tokenizer *tokenizer;
  const char *where;
  const struct llqi_mapping *file;
  struct llqi_span vocab, merges;
  struct llqi_scan scan;
  int16_t byte_of[ALPHABET_SIZE]; /* -1: stands for no byte */
};

static void alphabet_init(int16_t byte_of[ALPHABET_SIZE]) {
  memset(byte_of, -1, ALPHABET_SIZE * sizeof byte_of[0]);
  int other = 256;
  for (int byte = 0; byte < 256; byte++) {
    int itself = (byte >= 0x21 && byte <= 0x7e) ||
                 (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    byte_of[itself ? byte : other++] = (int16_t)byte;
  }
}

/* The bytes that a token's characters stand for. Returns 0 if one of them
   stands for none; what is beyond LLQI_TOKEN_LIMIT is counted only. */
static int bytes_of(const struct reader *reader, const char *text, size_t n,
                    char bytes[LLQI_TOKEN_LIMIT], size_t *n_bytes) {
  *n_bytes = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned c = (unsigned char)text[i];
    if (c >= 0x80) {
      unsigned next = i + 1 < n ? (unsigned char)text[++i] : 0;
      if (c < 0xc2 || c > 0xc5 || (next & 0xc0) != 0x80)
        return 0;
      c = (c & 0x1f) << 6 | (next & 0x3f);
    }
    if (c >= ALPHABET_SIZE || reader->byte_of[c] < 0)
      return 0;
    if (*n_bytes < LLQI_TOKEN_LIMIT)
      bytes[*n_bytes] = (char)reader->byte_of[c];
    ++*n_bytes;
  }
  return 1;
}

/* Fails for text of the file that the scan is at. */
static int refuse(const struct reader *reader, const char *text, size_t n,
                  const char *reason) {
  char what[200];
  snprintf(what, sizeof what, "'%.*s' %s", (int)(n < 80 ? n : 80), text,
           reason);
  return llqi_scan_fail(&reader->scan, what);
}

/* Some files have their special tokens among the others, too. */
static int is_added(const struct llqi_vocab *vocab, int64_t id,
                    const char *text, size_t n) {
  if (id < 0 || (uint64_t)id >= vocab->n ||
      vocab->tokens[id].kind < LLQI_TOKEN_ADDED)
    return 0;
  size_t n_bytes;
  const char *bytes = llqi_vocab_token(vocab, (uint32_t)id, &n_bytes);
  return n == n_bytes && memcmp(bytes, text, n) == 0;
}

static int read_token(struct reader *reader) {
  struct llqi_scan *scan = &reader->scan;
  struct llqi_vocab *vocab = &reader->tokenizer->vocab;
  const char *text;
  char bytes[LLQI_TOKEN_LIMIT];
  size_t n, n_bytes;
  int64_t id;
  LLQ_TRY(llqi_scan_string(scan, &text, &n));
  LLQ_TRY(llqi_scan_expect(scan, ':'));
  LLQ_TRY(llqi_scan_integer(scan, &id));
  if (is_added(vocab, id, text, n))
    return LLQ_OK;
  if (!bytes_of(reader, text, n, bytes, &n_bytes))
    return refuse(reader, text, n, "is not in the byte-level alphabet");
  return llqi_scan_within(
      scan, llqi_vocab_add(vocab, id, LLQI_TOKEN_TEXT, bytes, n_bytes));
}

/* One side of a merge, appended to the bytes of the other. */
static int read_side(const struct reader *reader, const char *text, size_t n,
                     char bytes[2 * LLQI_TOKEN_LIMIT], size_t *n_bytes,
                     uint32_t *id) {
  size_t n_side;
  if (!bytes_of(reader, text, n, bytes + *n_bytes, &n_side))
    return refuse(reader, text, n, "is not in the byte-level alphabet");
  int32_t found =
      llqi_vocab_find(&reader->tokenizer->vocab, bytes + *n_bytes, n_side);
  if (found < 0)
    return refuse(reader, text, n, "is merged, but not a token");
  *n_bytes += n_side;
  *id = (uint32_t)found;
  return LLQ_OK;
}

/* A merge is "left right", or ["left", "right"]. */
static int read_sides(struct reader *reader, char bytes[2 * LLQI_TOKEN_LIMIT],
                      size_t *n_bytes, uint32_t ids[2]) {
  struct llqi_scan *scan = &reader->scan;
  const char *text, *space;
  size_t n;
  *n_bytes = 0;
  if (llqi_scan_is(scan, '[')) {
    LLQ_TRY(llqi_scan_string(scan, &text, &n));
    LLQ_TRY(read_side(reader, text, n, bytes, n_bytes, &ids[0]));
    LLQ_TRY(llqi_scan_expect(scan, ','));
    LLQ_TRY(llqi_scan_string(scan, &text, &n));
    LLQ_TRY(read_side(reader, text, n, bytes, n_bytes, &ids[1]));
    return llqi_scan_expect(scan, ']');
  }
  LLQ_TRY(llqi_scan_string(scan, &text, &n));
  space = memchr(text, ' ', n);
  if (space == NULL)
    return refuse(reader, text, n, "is not a merge of two tokens");
  size_t n_left = (size_t)(space - text);
  LLQ_TRY(read_side(reader, text, n_left, bytes, n_bytes, &ids[0]));
  return read_side(reader, space + 1, n - n_left - 1, bytes, n_bytes, &ids[1]);
}

static int read_merge(struct reader *reader, uint32_t number) {
  char bytes[2 * LLQI_TOKEN_LIMIT];
  size_t n_bytes;
  uint32_t ids[2];
  LLQ_TRY(read_sides(reader, bytes, &n_bytes, ids));
  int32_t merged = llqi_vocab_find(&reader->tokenizer->vocab, bytes, n_bytes);
  if (merged < 0)
    return llqi_scan_fail(&reader->scan, "the merge of two tokens is none");
  return llqi_scan_within(&reader->scan,
                          llqi_bpe_add(&reader->tokenizer->bpe, ids[0], ids[1],
                                       (uint32_t)merged, number));
}

/* Starts to scan a member of "model"; what ends a span is known to be there. */
static int enter(struct reader *reader, const struct llqi_span *span,
                 const char *key, char open) {
  if (span->begin == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"%s\" in \"model\"",
                     reader->where, key);
  reader->scan.at = span->begin;
  reader->scan.end = span->end;
  return llqi_scan_expect(&reader->scan, open);
}

static int leave(struct reader *reader) {
  while (reader->scan.at < reader->scan.end)
    if (memchr(" \t\r\n", *reader->scan.at++, 4) == NULL)
      return llqi_scan_fail(&reader->scan, "something behind a value");
  return LLQ_OK;
}

static int read_vocab(struct reader *reader) {
  int first = 1, status;
  LLQ_TRY(enter(reader, &reader->vocab, "vocab", '{'));
  while ((status = llqi_scan_more(&reader->scan, '}', &first)) == LLQ_MORE)
    LLQ_TRY(read_token(reader));
  return status < 0 ? status : leave(reader);
}

static int read_merges(struct reader *reader) {
  int first = 1, status;
  LLQ_TRY(enter(reader, &reader->merges, "merges", '['));
  for (uint32_t number = 0;
       (status = llqi_scan_more(&reader->scan, ']', &first)) == LLQ_MORE;
       number++)
    LLQ_TRY(read_merge(reader, number));
  return status < 0 ? status : leave(reader);
}

/* Finds where the vocabulary and the merges are. */
static int find_spans(struct reader *reader) {
  struct llqi_span model;
  struct llqi_scan *scan = &reader->scan;
  scan->where = reader->where;
  scan->begin = scan->at = reader->file->data;
  scan->end = scan->begin + reader->file->size;
  LLQ_TRY(llqi_scan_member(scan, "model", &model));
  if (model.begin == NULL)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: no \"model\"", reader->where);
  scan->at = model.begin;
  scan->end = model.end;
  LLQ_TRY(llqi_scan_member(scan, "vocab", &reader->vocab));
  scan->at = model.begin;
  return llqi_scan_member(scan, "merges", &reader->merges);
}

/* Appends the file from *at to a span, and in its place a null, with as many
   newlines as the span had, so that jansson counts the lines right. */
static int append_without(struct llqi_text *text, const char **at,
                          const struct llqi_span *span) {
  if (span->begin == NULL)
    return LLQ_OK;
  LLQ_TRY(llqi_text_append(text, *at, (size_t)(span->begin - *at)));
  LLQ_TRY(llqi_text_puts(text, "null"));
  for (const char *c = span->begin; c < span->end; c++)
    if (*c == '\n')
      LLQ_TRY(llqi_text_append(text, "\n", 1));
  *at = span->end;
  return LLQ_OK;
}

/* Parses the file without those two. */
static int parse_rest(const struct reader *reader, json_t **root) {
  struct llqi_text text = {0};
  const char *at = reader->file->data, *end = at + reader->file->size;
  int in_order = reader->vocab.begin < reader->merges.begin;
  int status =
      append_without(&text, &at, in_order ? &reader->vocab : &reader->merges);
  if (status >= 0)
    status =
        append_without(&text, &at, in_order ? &reader->merges : &reader->vocab);
  if (status >= 0)
    status = llqi_text_append(&text, at, (size_t)(end - at));
  if (status >= 0)
    status = llqi_json_parse(reader->where, text.data, text.length, root);
  llqi_text_free(&text);
  return status;
}

static int read_with_rest(struct reader *reader, const json_t *root) {
  LLQ_TRY(llqi_tokenizer_read_config(reader->tokenizer, reader->where, root));
  LLQ_TRY(read_vocab(reader));
  return read_merges(reader);
}

int llqi_tokenizer_read_json(llq_tokenizer *tokenizer, const char *where,
                             const struct llqi_mapping *file) {
  struct reader reader = {.tokenizer = tokenizer, .where = where, .file = file};
  json_t *root = NULL;
  alphabet_init(reader.byte_of);
  int status = find_spans(&reader);
  if (status >= 0)
    status = parse_rest(&reader, &root);
  if (status >= 0)
    status = read_with_rest(&reader, root);
  json_decref(root);
  llqi_text_free(&reader.scan.text);
  return status;
}
