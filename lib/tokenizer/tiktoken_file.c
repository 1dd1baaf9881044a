/* SPDX-License-Identifier: Apache-2.0 */
/* Meta's tokenizer.model: a line for each token, its bytes in base64 and its
   rank, which is its id. The special tokens' ids follow the ranks; their names
   are not in the file. */
#include <nettle/base64.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

/* Those of Llama 3.1 and later, as in Meta's llama-models. */
#define N_SPECIAL 256
static const char *const special_names[] = {
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|step_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    "<|image|>",
};
#define N_NAMES (int)(sizeof special_names / sizeof special_names[0])

static int add_specials(struct llqi_vocab *vocab) {
  for (int i = 0; i < N_SPECIAL; i++) {
    char reserved[40];
    const char *name = i < N_NAMES ? special_names[i] : reserved;
    if (i >= N_NAMES) /* numbers 0 and 1 are among the names */
      snprintf(reserved, sizeof reserved, "<|reserved_special_token_%d|>",
               i - N_NAMES + 2);
    LLQ_TRY(llqi_vocab_add(vocab, (int64_t)vocab->n, LLQI_TOKEN_SPECIAL, name,
                           strlen(name)));
  }
  return LLQ_OK;
}

static int decode_base64(const char *text, size_t n, uint8_t *bytes,
                         size_t *n_bytes) {
  struct base64_decode_ctx context;
  base64_decode_init(&context);
  *n_bytes = BASE64_DECODE_LENGTH(n);
  return base64_decode_update(&context, n_bytes, bytes, n, text) &&
         base64_decode_final(&context);
}

/* Whether text is exactly this number. */
static int is_number(const char *text, size_t n, size_t number) {
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%zu", number);
  return n == (size_t)length && memcmp(text, digits, n) == 0;
}

static int read_line(llq_tokenizer *tokenizer, const char *line, size_t n) {
  const char *space = memchr(line, ' ', n);
  size_t n_base64 = space != NULL ? (size_t)(space - line) : 0;
  uint8_t bytes[LLQI_TOKEN_LIMIT + 3];
  size_t n_bytes;
  if (n_base64 == 0)
    return llqi_fail(LLQ_ERROR_FORMAT, "expected base64, a space and a rank");
  if (BASE64_DECODE_LENGTH(n_base64) > sizeof bytes)
    return llqi_fail(LLQ_ERROR_FORMAT, "a token of more than %d bytes",
                     LLQI_TOKEN_LIMIT);
  if (!decode_base64(line, n_base64, bytes, &n_bytes))
    return llqi_fail(LLQ_ERROR_FORMAT, "'%.*s' is not base64",
                     (int)(n_base64 < 40 ? n_base64 : 40), line);
  size_t n_rank = n - n_base64 - 1;
  if (!is_number(space + 1, n_rank, tokenizer->vocab.n))
    return llqi_fail(LLQ_ERROR_FORMAT, "rank '%.*s', expected %zu",
                     (int)(n_rank < 40 ? n_rank : 40), space + 1,
                     tokenizer->vocab.n);
  return llqi_vocab_add(&tokenizer->vocab, (int64_t)tokenizer->vocab.n,
                        LLQI_TOKEN_TEXT, (const char *)bytes, n_bytes);
}

int llqi_tokenizer_read_tiktoken(llq_tokenizer *tokenizer, const char *where,
                                 const struct llqi_mapping *file) {
  const char *at = file->data, *end = at + file->size;
  for (size_t number = 1; at < end; number++) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const char *stop = newline != NULL ? newline : end;
    int status = read_line(tokenizer, at, (size_t)(stop - at));
    if (status < 0)
      return llqi_fail_within(status, "%s: line %zu", where, number);
    at = newline != NULL ? newline + 1 : end;
  }
  tokenizer->bpe.whole_first = 1;
  LLQ_TRY(add_specials(&tokenizer->vocab));
  return llqi_bpe_add_ranks(&tokenizer->bpe, &tokenizer->vocab);
}
