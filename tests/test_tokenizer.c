/* SPDX-License-Identifier: Apache-2.0 */
/* Text to ids and back, with a small vocabulary and, where it is here, Llama
   3's own. What ids Llama 3's packages give is oracle_tokenizer.py's matter. */
#include <llq/tokenizer.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "small_tokenizer.h"
#include "support.h"
#include "tokenizer/bpe_table.h"
#include "tokenizer/tokenizer.h"

/* Encodes, and checks the room that the header promises to be enough. */
static int32_t *encode(const llq_tokenizer *tokenizer, const char *text,
                       size_t n, int flags, size_t *n_ids) {
  int32_t *ids = malloc((3 * n + 1) * sizeof *ids);
  ck_assert_llq_ok(
      llq_tokenizer_encode(tokenizer, text, n, flags, ids, 3 * n + 1, n_ids));
  ck_assert_uint_le(*n_ids, 3 * n + 1);
  return ids;
}

static void assert_ids(const llq_tokenizer *tokenizer, const char *text,
                       int flags, const int32_t *expected, size_t n_expected) {
  size_t n;
  int32_t *ids = encode(tokenizer, text, strlen(text), flags, &n);
  ck_assert_msg(n == n_expected, "'%s' has %zu ids, expected %zu", text, n,
                n_expected);
  for (size_t i = 0; i < n; i++)
    ck_assert_msg(ids[i] == expected[i], "'%s': id %zu is %d, expected %d",
                  text, i, ids[i], expected[i]);
  free(ids);
}

#define ASSERT_IDS(tokenizer, text, flags, ...)                                \
  do {                                                                         \
    const int32_t want[] = {__VA_ARGS__};                                      \
    assert_ids(tokenizer, text, flags, want, sizeof want / sizeof want[0]);    \
  } while (0)

/* Asserts that text, encoded and decoded, is `expected`. */
static void assert_decodes(const llq_tokenizer *tokenizer, const char *text,
                           size_t n, const char *expected, size_t n_expected) {
  size_t n_ids, n_bytes;
  int32_t *ids = encode(tokenizer, text, n, 0, &n_ids);
  char *back = malloc(n_expected + 8);
  ck_assert_llq_ok(llq_tokenizer_decode(tokenizer, ids, n_ids, 1, back,
                                        n_expected + 8, &n_bytes));
  ck_assert_uint_eq(n_bytes, n_expected);
  ck_assert_mem_eq(back, expected, n_expected);
  free(back);
  free(ids);
}

