/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/tokenizer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tokenizer/gguf_json.h"
#include "tokenizer/repair.h"

/* Llama 3's files have 2 to 17 MB. */
#define FILE_LIMIT ((size_t)256 << 20)

/* Positions have 32 bits, and repairing text can make it thrice as long. */
#define TEXT_LIMIT (1 << 30)

static int is_json(const struct llqi_mapping *file) {
  const char *bytes = file->data;
  size_t i = 0;
  while (i < file->size && memchr(" \t\r\n", bytes[i], 4) != NULL)
    i++;
  return i < file->size && bytes[i] == '{';
}

/* A SentencePiece model is a protobuf message whose first field (tag 0x0a) is
   a piece, whose first field is its text. */
static int is_sentencepiece(const struct llqi_mapping *file) {
  const char *bytes = file->data;
  return file->size > 3 && bytes[0] == 0x0a && bytes[2] == 0x0a;
}

static int read_mapped(llq_tokenizer *tokenizer, const char *path,
                       const struct llqi_mapping *file) {
  if (file->size == 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: the file is empty", path);
  if (file->size > FILE_LIMIT)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: larger than %zu bytes", path,
                     FILE_LIMIT);
  if (is_json(file))
    return llqi_tokenizer_read_json(tokenizer, path, file);
  if (is_sentencepiece(file))
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: a SentencePiece tokenizer, expected Llama 3's "
                     "byte-level BPE",
                     path);
  return llqi_tokenizer_read_tiktoken(tokenizer, path, file);
}

/* Through the tokenizer.json that it came from, and all its checks. */
static int read_gguf(llq_tokenizer *tokenizer, const char *path) {
  struct llqi_gguf gguf;
  struct llqi_text text = {0};
  LLQ_TRY(llqi_gguf_open(&gguf, path));
  int status = llqi_gguf_tokenizer_json(&gguf, &text);
  const struct llqi_mapping json = {text.data, text.length};
  if (status >= 0)
    status = llqi_tokenizer_read_json(tokenizer, path, &json);
  llqi_text_free(&text);
  llqi_gguf_close(&gguf);
  return status;
}

static int read_file(llq_tokenizer *tokenizer, const char *path) {
  struct llqi_mapping file;
  LLQ_TRY(llqi_file_map(path, &file));
  int status = llqi_gguf_is(&file) ? read_gguf(tokenizer, path)
                                   : read_mapped(tokenizer, path, &file);
  llqi_file_unmap(&file);
  if (status >= 0 && (status = llqi_tokenizer_finish(tokenizer)) < 0)
    llqi_fail_within(status, "%s", path);
  return status;
}

static int read_directory(llq_tokenizer *tokenizer, const char *directory) {
  static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    char *path = llqi_path_join(directory, names[i]);
    if (path == NULL)
      return LLQ_ERROR_MEMORY;
    int exists = llqi_file_exists(path);
    int status = exists ? read_file(tokenizer, path) : LLQ_OK;
    llqi_free(path);
    if (exists)
      return status;
  }
  return llqi_fail(LLQ_ERROR_IO, "%s: no %s or %s in it", directory, names[0],
                   names[1]);
}

int llqi_tokenizer_finish(llq_tokenizer *tokenizer) {
  LLQ_TRY(llqi_vocab_check(&tokenizer->vocab));
  llqi_bpe_bytes(&tokenizer->bpe, &tokenizer->vocab);
  LLQ_TRY(llqi_specials_open(&tokenizer->specials, &tokenizer->vocab));
  LLQ_TRY(llqi_splitter_open(&tokenizer->splitter));
  tokenizer->bos = llq_tokenizer_special(tokenizer, "<|begin_of_text|>");
  return LLQ_OK;
}

int llq_tokenizer_open(llq_tokenizer **out, const char *path) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL, "llq_tokenizer_open: out is NULL");
  *out = NULL;
  LLQ_REQUIRE(path != NULL, "llq_tokenizer_open: path is NULL");
  llq_tokenizer *tokenizer = llqi_calloc(1, sizeof *tokenizer);
  if (tokenizer == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_directory_exists(path) ? read_directory(tokenizer, path)
                                           : read_file(tokenizer, path);
  if (status >= 0)
    *out = tokenizer;
  else
    llq_tokenizer_close(tokenizer);
  return status;
}

void llq_tokenizer_close(llq_tokenizer *tokenizer) {
  if (tokenizer == NULL)
    return;
  llqi_splitter_close(&tokenizer->splitter);
  llqi_specials_close(&tokenizer->specials);
  llqi_bpe_free(&tokenizer->bpe);
  llqi_vocab_free(&tokenizer->vocab);
  llqi_free(tokenizer);
}

size_t llq_tokenizer_n_vocab(const llq_tokenizer *tokenizer) {
  return tokenizer->vocab.n;
}

int32_t llq_tokenizer_special(const llq_tokenizer *tokenizer,
                              const char *token) {
  return llqi_specials_find(&tokenizer->specials, &tokenizer->vocab, token);
}

