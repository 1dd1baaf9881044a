/* SPDX-License-Identifier: Apache-2.0 */
/* Opening tokenizer files: what is accepted, what is refused and how, damaged
   files, and memory that runs out. */
#include <llq/tokenizer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "small_tokenizer.h"
#include "support.h"

static int try_open(const char *text, size_t n) {
  llq_tokenizer *tokenizer;
  int status = llq_tokenizer_open(&tokenizer, small_file("file", text, n));
  ck_assert((status == LLQ_OK) == (tokenizer != NULL));
  llq_tokenizer_close(tokenizer);
  return status;
}

struct edit {
  const char *from, *to;
  int status;
  const char *message;
};

static void assert_edit(char *text, const struct edit *edit) {
  int status = try_open(text, strlen(text));
  const char *message = llq_error_message();
  ck_assert_msg(status == edit->status, "'%s' for '%s': %s: %s", edit->to,
                edit->from, llq_status_name(status), message);
  ck_assert_msg(status == LLQ_OK || (strstr(message, edit->message) != NULL &&
                                     strstr(message, "/file: ") != NULL),
                "'%s' is not in '%s'", edit->message, message);
  free(text);
}

#define OK LLQ_OK, ""
#define BAD LLQ_ERROR_FORMAT
#define OTHER LLQ_ERROR_UNSUPPORTED

