/* SPDX-License-Identifier: Apache-2.0 */
/* What a tokenizer.json says besides its vocabulary and merges: checked to be
   what Llama 3 has, and its added tokens taken. */
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/tokenizer.h"

static const json_t *member(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_null(value) ? NULL : value;
}

/* Whether an object's member is this text. */
static int is_text(const json_t *object, const char *key, const char *text) {
  const json_t *value = member(object, key);
  return json_is_string(value) && json_string_length(value) == strlen(text) &&
         memcmp(json_string_value(value), text, strlen(text)) == 0;
}

/* The type of a part of the file, for messages. */
static const char *type_of(const json_t *part) {
  const char *type = json_string_value(member(part, "type"));
  return type != NULL ? type : part == NULL ? "null" : "unnamed";
}

static int unsupported(const char *where, const char *what, const char *found,
                       const char *expected) {
  return llqi_fail(LLQ_ERROR_UNSUPPORTED, "%s: %s is %s, expected %s", where,
                   what, found, expected);
}

/* An absent flag is false. */
static int check_flag(const char *where, const json_t *object, const char *key,
                      int expected) {
  int flag = 0;
  LLQ_TRY(llqi_json_bool_or(object, where, key, &flag));
  return flag == expected ? LLQ_OK
                          : unsupported(where, key, flag ? "true" : "false",
                                        expected ? "true" : "false");
}

static int check_split(const char *where, const json_t *split) {
  if (!is_text(split, "type", "Split"))
    return unsupported(where, "first pre-tokenizer", type_of(split), "Split");
  if (!is_text(member(split, "pattern"), "Regex", llqi_split_pattern))
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: a pre-tokenizer pattern that is not Llama 3's",
                     where);
  if (!is_text(split, "behavior", "Isolated"))
    return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                     "%s: the pre-tokenizer's behavior is not Isolated", where);
  return check_flag(where, split, "invert", 0);
}

static int check_pre_tokenizer(const char *where, const json_t *root) {
  const json_t *part = member(root, "pre_tokenizer");
  const json_t *parts = member(part, "pretokenizers");
  if (!is_text(part, "type", "Sequence") || json_array_size(parts) != 2)
    return unsupported(where, "pre_tokenizer", type_of(part),
                       "a Sequence of Split and ByteLevel");
  const json_t *bytes = json_array_get(parts, 1);
  LLQ_TRY(check_split(where, json_array_get(parts, 0)));
  if (!is_text(bytes, "type", "ByteLevel"))
    return unsupported(where, "second pre-tokenizer", type_of(bytes),
                       "ByteLevel");
  LLQ_TRY(check_flag(where, bytes, "use_regex", 0));
  return check_flag(where, bytes, "add_prefix_space", 0);
}

static int check_model(const char *where, const json_t *model) {
  static const char *const absent[] = {"dropout", "unk_token"};
  static const char *const empty[] = {"continuing_subword_prefix",
                                      "end_of_word_suffix"};
  if (!is_text(model, "type", "BPE"))
    return unsupported(where, "model", type_of(model), "BPE");
  for (size_t i = 0; i < 2; i++)
    if (member(model, absent[i]) != NULL)
      return unsupported(where, absent[i], "set", "null");
  for (size_t i = 0; i < 2; i++)
    if (member(model, empty[i]) != NULL && !is_text(model, empty[i], ""))
      return unsupported(where, empty[i], "set", "null");
  return check_flag(where, model, "byte_fallback", 0);
}

static int add_token(struct llqi_vocab *vocab, const char *where,
                     const json_t *token) {
  int64_t id = 0;
  int special = 0;
  const char *content = "";
  if (!json_is_object(token))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: an added token is not an object",
                     where);
  LLQ_TRY(llqi_json_int(token, where, "id", 0, LLQI_VOCAB_LIMIT - 1, &id));
  LLQ_TRY(llqi_json_string(token, where, "content", &content));
  LLQ_TRY(llqi_json_bool_or(token, where, "special", &special));
  LLQ_TRY(check_flag(where, token, "lstrip", 0));
  LLQ_TRY(check_flag(where, token, "rstrip", 0));
  LLQ_TRY(check_flag(where, token, "single_word", 0));
  int kind = special ? LLQI_TOKEN_SPECIAL : LLQI_TOKEN_ADDED;
  int status = llqi_vocab_add(vocab, id, kind, content, strlen(content));
  return status < 0 ? llqi_fail_within(status, "%s", where) : LLQ_OK;
}

static int add_tokens(struct llqi_vocab *vocab, const char *where,
                      const json_t *root) {
  const json_t *tokens;
  if (member(root, "added_tokens") == NULL)
    return LLQ_OK;
  LLQ_TRY(llqi_json_array(root, where, "added_tokens", &tokens));
  for (size_t i = 0; i < json_array_size(tokens); i++)
    LLQ_TRY(add_token(vocab, where, json_array_get(tokens, i)));
  return LLQ_OK;
}

int llqi_tokenizer_read_config(llq_tokenizer *tokenizer, const char *where,
                               const json_t *root) {
  const json_t *model = member(root, "model");
  const json_t *normalizer = member(root, "normalizer");
  const json_t *decoder = member(root, "decoder");
  LLQ_TRY(check_model(where, model));
  if (normalizer != NULL)
    return unsupported(where, "normalizer", type_of(normalizer), "null");
  LLQ_TRY(check_pre_tokenizer(where, root));
  if (!is_text(decoder, "type", "ByteLevel"))
    return unsupported(where, "decoder", type_of(decoder), "ByteLevel");
  LLQ_TRY(llqi_json_bool_or(model, where, "ignore_merges",
                            &tokenizer->bpe.whole_first));
  return add_tokens(&tokenizer->vocab, where, root);
}