int32_t llq_tokenizer_bos(const llq_tokenizer *tokenizer) {
  return tokenizer->bos;
}

/* One call's state. */
struct encoding {
  const llq_tokenizer *tokenizer;
  struct llqi_split split;
  struct llqi_bpe_work work;
  struct llqi_ids out;
};

static int encode_ordinary(struct encoding *e, const char *text, size_t n) {
  size_t at = 0, length = 0;
  for (; at < n; at += length) {
    LLQ_TRY(llqi_split_next(&e->split, text, n, at, &length));
    LLQ_TRY(llqi_bpe_encode(&e->tokenizer->bpe, &e->tokenizer->vocab, &e->work,
                            text + at, length, &e->out));
  }
  return LLQ_OK;
}

/* Text before, between and behind special tokens is split on its own. */
static int encode_valid(struct encoding *e, const char *text, size_t n,
                        int special) {
  const llq_tokenizer *t = e->tokenizer;
  for (size_t at = 0; at < n;) {
    size_t length = 0;
    uint32_t id = 0;
    size_t next = llqi_specials_next(&t->specials, &t->vocab, text, n, at,
                                     special, &length, &id);
    LLQ_TRY(encode_ordinary(e, text + at, next - at));
    if (next < n)
      llqi_ids_put(&e->out, id);
    at = next + length;
  }
  return LLQ_OK;
}

static int encode_any(struct encoding *e, const char *text, size_t n,
                      int special) {
  if (llqi_utf8_prefix(text, n) == n)
    return encode_valid(e, text, n, special);
  struct llqi_text repaired = {0};
  int status = llqi_utf8_repair(text, n, &repaired);
  if (status >= 0)
    status = encode_valid(e, repaired.data, repaired.length, special);
  llqi_text_free(&repaired);
  return status;
}

int llq_tokenizer_encode(const llq_tokenizer *tokenizer, const char *text,
                         size_t n_bytes, int flags, int32_t *ids,
                         size_t capacity, size_t *n_ids) {
  llqi_error_clear();
  LLQ_REQUIRE(tokenizer != NULL && n_ids != NULL,
              "llq_tokenizer_encode: tokenizer or n_ids is NULL");
  *n_ids = 0;
  LLQ_REQUIRE((text != NULL || n_bytes == 0) && (ids != NULL || capacity == 0),
              "llq_tokenizer_encode: text or ids is NULL");
  LLQ_REQUIRE(n_bytes <= TEXT_LIMIT,
              "llq_tokenizer_encode: %zu bytes of text, at most %d", n_bytes,
              TEXT_LIMIT);
  LLQ_REQUIRE((flags & ~(LLQ_ENCODE_BOS | LLQ_ENCODE_SPECIAL)) == 0,
              "llq_tokenizer_encode: unknown flags 0x%x", (unsigned)flags);
  LLQ_REQUIRE(!(flags & LLQ_ENCODE_BOS) || tokenizer->bos >= 0,
              "llq_tokenizer_encode: the tokenizer has no BOS token");
  struct encoding e = {.tokenizer = tokenizer, .out = {ids, capacity, 0}};
  LLQ_TRY(llqi_split_open(&e.split, &tokenizer->splitter));
  if (flags & LLQ_ENCODE_BOS)
    llqi_ids_put(&e.out, (uint32_t)tokenizer->bos);
  int status = encode_any(&e, text, n_bytes, (flags & LLQ_ENCODE_SPECIAL) != 0);
  llqi_bpe_work_free(&e.work);
  llqi_split_close(&e.split);
  *n_ids = status >= 0 ? e.out.n : 0;
  return status;
}

int llq_tokenizer_decode(const llq_tokenizer *tokenizer, const int32_t *ids,
                         size_t n_ids, int special, char *text, size_t capacity,
                         size_t *n_bytes) {
  llqi_error_clear();
  LLQ_REQUIRE(tokenizer != NULL && n_bytes != NULL,
              "llq_tokenizer_decode: tokenizer or n_bytes is NULL");
  *n_bytes = 0;
  LLQ_REQUIRE((ids != NULL || n_ids == 0) && (text != NULL || capacity == 0),
              "llq_tokenizer_decode: ids or text is NULL");
  const struct llqi_vocab *vocab = &tokenizer->vocab;
  size_t length = 0;
  for (size_t i = 0; i < n_ids; i++) {
    LLQ_REQUIRE(ids[i] >= 0 && (size_t)ids[i] < vocab->n,
                "llq_tokenizer_decode: id %d, expected 0 to %zu", ids[i],
                vocab->n - 1);
    if (!special && vocab->tokens[ids[i]].kind == LLQI_TOKEN_SPECIAL)
      continue;
    size_t n;
    const char *bytes = llqi_vocab_token(vocab, (uint32_t)ids[i], &n);
    if (length < capacity)
      memcpy(text + length, bytes,
             n < capacity - length ? n : capacity - length);
    length += n;
  }
  *n_bytes = length;
  return LLQ_OK;
}