START_TEST(merges_follow_their_order_and_then_the_text) {
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  ck_assert_uint_eq(llq_tokenizer_n_vocab(t), SMALL_N_VOCAB);
  ASSERT_IDS(t, "aaa", 0, SMALL_AA, 'a'); /* the leftmost first */
  ASSERT_IDS(t, "abc", 0, 'a', SMALL_BC); /* b c comes before a b */
  ASSERT_IDS(t, "aab", 0, SMALL_AA, 'b');
  ASSERT_IDS(t, "ab a", 0, SMALL_AB, ' ', 'a'); /* not across pieces */
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(a_whole_piece_is_a_token_only_with_ignore_merges) {
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  ASSERT_IDS(t, "xyz", 0, SMALL_XYZ); /* no merge makes it */
  ASSERT_IDS(t, "xyzz", 0, 'x', 'y', 'z', 'z');
  llq_tokenizer_close(t);
  t = small_tokenizer_open("\"ignore_merges\": true",
                           "\"ignore_merges\": false");
  ASSERT_IDS(t, "xyz", 0, 'x', 'y', 'z');
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(ranks_of_a_model_file_are_its_merges) {
  llq_tokenizer *t;
  char *text = small_tokenizer_model(NULL, NULL);
  const char *path = small_file("tokenizer.model", text, strlen(text));
  free(text);
  ck_assert_llq_ok(llq_tokenizer_open(&t, path));
  ASSERT_IDS(t, "abc", 0, SMALL_AB, 'c'); /* rank 257 comes before 258 */
  ASSERT_IDS(t, "xyz", 0, SMALL_XYZ);
  ck_assert_uint_eq(llq_tokenizer_n_vocab(t), 260 + 256);
  ck_assert_int_eq(llq_tokenizer_bos(t), 260);
  ck_assert_int_eq(llq_tokenizer_special(t, "<|eot_id|>"), 260 + 9);
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(special_tokens_are_text_unless_asked_for) {
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  ASSERT_IDS(t, "<|eot_id|>", 0, '<', '|', 'e', 'o', 't', '_', 'i', 'd', '|',
             '>');
  ASSERT_IDS(t, "a<|eot_id|>a", LLQ_ENCODE_SPECIAL, 'a', 263, 'a');
  ASSERT_IDS(t, "<<|eot_id|><|eot", LLQ_ENCODE_SPECIAL, '<', 263, '<', '|', 'e',
             'o', 't');
  ASSERT_IDS(t, "", LLQ_ENCODE_BOS, SMALL_BOS);
  ck_assert_int_eq(llq_tokenizer_special(t, "<|end_header_id|>"), 262);
  ck_assert_int_eq(llq_tokenizer_special(t, "<|end_header_id|"), -1);
  ck_assert_int_eq(llq_tokenizer_special(t, "a"), -1);
  ck_assert_int_eq(llq_tokenizer_special(t, ""), -1);
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(added_tokens_that_are_not_special_always_count) {
  llq_tokenizer *t = small_tokenizer_open("<|eot_id|>\", \"special\": true",
                                          "<|eot_id|>\", \"special\": false");
  ASSERT_IDS(t, "a<|eot_id|>", 0, 'a', 263);
  int32_t ids[] = {263, SMALL_BOS, 'a'};
  char text[40];
  size_t n;
  ck_assert_llq_ok(llq_tokenizer_decode(t, ids, 3, 0, text, 40, &n));
  ck_assert_uint_eq(n, 11);
  ck_assert_mem_eq(text, "<|eot_id|>a", 11);
  ck_assert_llq_ok(llq_tokenizer_decode(t, ids, 3, 1, text, 40, &n));
  ck_assert_uint_eq(n, 28);
  ck_assert_mem_eq(text, "<|eot_id|><|begin_of_text|>a", 28);
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(the_longest_of_several_added_tokens_is_taken) {
  llq_tokenizer *t = small_tokenizer_open("<|end_header_id|>", "<|eot_id|>!");
  ASSERT_IDS(t, "<|eot_id|>!<|eot_id|>?", LLQ_ENCODE_SPECIAL, 262, 263, '?');
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(ids_and_bytes_beyond_the_room_are_counted_only) {
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  int32_t ids[3] = {-7, -7, -7};
  size_t n;
  ck_assert_llq_ok(llq_tokenizer_encode(t, "a b c", 5, 0, ids, 2, &n));
  ck_assert_uint_eq(n, 5);
  ck_assert_int_eq(ids[1], ' ');
  ck_assert_int_eq(ids[2], -7);
  ck_assert_llq_ok(llq_tokenizer_encode(t, "a b c", 5, 0, NULL, 0, &n));
  ck_assert_uint_eq(n, 5);
  char text[3] = "???";
  const int32_t three[] = {SMALL_XYZ, 'a'};
  ck_assert_llq_ok(llq_tokenizer_decode(t, three, 2, 0, text, 2, &n));
  ck_assert_uint_eq(n, 4);
  ck_assert_mem_eq(text, "xy?", 3);
  ck_assert_llq_ok(llq_tokenizer_decode(t, three, 2, 0, NULL, 0, &n));
  ck_assert_uint_eq(n, 4);
  ck_assert_llq_ok(llq_tokenizer_encode(t, NULL, 0, 0, NULL, 0, &n));
  ck_assert_uint_eq(n, 0);
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(wrong_arguments_are_refused) {
  llq_tokenizer *t = small_tokenizer_open("<|begin_of_text|>", "<|begin|>"),
                *none;
  int32_t id = SMALL_N_VOCAB;
  size_t n;
  ck_assert_llq_fails(llq_tokenizer_decode(t, &id, 1, 0, NULL, 0, &n),
                      LLQ_ERROR_ARGUMENT, "id 264, expected 0 to 263");
  id = -1;
  ck_assert_llq_fails(llq_tokenizer_decode(t, &id, 1, 0, NULL, 0, &n),
                      LLQ_ERROR_ARGUMENT, "id -1");
  ck_assert_llq_fails(llq_tokenizer_encode(t, NULL, 1, 0, NULL, 0, &n),
                      LLQ_ERROR_ARGUMENT, "NULL");
  ck_assert_llq_fails(llq_tokenizer_encode(t, "a", 1, 8, NULL, 0, &n),
                      LLQ_ERROR_ARGUMENT, "flags 0x8");
  ck_assert_llq_fails(
      llq_tokenizer_encode(t, "a", (size_t)1 << 31, 0, NULL, 0, &n),
      LLQ_ERROR_ARGUMENT, "2147483648 bytes");
  ck_assert_int_eq(llq_tokenizer_bos(t), -1);
  ck_assert_llq_fails(
      llq_tokenizer_encode(t, "a", 1, LLQ_ENCODE_BOS, NULL, 0, &n),
      LLQ_ERROR_ARGUMENT, "no BOS");
  ck_assert_llq_fails(llq_tokenizer_open(&none, NULL), LLQ_ERROR_ARGUMENT,
                      "path is NULL");
  llq_tokenizer_close(t);
  llq_tokenizer_close(NULL);
}
END_TEST

/* As Python's bytes.decode("utf-8", "replace") gives them; F stands for U+FFFD
   here. */
START_TEST(ill_formed_text_is_replaced_by_the_stated_rule) {
  static const char *const cases[][2] = {
      {"a\xff z", "aF z"},     {"\x80\x80", "FF"},
      {"\xc3", "F"},           {"\xc3(", "F("},
      {"\xe2\x82", "F"},       {"\xe2\x82\xe2\x82\xac", "F\xe2\x82\xac"},
      {"\xf0\x9f\x98", "F"},   {"\xf0\x9f\x98z", "Fz"},
      {"\xed\xa0\x80", "FFF"}, {"\xc0\xaf", "FF"},
      {"\xe0\x80\xaf", "FFF"}, {"\xf4\x90\x80\x80", "FFFF"},
      {"\xf5\x80", "FF"},      {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
  };
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char expected[64] = "";
    size_t n = 0;
    for (const char *c = cases[i][1]; *c != '\0'; c++, n++) {
      expected[n] = *c;
      if (*c == 'F') {
        memcpy(expected + n, "\xef\xbf\xbd", 3);
        n += 2;
      }
    }
    assert_decodes(t, cases[i][0], strlen(cases[i][0]), expected, n);
  }
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(well_formed_text_comes_back_byte_for_byte) {
  const char *path = test_data("llama3-tokenizer.model");
  llq_tokenizer *small = small_tokenizer_open(NULL, NULL), *llama = NULL;
  if (path != NULL)
    ck_assert_llq_ok(llq_tokenizer_open(&llama, path));
  static const char *const parts[] = {
      "def f(x):\n",      "    return x", "\0",
      "\xe5\xad\x97",     "\xcc\x81",     "123456",
      "\xf0\x9f\x98\x80", "\r\n\r\n",     "\t",
      "\xc2\xa0",         "<|eot_id|>",   "it's "};
  srand(11);
  for (int i = 0; i < 300; i++) {
    char text[400] = "";
    size_t n = 0;
    for (int k = rand() % 20; k >= 0; k--) {
      const char *part = parts[rand() % 12];
      size_t length = part[0] == '\0' ? 1 : strlen(part);
      memcpy(text + n, part, length);
      n += length;
    }
    assert_decodes(small, text, n, text, n);
    if (llama != NULL)
      assert_decodes(llama, text, n, text, n);
  }
  llq_tokenizer_close(small);
  llq_tokenizer_close(llama);
}
END_TEST

START_TEST(llama_3_gives_its_known_ids) {
  llq_tokenizer *t;
  const char *path = test_data("llama3-tokenizer.model");
  if (path == NULL)
    return;
  ck_assert_llq_ok(llq_tokenizer_open(&t, path));
  ck_assert_uint_eq(llq_tokenizer_n_vocab(t), 128256);
  ASSERT_IDS(t, "Hello, world!", LLQ_ENCODE_BOS, 128000, 9906, 11, 1917, 0);
  ck_assert_int_eq(llq_tokenizer_special(t, "<|eot_id|>"), 128009);
  ck_assert_int_eq(llq_tokenizer_special(t, "<|python_tag|>"), 128010);
  llq_tokenizer_close(t);
}
END_TEST

/* Merges a piece in the plainest way. */
static size_t plain_merge(const struct llqi_bpe *bpe, uint32_t *ids, size_t n) {
  for (;;) {
    size_t best = n;
    uint32_t least = LLQI_BPE_NEVER, becomes = 0;
    for (size_t i = 0; i + 1 < n; i++) {
      uint32_t merged;
      uint32_t priority = llqi_bpe_find(bpe, ids[i], ids[i + 1], &merged);
      if (priority < least) {
        least = priority;
        becomes = merged;
        best = i;
      }
    }
    if (best == n)
      return n;
    ids[best] = becomes;
    n--;
    memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
  }
}

START_TEST(long_pieces_merge_as_the_plainest_loop_does) {
  const char *path = test_data("llama3-tokenizer.model");
  llq_tokenizer *t;
  if (path == NULL)
    t = small_tokenizer_open(NULL, NULL);
  else
    ck_assert_llq_ok(llq_tokenizer_open(&t, path));
  srand(7);
  for (int i = 0; i < 200; i++) {
    char text[500];
    uint32_t expected[500];
    size_t n = 1 + (size_t)rand() % sizeof text, n_ids;
    int n_letters = 1 + rand() % 26;
    for (size_t k = 0; k < n; k++) {
      text[k] = (char)('a' + rand() % n_letters);
      expected[k] = t->bpe.of_byte[(unsigned char)text[k]];
    }
    int32_t *ids = encode(t, text, n, 0, &n_ids);
    if (n_ids != 1) { /* not a token as a whole */
      ck_assert_uint_eq(n_ids, plain_merge(&t->bpe, expected, n));
      ck_assert_mem_eq(ids, expected, n_ids * sizeof *ids);
    }
    free(ids);
  }
  llq_tokenizer_close(t);
}
END_TEST

struct shared {
  const llq_tokenizer *tokenizer;
  const char *text;
  size_t n_ids;
};

static void *encode_often(void *argument) {
  struct shared *shared = argument;
  for (int i = 0; i < 300; i++)
    if (llq_tokenizer_encode(shared->tokenizer, shared->text,
                             strlen(shared->text), LLQ_ENCODE_SPECIAL, NULL, 0,
                             &shared->n_ids) < 0)
      shared->n_ids = 0;
  return NULL;
}

START_TEST(threads_share_a_tokenizer) {
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  char text[200];
  memset(text, 'a', sizeof text);
  strcpy(text + 150, " <|eot_id|> abc \xff");
  struct shared shared[4];
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    shared[i] = (struct shared){t, text, 0};
    ck_assert_int_eq(
        pthread_create(&threads[i], NULL, encode_often, &shared[i]), 0);
  }
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    /* 75 of aa, space, special, space, a, bc, space, U+FFFD in bytes */
    ck_assert_uint_eq(shared[i].n_ids, 75 + 1 + 1 + 3 + 1 + 3);
  }
  llq_tokenizer_close(t);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("tokenizer");
  TCase *tests = tcase_create("tokenizer");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, merges_follow_their_order_and_then_the_text);
  tcase_add_test(tests, a_whole_piece_is_a_token_only_with_ignore_merges);
  tcase_add_test(tests, ranks_of_a_model_file_are_its_merges);
  tcase_add_test(tests, special_tokens_are_text_unless_asked_for);
  tcase_add_test(tests, added_tokens_that_are_not_special_always_count);
  tcase_add_test(tests, the_longest_of_several_added_tokens_is_taken);
  tcase_add_test(tests, ids_and_bytes_beyond_the_room_are_counted_only);
  tcase_add_test(tests, wrong_arguments_are_refused);
  tcase_add_test(tests, ill_formed_text_is_replaced_by_the_stated_rule);
  tcase_add_test(tests, well_formed_text_comes_back_byte_for_byte);
  tcase_add_test(tests, llama_3_gives_its_known_ids);
  tcase_add_test(tests, long_pieces_merge_as_the_plainest_loop_does);
  tcase_add_test(tests, threads_share_a_tokenizer);
  suite_add_tcase(suite, tests);
  return suite;
}
