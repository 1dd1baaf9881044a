/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/gguf_json.h"

#include <string.h>

#include "base/status.h"
#include "tokenizer/split.h"

#define TOKENS "tokenizer.ggml.tokens"
#define TYPES "tokenizer.ggml.token_type"
#define MERGES "tokenizer.ggml.merges"

/* Of token_type: what is ordinary text, and what is matched as a whole though
   it is not special. */
enum { NORMAL = 1, USER_DEFINED = 4, BYTE = 6 };

static int put_string(struct llqi_text *out, const char *text, size_t n) {
  LLQ_TRY(llqi_text_puts(out, "\""));
  for (size_t i = 0; i < n; i++) {
    const unsigned char c = (unsigned char)text[i];
    if (c < 0x20)
      LLQ_TRY(llqi_text_printf(out, "\\u%04x", c));
    else if (c == '"' || c == '\\')
      LLQ_TRY(llqi_text_printf(out, "\\%c", c));
    else
      LLQ_TRY(llqi_text_append(out, &text[i], 1));
  }
  return llqi_text_puts(out, "\"");
}

static int is_ordinary(int32_t type) {
  return type == NORMAL || type == BYTE;
}

/* Both lists at once: `ordinary` tokens as members of the vocabulary, or the
   others as objects. */
static int put_tokens(const struct llqi_gguf *gguf, int ordinary,
                      struct llqi_text *out) {
  struct llqi_gguf_list tokens, types;
  const char *comma = "";
  LLQ_TRY(llqi_gguf_texts(gguf, TOKENS, &tokens));
  LLQ_TRY(llqi_gguf_ints(gguf, TYPES, &types));
  if (tokens.left != types.left)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: " TYPES ": not as many as tokens",
                     gguf->path);
  for (size_t id = 0; tokens.left > 0; id++) {
    size_t n;
    const char *text = llqi_gguf_next_text(&tokens, &n);
    const int32_t type = llqi_gguf_next_int(&types);
    if (is_ordinary(type) != ordinary)
      continue;
    LLQ_TRY(llqi_text_puts(out, comma));
    comma = ",\n";
    if (!ordinary)
      LLQ_TRY(llqi_text_printf(out, "{\"id\":%zu,\"special\":%s,\"content\":",
                               id, type == USER_DEFINED ? "false" : "true"));
    LLQ_TRY(put_string(out, text, n));
    LLQ_TRY(ordinary ? llqi_text_printf(out, ":%zu", id)
                     : llqi_text_puts(out, "}"));
  }
  return LLQ_OK;
}

static int put_merges(const struct llqi_gguf *gguf, struct llqi_text *out) {
  struct llqi_gguf_list merges;
  LLQ_TRY(llqi_gguf_texts(gguf, MERGES, &merges));
  for (const char *comma = ""; merges.left > 0; comma = ",\n") {
    size_t n;
    const char *text = llqi_gguf_next_text(&merges, &n);
    LLQ_TRY(llqi_text_puts(out, comma));
    LLQ_TRY(put_string(out, text, n));
  }
  return LLQ_OK;
}

static int check(const struct llqi_gguf *gguf, const char *key,
                 const char *wanted) {
  const char *text = "";
  size_t n = 0;
  LLQ_TRY(llqi_gguf_text(gguf, key, &text, &n));
  if (n == strlen(wanted) && memcmp(text, wanted, n) == 0)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                   "%s: %s \"%.*s\" is not supported, only %s", gguf->path, key,
                   (int)(n < 60 ? n : 60), text, wanted);
}

int llqi_gguf_tokenizer_json(const struct llqi_gguf *gguf,
                             struct llqi_text *out) {
  LLQ_TRY(check(gguf, "tokenizer.ggml.model", "gpt2"));
  LLQ_TRY(check(gguf, "tokenizer.ggml.pre", "llama-bpe"));
  LLQ_TRY(llqi_text_puts(out, "{\"version\":\"1.0\",\"truncation\":null,"
                              "\"padding\":null,\"added_tokens\":["));
  LLQ_TRY(put_tokens(gguf, 0, out));
  LLQ_TRY(llqi_text_puts(
      out, "],\n\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Sequence\","
           "\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"));
  LLQ_TRY(put_string(out, llqi_split_pattern, strlen(llqi_split_pattern)));
  LLQ_TRY(llqi_text_puts(
      out, "},\"behavior\":\"Isolated\",\"invert\":false},"
           "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
           "\"trim_offsets\":true,\"use_regex\":false}]},\n"
           "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\","
           "\"add_prefix_space\":true,\"trim_offsets\":true,"
           "\"use_regex\":true},\n\"model\":{\"type\":\"BPE\",\"dropout\":null,"
           "\"unk_token\":null,\"continuing_subword_prefix\":null,"
           "\"end_of_word_suffix\":null,\"fuse_unk\":false,"
           "\"byte_fallback\":false,\"ignore_merges\":true,\"vocab\":{"));
  LLQ_TRY(put_tokens(gguf, 1, out));
  LLQ_TRY(llqi_text_puts(out, "},\n\"merges\":["));
  LLQ_TRY(put_merges(gguf, out));
  return llqi_text_puts(out, "]}}\n");
}
