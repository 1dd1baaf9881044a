/* SPDX-License-Identifier: Apache-2.0 */
#include "small_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static const char before_vocab[] =
    "{\n"
    "  \"version\": \"1.0\",\n"
    "  \"added_tokens\": [\n"
    "   {\"id\": 260, \"content\": \"<|begin_of_text|>\", \"special\": true},\n"
    "   {\"id\": 261, \"content\": \"<|start_header_id|>\", \"special\": "
    "true,\n"
    "    \"lstrip\": false, \"rstrip\": false, \"single_word\": false},\n"
    "   {\"id\": 262, \"content\": \"<|end_header_id|>\", \"special\": true},\n"
    "   {\"id\": 263, \"content\": \"<|eot_id|>\", \"special\": true}\n"
    "  ],\n"
    "  \"normalizer\": null,\n"
    "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [\n"
    "    {\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": false,\n"
    "     \"pattern\": {\"Regex\": \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|"
    " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
    "\\\\s+(?!\\\\S)|\\\\s+\"}},\n"
    "    {\"type\": \"ByteLevel\", \"add_prefix_space\": false,\n"
    "     \"trim_offsets\": true, \"use_regex\": false}]},\n"
    "  \"decoder\": {\"type\": \"ByteLevel\"},\n"
    "  \"model\": {\n"
    "    \"type\": \"BPE\", \"unk_token\": null, \"byte_fallback\": false,\n"
    "    \"ignore_merges\": true,\n"
    "    \"vocab\": {\n";

static const char after_bytes[] =
    "      \"aa\": 256, \"ab\": 257, \"bc\": 258, \"xyz\": 259\n"
    "    },\n"
    "    \"merges\": [\"a a\", [\"b\", \"c\"], \"a b\"]\n"
    "  }\n"
    "}\n";

/* The character that stands for a byte. */
static int character_of(int byte) {
  int other = 256;
  for (int b = 0; b <= byte; b++) {
    int itself =
        (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    if (b == byte)
      return itself ? b : other;
    other += !itself;
  }
  return -1;
}

static char *replaced(char *text, const char *from, const char *to) {
  if (from == NULL)
    return text;
  char *at = strstr(text, from);
  ck_assert_msg(at != NULL, "no '%s' to replace", from);
  char *result = malloc(strlen(text) + strlen(to) + 1);
  sprintf(result, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  free(text);
  return result;
}

char *small_tokenizer_json(const char *from, const char *to) {
  char *text = malloc(sizeof before_vocab + sizeof after_bytes + 256 * 24);
  char *at = text + sprintf(text, "%s", before_vocab);
  for (int byte = 0; byte < 256; byte++)
    at += sprintf(at, "      \"\\u%04x\": %d,\n", character_of(byte), byte);
  sprintf(at, "%s", after_bytes);
  return replaced(text, from, to);
}

static char *put_line(char *at, const char *token, int rank) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t n = rank < 256 ? 1 : strlen(token);
  unsigned bits = 0;
  for (size_t i = 0; i < 3; i++)
    bits = bits << 8 | (i < n ? (unsigned char)token[i] : 0);
  for (size_t i = 0; i < 4; i++)
    *at++ = i <= n ? digits[bits >> (18 - 6 * i) & 63] : '=';
  return at + sprintf(at, " %d\n", rank);
}

char *small_tokenizer_model(const char *from, const char *to) {
  static const char *const merged[] = {"aa", "ab", "bc", "xyz"};
  char *text = malloc(264 * 16), *at = text;
  for (int rank = 0; rank < 260; rank++) {
    char byte = (char)rank;
    at = put_line(at, rank < 256 ? &byte : merged[rank - 256], rank);
  }
  return replaced(text, from, to);
}

const char *small_file(const char *name, const char *text, size_t n) {
  const char *path = test_path(name);
  FILE *file = fopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  ck_assert_uint_eq(fwrite(text, 1, n, file), n);
  ck_assert_int_eq(fclose(file), 0);
  return path;
}

llq_tokenizer *small_tokenizer_open(const char *from, const char *to) {
  llq_tokenizer *tokenizer;
  char *text = small_tokenizer_json(from, to);
  const char *path = small_file("tokenizer.json", text, strlen(text));
  free(text);
  ck_assert_llq_ok(llq_tokenizer_open(&tokenizer, path));
  return tokenizer;
}
