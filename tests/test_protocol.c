/* SPDX-License-Identifier: Apache-2.0 */
/* What a model is asked, and what of its answer is run. */
#include <string.h>

#include <llq/tokenizer.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "evaluator/protocol.h"
#include "model/model.h"
#include "support.h"

static const char prompt[] = "\ndef f(x):\n    \"\"\"Doc\"\"\"\n\n";

static const struct llqi_protocol *find(const char *name, int chat) {
  const struct llqi_protocol *protocol;
  ck_assert_llq_ok(llqi_protocol_find(name, chat, &protocol));
  return protocol;
}

START_TEST(each_protocol_has_its_published_settings) {
  const struct llqi_protocol *p = find("humaneval", 1);
  ck_assert_int_eq(p->form, LLQI_PROMPT_RAW);
  ck_assert_int_eq(p->n_samples, 1);
  ck_assert_int_eq(p->processed, 0);
  p = find("evalplus", 0);
  ck_assert_int_eq(p->form, LLQI_PROMPT_STRIPPED);
  ck_assert_int_eq(p->n_tokens_max, 768);
  p = find("evalplus", 1);
  ck_assert_int_eq(p->form, LLQI_PROMPT_CHAT);
  ck_assert_double_eq(p->temperature, 0);
  p = find("study", 0);
  ck_assert_int_eq(p->form, LLQI_PROMPT_CHAT);
  ck_assert_int_eq(p->n_samples, 50);
  ck_assert_double_eq(p->temperature, 0.2);
  ck_assert_double_eq(p->top_p, 0.95);
  ck_assert_llq_fails(llqi_protocol_find("mbpp", 0, &p), LLQ_ERROR_ARGUMENT,
                      "\"mbpp\"");
}
END_TEST

static void check_rendered(const char *name, int chat, const char *expected) {
  char *text;
  ck_assert_llq_ok(llqi_protocol_render(find(name, chat), NULL, prompt, &text));
  ck_assert_str_eq(text, expected);
  llqi_free(text);
}

START_TEST(base_prompts_are_raw_or_stripped) {
  check_rendered("humaneval", 0, prompt);
  check_rendered("evalplus", 0, "def f(x):\n    \"\"\"Doc\"\"\"\n");
}
END_TEST

static llq_tokenizer *open_llama3(void) {
  llq_tokenizer *tokenizer;
  const char *path = test_data("llama3-tokenizer.model");
  if (path == NULL)
    return NULL;
  ck_assert_llq_ok(llq_tokenizer_open(&tokenizer, path));
  return tokenizer;
}

START_TEST(chat_prompts_end_where_the_code_begins) {
  llq_tokenizer *tokenizer = open_llama3();
  if (tokenizer == NULL)
    return;
  char *text;
  ck_assert_llq_ok(
      llqi_protocol_render(find("study", 1), tokenizer, prompt, &text));
  ck_assert_str_eq(
      text,
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
      "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
      "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
      "Please provide a self-contained Python script that solves the "
      "following problem in a markdown code block:\n```\ndef f(x):\n"
      "    \"\"\"Doc\"\"\"\n```<|eot_id|>"
      "<|start_header_id|>assistant<|end_header_id|>\n\n"
      "Below is a Python script with a self-contained function that solves "
      "the problem and passes corresponding tests:\n```python\n");
  llqi_free(text);
  llq_tokenizer_close(tokenizer);
}
END_TEST

START_TEST(prompts_begin_with_one_bos) {
  llq_tokenizer *tokenizer = open_llama3();
  if (tokenizer == NULL)
    return;
  static const char *const names[] = {"humaneval", "evalplus", "study"};
  for (size_t i = 0; i < 3; i++) {
    const struct llqi_protocol *protocol = find(names[i], 1);
    char *text;
    int32_t *ids;
    size_t n;
    ck_assert_llq_ok(llqi_protocol_render(protocol, tokenizer, prompt, &text));
    ck_assert_llq_ok(llqi_protocol_encode(protocol, tokenizer, text, &ids, &n));
    ck_assert_uint_gt(n, 4);
    ck_assert_int_eq(ids[0], llq_tokenizer_bos(tokenizer));
    ck_assert_int_ne(ids[1], llq_tokenizer_bos(tokenizer));
    llqi_free(ids);
    llqi_free(text);
  }
  llq_tokenizer_close(tokenizer);
}
END_TEST

static void check_programs(const char *name, int chat, const char *text,
                           const char *raw_expected,
                           const char *processed_expected) {
  char *raw, *processed;
  ck_assert_llq_ok(llqi_protocol_programs(find(name, chat), "def f(x):\n", text,
                                          "f", &raw, &processed));
  ck_assert_str_eq(raw, raw_expected);
  if (processed_expected != NULL)
    ck_assert_str_eq(processed, processed_expected);
  else
    ck_assert_ptr_null(processed);
  llqi_free(raw);
  llqi_free(processed);
}

START_TEST(programs_are_kept_before_and_after_processing) {
  check_programs("humaneval", 0, "\treturn x\nf(1)",
                 "def f(x):\n\treturn x\nf(1)", NULL);
  check_programs("evalplus", 0, "\treturn x\nf(1)",
                 "def f(x):\n\treturn x\nf(1)", "def f(x):\n    return x\n");
  check_programs("study", 1, "def f(x):\n\treturn x\n```\nDone.",
                 "def f(x):\n\treturn x\n```\nDone.",
                 "def f(x):\n    return x\n");
}
END_TEST

static void check_chat(const char *name, const char *content, int expected) {
  struct llq_model model = {.directory = (char *)test_directory()};
  int chat;
  ck_assert_llq_ok(llqi_file_write(test_path(name), content, strlen(content)));
  ck_assert_llq_ok(llqi_protocol_has_chat(&model, &chat));
  ck_assert_int_eq(chat, expected);
}

START_TEST(a_chat_template_makes_a_chat_model) {
  struct llq_model random = {.directory = NULL};
  int chat;
  ck_assert_llq_ok(llqi_protocol_has_chat(&random, &chat));
  ck_assert_int_eq(chat, 0);
  check_chat("tokenizer_config.json", "{}", 0);
  check_chat("tokenizer_config.json", "{\"chat_template\": null}", 0);
  check_chat("tokenizer_config.json", "{\"chat_template\": \"{{ }}\"}", 1);
  check_chat("tokenizer_config.json", "{}", 0);
  check_chat("chat_template.jinja", "{{ }}", 1);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("protocol");
  TCase *test = tcase_create("protocol");
  tcase_add_test(test, each_protocol_has_its_published_settings);
  tcase_add_test(test, base_prompts_are_raw_or_stripped);
  tcase_add_test(test, chat_prompts_end_where_the_code_begins);
  tcase_add_test(test, prompts_begin_with_one_bos);
  tcase_add_test(test, programs_are_kept_before_and_after_processing);
  tcase_add_test(test, a_chat_template_makes_a_chat_model);
  suite_add_tcase(suite, test);
  return suite;
}