static const struct edit json_edits[] = {
    /* accepted */
    {"\"normalizer\": null,", "", OK},
    {"\"a a\"", "[\"a\", \"a\"]", OK},
    {"\"aa\": 256", "\"\\u0061a\": 256", OK},
    {"\"<|eot_id|>\"", "\"\\ud83d\\ude00\"", OK},
    {"{\n", "{\"x\": [{\"vocab\": \"]}\\\"\"}], ", OK},
    {"\"xyz\": 259", "\"<|eot_id|>\": 263, \"xyz\": 259", OK},
    /* another tokenizer */
    {"\"BPE\"", "\"Unigram\"", OTHER, "model is Unigram, expected BPE"},
    {"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", OTHER,
     "normalizer is NFC"},
    {"\"Sequence\"", "\"Metaspace\"", OTHER, "pre_tokenizer is Metaspace"},
    {"{1,3}", "+", OTHER, "pattern that is not Llama 3's"},
    {"\"Isolated\"", "\"Removed\"", OTHER, "Isolated"},
    {"\"invert\": false", "\"invert\": true", OTHER, "invert is true"},
    {"\"use_regex\": false", "\"use_regex\": true", OTHER, "use_regex is true"},
    {"\"add_prefix_space\": false", "\"add_prefix_space\": true", OTHER,
     "add_prefix_space is true"},
    {"{\"type\": \"ByteLevel\"}", "{\"type\": \"WordPiece\"}", OTHER,
     "decoder is WordPiece"},
    {"\"byte_fallback\": false", "\"byte_fallback\": true", OTHER,
     "byte_fallback is true"},
    {"\"unk_token\": null", "\"unk_token\": \"?\"", OTHER, "unk_token is set"},
    {"\"unk_token\": null", "\"end_of_word_suffix\": \"</w>\"", OTHER,
     "end_of_word_suffix is set"},
    {"\"lstrip\": false", "\"lstrip\": true", OTHER, "lstrip is true"},
    /* damaged: the rest */
    {"\"model\"", "\"modal\"", BAD, "no \"model\""},
    {"\"vocab\"", "\"vocal\"", BAD, "no \"vocab\""},
    {"\"merges\"", "\"urges\"", BAD, "no \"merges\""},
    {"\"normalizer\": null", "\"normalizer\": nil", BAD, "line 10, col"},
    {"\"normalizer\": null", "\"model\": null", BAD, "expected '{'"},
    {"\"special\": true", "\"special\": 1", BAD, "\"special\" is not true or"},
    {"\"id\": 260", "\"id\": -1", BAD, "\"id\" is -1"},
    {"\"id\": 260", "\"id\": \"260\"", BAD, "\"id\" is not an integer"},
    {"\"id\": 260", "\"id\": 999999999999", BAD, "\"id\" is 999999999999"},
    {"\"id\": 260", "\"id\": 261", BAD, "token id 261 is given twice"},
    {"\"id\": 260", "\"id\": 97", BAD, "token id 97 is given twice"},
    {"\"id\": 260", "\"id\": 264", BAD, "no token has id 260"},
    {"\"<|eot_id|>\"", "\"<|end_header_id|>\"", BAD, "are both '<|end_header"},
    {"\"<|eot_id|>\"", "\"\"", BAD, "has 0 bytes"},
    {"\"<|eot_id|>\"", "\"\\ud83d\"", BAD, "line 8, col"},
    /* damaged: the vocabulary */
    {"\"vocab\": {", "\"vocab\": [", BAD, "line 20: expected '{'"},
    {"\"vocab\": {", "\"vocab\": {,", BAD, "expected '\"'"},
    {"\"xyz\": 259", "\"xyz\": 259,", BAD, "expected '\"'"},
    {"\"xyz\": 259", "\"xyz\": 259]", BAD, "expected"},
    {"\"xyz\": 259", "\"xyz\": 25.9", BAD, "expected an integer"},
    {"\"xyz\": 259", "\"xyz\": true", BAD, "expected an integer"},
    {"\"xyz\": 259", "\"xyz\": -1", BAD, "token id -1"},
    {"\"xyz\": 259", "\"xyz\": 4194304", BAD, "token id 4194304"},
    {"\"xyz\": 259", "\"xyz\": 1234567890123456", BAD, "out of range"},
    {"\"xyz\": 259", "\"xyz\": 258", BAD, "token id 258 is given twice"},
    {"\"xyz\": 259", "\"xyz\": 259, \"xyz\": 264", BAD,
     "token 264 is the same as token 259"},
    {"\"xyz\": 259", "\"x z\": 259", BAD, "'x z' is not in the byte-level"},
    {"\"xyz\": 259", "\"\\uz000\": 259", BAD, "hexadecimal"},
    {"\"xyz\": 259", "\"\\ud800\\u0041\": 259", BAD, "surrogate"},
    {"\"xyz\": 259", "\"\\q\": 259", BAD, "unknown escape"},
    {"\"xyz\": 259", "\"x\ny\": 259", BAD, "without an end"},
    {"\"\\u0041\": 65,", "", BAD, "no token has id 65"},
    {"\"\\u0041\": 65", "\"AA\": 65", BAD, "no token for byte 0x41"},
    /* damaged: the merges */
    {"\"a a\"", "\"aa\"", BAD, "'aa' is not a merge of two tokens"},
    {"\"a a\"", "\"a  a\"", BAD, "not in the byte-level"},
    {"\"a a\"", "\"x y\"", BAD, "the merge of two tokens is none"},
    {"\"a a\"", "\"q xy\"", BAD, "'xy' is merged, but not a token"},
    {"\"a a\"", "\"a b\"", BAD, "merge 2 is the same as merge 0"},
    {"[\"b\", \"c\"]", "[\"b\"]", BAD, "expected ','"},
    {"[\"b\", \"c\"]", "[\"b\", \"c\", \"d\"]", BAD, "expected ']'"},
    {"[\"b\", \"c\"]", "[\"b\", 1]", BAD, "expected '\"'"},
    {"[\"b\", \"c\"]", "7", BAD, "expected '\"'"},
    {"\"merges\": [", "\"merges\": {", BAD, "expected '['"},
    {"\"a b\"]", "\"a b\"] 1", BAD, "something behind a value"},
};

START_TEST(what_a_tokenizer_json_may_say_is_known) {
  const struct edit *edit = &json_edits[_i];
  assert_edit(small_tokenizer_json(edit->from, edit->to), edit);
}
END_TEST

