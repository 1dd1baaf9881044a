/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 3.1's chat format. */
#include <llq/tokenizer.h>
#include <string.h>

#include "small_tokenizer.h"
#include "support.h"

#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
#define SYSTEM(date)                                                           \
  "<|begin_of_text|>" HEADER(                                                  \
      "system") "Cutting Knowledge Date: December 2023\nToday Date: " date     \
                "\n\n"

static void assert_chat(const llq_message *messages, size_t n, const char *date,
                        int add_prompt, const char *expected) {
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  char *text;
  ck_assert_llq_ok(llq_tokenizer_chat(t, messages, n, date, add_prompt, &text));
  ck_assert_str_eq(text, expected);
  llq_free(text);
  llq_tokenizer_close(t);
}

START_TEST(the_system_header_is_always_there) {
  const llq_message user = {"user", "Hi"};
  assert_chat(&user, 1, NULL, 0,
              SYSTEM("26 Jul 2024") "<|eot_id|>" HEADER("user") "Hi<|eot_id|>");
  assert_chat(&user, 1, "1 Jan 2025", 1,
              SYSTEM("1 Jan 2025") "<|eot_id|>" HEADER(
                  "user") "Hi<|eot_id|>" HEADER("assistant"));
}
END_TEST

START_TEST(a_leading_system_message_joins_the_header) {
  const llq_message messages[] = {
      {"system", "Be brief."}, {"user", "Hi"}, {"system", "Now."}};
  assert_chat(messages, 3, NULL, 0,
              SYSTEM("26 Jul 2024") "Be brief.<|eot_id|>" HEADER(
                  "user") "Hi<|eot_id|>" HEADER("system") "Now.<|eot_id|>");
  assert_chat(messages, 1, NULL, 1,
              SYSTEM("26 Jul 2024") "Be brief.<|eot_id|>" HEADER("assistant"));
}
END_TEST

START_TEST(white_space_around_contents_is_left_out) {
  const llq_message messages[] = {
      {"user", " \n\xc2\xa0\xe3\x80\x80 a  b\t\x1f\xe2\x80\xa8"},
      {"assistant", " \n "}};
  assert_chat(messages, 2, NULL, 0,
              SYSTEM("26 Jul 2024") "<|eot_id|>" HEADER(
                  "user") "a  b<|eot_id|>" HEADER("assistant") "<|eot_id|>");
}
END_TEST

START_TEST(an_open_assistant_message_keeps_its_end) {
  const llq_message messages[] = {{"user", "Hi"},
                                  {"assistant", "\nSure:\n```python\n"}};
  assert_chat(
      messages, 2, NULL, 2,
      SYSTEM("26 Jul 2024") "<|eot_id|>" HEADER("user") "Hi<|eot_id|>" HEADER(
          "assistant") "Sure:\n```python\n");
}
END_TEST

START_TEST(wrong_messages_are_refused) {
  llq_tokenizer *t = small_tokenizer_open(NULL, NULL);
  llq_message message = {"tool", "x"};
  char *text;
  ck_assert_llq_fails(llq_tokenizer_chat(t, &message, 1, NULL, 0, &text),
                      LLQ_ERROR_ARGUMENT, "message 0 has role 'tool'");
  message.role = NULL;
  ck_assert_llq_fails(llq_tokenizer_chat(t, &message, 1, NULL, 0, &text),
                      LLQ_ERROR_ARGUMENT, "message 0 lacks");
  message.role = "user";
  ck_assert_llq_fails(llq_tokenizer_chat(t, &message, 1, NULL, 2, &text),
                      LLQ_ERROR_ARGUMENT, "not an assistant's");
  ck_assert_llq_fails(llq_tokenizer_chat(t, &message, 1, NULL, 3, &text),
                      LLQ_ERROR_ARGUMENT, "add_prompt is 3");
  ck_assert_llq_fails(llq_tokenizer_chat(t, &message, 0, NULL, 0, &text),
                      LLQ_ERROR_ARGUMENT, "no messages");
  ck_assert_ptr_null(text);
  llq_tokenizer_close(t);
}
END_TEST

START_TEST(a_tokenizer_without_the_formats_tokens_has_no_chat) {
  llq_tokenizer *t = small_tokenizer_open("<|end_header_id|>", "<|end|>");
  const llq_message user = {"user", "Hi"};
  char *text;
  ck_assert_llq_fails(llq_tokenizer_chat(t, &user, 1, NULL, 1, &text),
                      LLQ_ERROR_UNSUPPORTED, "no <|end_header_id|>");
  llq_tokenizer_close(t);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("tokenizer_chat");
  TCase *tests = tcase_create("chat");
  tcase_add_test(tests, the_system_header_is_always_there);
  tcase_add_test(tests, a_leading_system_message_joins_the_header);
  tcase_add_test(tests, white_space_around_contents_is_left_out);
  tcase_add_test(tests, an_open_assistant_message_keeps_its_end);
  tcase_add_test(tests, wrong_messages_are_refused);
  tcase_add_test(tests, a_tokenizer_without_the_formats_tokens_has_no_chat);
  suite_add_tcase(suite, tests);
  return suite;
}