static const struct edit model_edits[] = {
    {"IQ== 33\n", "IQ== 33\n", OK},
    {"eHl6 259\n", "eHl6 259", OK},
    {"IQ== 33", "IQ= 33", BAD, "line 34: 'IQ=' is not base64"},
    {"IQ== 33", "I*== 33", BAD, "'I*==' is not base64"},
    {"IQ== 33", "IQ==", BAD, "line 34: expected base64, a space and a rank"},
    {"IQ== 33", "", BAD, "line 34: expected base64"},
    {"IQ== 33", " 33", BAD, "line 34: expected base64"},
    {"IQ== 33", "IQ== 32", BAD, "line 34: rank '32', expected 33"},
    {"IQ== 33", "IQ== 34", BAD, "line 34: rank '34', expected 33"},
    {"IQ== 33", "IQ== 33 ", BAD, "line 34: rank '33 '"},
    {"IQ== 33", "IQ== 0x21", BAD, "line 34: rank '0x21'"},
    {"IQ== 33", "IQ== 99999999999999999999", BAD, "expected 33"},
    {"IQ== 33", "IA== 33", BAD, "token 33 is the same as token 32"},
    {"eHl6 259", "YWE= 259", BAD, "line 260: token 259 is the same as"},
    {"IQ== 33", "ISE= 33", BAD, "no token for byte 0x21"},
};

START_TEST(what_a_tokenizer_model_may_say_is_known) {
  const struct edit *edit = &model_edits[_i];
  assert_edit(small_tokenizer_model(edit->from, edit->to), edit);
}
END_TEST

START_TEST(a_token_beyond_the_limit_is_refused) {
  char *long_token = malloc(3000);
  memset(long_token, 'a', 2999);
  long_token[2999] = '\0';
  struct edit edit = {"xyz", long_token, BAD, "token 259 has 2999 bytes"};
  assert_edit(small_tokenizer_json(edit.from, edit.to), &edit);
  edit = (struct edit){"eHl6", long_token, BAD, "more than 1024 bytes"};
  assert_edit(small_tokenizer_model(edit.from, edit.to), &edit);
  free(long_token);
}
END_TEST

START_TEST(other_kinds_of_file_are_refused_by_name) {
  llq_tokenizer *t;
  const char sentencepiece[] = "\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02";
  ck_assert_llq_fails(try_open(sentencepiece, sizeof sentencepiece - 1), OTHER,
                      "file: a SentencePiece tokenizer");
  ck_assert_llq_fails(try_open("", 0), BAD, "the file is empty");
  ck_assert_llq_fails(try_open(" ", 1), BAD, "line 1: expected base64");
  ck_assert_llq_fails(try_open("{}", 2), BAD, "no \"model\"");
  ck_assert_llq_fails(llq_tokenizer_open(&t, test_path("absent")), LLQ_ERROR_IO,
                      "absent: No such file");
}
END_TEST

START_TEST(a_directory_has_one_of_the_two_files) {
  llq_tokenizer *t;
  char *json = small_tokenizer_json(NULL, NULL);
  char *model = small_tokenizer_model(NULL, NULL);
  const char *folder = test_path("folder");
  ck_assert_int_eq(mkdir(folder, 0777), 0);
  ck_assert_llq_fails(llq_tokenizer_open(&t, folder), LLQ_ERROR_IO,
                      "folder: no tokenizer.json or tokenizer.model");
  small_file("folder/tokenizer.model", model, strlen(model));
  ck_assert_llq_ok(llq_tokenizer_open(&t, folder));
  ck_assert_uint_eq(llq_tokenizer_n_vocab(t), 260 + 256);
  llq_tokenizer_close(t);
  small_file("folder/tokenizer.json", json, strlen(json));
  ck_assert_llq_ok(llq_tokenizer_open(&t, folder));
  ck_assert_uint_eq(llq_tokenizer_n_vocab(t), SMALL_N_VOCAB);
  llq_tokenizer_close(t);
  free(json);
  free(model);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused) {
  char *json = small_tokenizer_json(NULL, NULL);
  char *model = small_tokenizer_model(NULL, NULL);
  for (size_t n = 0; n < strlen(json) - 2; n += 11)
    ck_assert_llq_fails(try_open(json, n), BAD, "file: ");
  for (size_t n = 0; n < strlen(model) - 40; n += 11)
    ck_assert_llq_fails(try_open(model, n), BAD, "file: ");
  free(json);
  free(model);
}
END_TEST

START_TEST(damaged_bytes_never_crash) {
  srand(5);
  int n_opened = 0, n_refused = 0;
  for (int i = 0; i < 3000; i++) {
    char *text = (i & 1) ? small_tokenizer_json(NULL, NULL)
                         : small_tokenizer_model(NULL, NULL);
    size_t n = strlen(text);
    for (int k = rand() % 4; k >= 0; k--)
      text[(size_t)rand() % n] =
          (rand() & 1) ? "\"\\{}[],: 0-"[rand() % 12] : (char)rand();
    int status = try_open(text, n);
    n_opened += status == LLQ_OK;
    n_refused += status == BAD || status == OTHER;
    free(text);
  }
  ck_assert_int_eq(n_opened + n_refused, 3000);
  ck_assert_int_gt(n_refused, 1000);
}
END_TEST

/* Everything a tokenizer does, up to the first failure. */
static int use(const char *path) {
  static char text[300] = "\xff <|eot_id|> ";
  const llq_message message = {"user", "Hi"};
  llq_tokenizer *t;
  size_t n;
  char *chat = NULL;
  memset(text + 13, 'a', 200);
  int status = llq_tokenizer_open(&t, path);
  if (status >= 0)
    status =
        llq_tokenizer_encode(t, text, 213, LLQ_ENCODE_SPECIAL, NULL, 0, &n);
  if (status >= 0)
    status = llq_tokenizer_chat(t, &message, 1, NULL, 1, &chat);
  llq_free(chat);
  llq_tokenizer_close(t);
  return status;
}

static void fail_each_allocation(const char *path) {
  long n = 0, n_made;
  do {
    llqi_alloc_fail_at(++n, 0);
    int status = use(path);
    n_made = llqi_alloc_count();
    llqi_alloc_fail_at(0, 0);
    ck_assert_int_eq(status, n <= n_made ? LLQ_ERROR_MEMORY : LLQ_OK);
    ck_assert_int_eq(status != LLQ_OK, llq_error_message()[0] != '\0');
  } while (n <= n_made);
  ck_assert_int_gt(n_made, 20);
}

START_TEST(memory_that_runs_out_is_an_error_at_every_allocation) {
  char *json = small_tokenizer_json("\"xyz\"", "\"\\u0078yz\"");
  char *model = small_tokenizer_model(NULL, NULL);
  fail_each_allocation(small_file("file", json, strlen(json)));
  fail_each_allocation(small_file("file", model, strlen(model)));
  free(json);
  free(model);
}
END_TEST

#define COUNT(array) (int)(sizeof array / sizeof array[0])

Suite *test_suite(void) {
  Suite *suite = suite_create("tokenizer_files");
  TCase *tests = tcase_create("files");
  tcase_set_timeout(tests, 60);
  tcase_add_loop_test(tests, what_a_tokenizer_json_may_say_is_known, 0,
                      COUNT(json_edits));
  tcase_add_loop_test(tests, what_a_tokenizer_model_may_say_is_known, 0,
                      COUNT(model_edits));
  tcase_add_test(tests, a_token_beyond_the_limit_is_refused);
  tcase_add_test(tests, other_kinds_of_file_are_refused_by_name);
  tcase_add_test(tests, a_directory_has_one_of_the_two_files);
  tcase_add_test(tests, a_file_cut_anywhere_is_refused);
  tcase_add_test(tests, damaged_bytes_never_crash);
  tcase_add_test(tests, memory_that_runs_out_is_an_error_at_every_allocation);
  suite_add_tcase(suite, tests);
  return suite;
}
