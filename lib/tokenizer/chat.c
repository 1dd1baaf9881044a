/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 3.1's chat format without tools, as the chat template of its
   Instruct models renders it. */
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

#define DEFAULT_DATE "26 Jul 2024"

struct slice {
  const char *begin, *end;
};

/* White space is what Python's str.strip() takes off, because the template's
   `trim` does: Unicode's White_Space, and U+001C to U+001F. */
static int is_space(const char *c, size_t n) {
  static const char *const wide[] = {
      "\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
      "\u2004",   "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
      "\u2028",   "\u2029", "\u202f", "\u205f", "\u3000"};
  if (n == 1)
    return *c == ' ' || (*c >= '\t' && *c <= '\r') ||
           (*c >= 0x1c && *c <= 0x1f);
  for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
    if (strlen(wide[i]) == n && memcmp(wide[i], c, n) == 0)
      return 1;
  return 0;
}

static struct slice trim_left(struct slice s) {
  while (s.begin < s.end) {
    int n = llqi_utf8_next(s.begin, (size_t)(s.end - s.begin));
    if (n <= 0 || !is_space(s.begin, (size_t)n))
      break;
    s.begin += n;
  }
  return s;
}

static struct slice trim(struct slice s) {
  s = trim_left(s);
  while (s.begin < s.end) {
    const char *last = s.end - 1;
    while (last > s.begin && (*last & 0xc0) == 0x80)
      last--;
    if (!is_space(last, (size_t)(s.end - last)))
      break;
    s.end = last;
  }
  return s;
}

static int put_header(struct llqi_text *out, const char *role) {
  return llqi_text_printf(out, "<|start_header_id|>%s<|end_header_id|>\n\n",
                          role);
}

static struct slice content_of(const llq_message *message) {
  const char *content = message->content;
  return (struct slice){content, content + strlen(content)};
}

static int put_slice(struct llqi_text *out, struct slice s) {
  return llqi_text_append(out, s.begin, (size_t)(s.end - s.begin));
}

static int put_system(struct llqi_text *out, const llq_message *message,
                      const char *date) {
  LLQ_TRY(llqi_text_puts(out, "<|begin_of_text|>"));
  LLQ_TRY(put_header(out, "system"));
  LLQ_TRY(llqi_text_printf(out,
                           "Cutting Knowledge Date: December 2023\n"
                           "Today Date: %s\n\n",
                           date));
  if (message != NULL)
    LLQ_TRY(put_slice(out, trim(content_of(message))));
  return llqi_text_puts(out, "<|eot_id|>");
}

static int put_message(struct llqi_text *out, const llq_message *message,
                       int open) {
  LLQ_TRY(put_header(out, message->role));
  if (open)
    return put_slice(out, trim_left(content_of(message)));
  LLQ_TRY(put_slice(out, trim(content_of(message))));
  return llqi_text_puts(out, "<|eot_id|>");
}

static int render(struct llqi_text *out, const llq_message *messages,
                  size_t n_messages, const char *date, int add_prompt) {
  size_t i = strcmp(messages[0].role, "system") == 0;
  LLQ_TRY(put_system(out, i > 0 ? messages : NULL, date));
  for (; i < n_messages; i++)
    LLQ_TRY(
        put_message(out, &messages[i], add_prompt == 2 && i + 1 == n_messages));
  return add_prompt == 1 ? put_header(out, "assistant") : LLQ_OK;
}

static int check_messages(const llq_message *messages, size_t n_messages,
                          int add_prompt) {
  static const char *const roles[] = {"system", "user", "assistant"};
  for (size_t i = 0; i < n_messages; i++) {
    const char *role = messages[i].role;
    LLQ_REQUIRE(role != NULL && messages[i].content != NULL,
                "llq_tokenizer_chat: message %zu lacks a role or content", i);
    size_t known = 0;
    while (known < 3 && strcmp(role, roles[known]) != 0)
      known++;
    LLQ_REQUIRE(known < 3,
                "llq_tokenizer_chat: message %zu has role '%s', expected "
                "system, user or assistant",
                i, role);
  }
  LLQ_REQUIRE(add_prompt >= 0 && add_prompt <= 2,
              "llq_tokenizer_chat: add_prompt is %d, expected 0 to 2",
              add_prompt);
  LLQ_REQUIRE(add_prompt < 2 ||
                  strcmp(messages[n_messages - 1].role, "assistant") == 0,
              "llq_tokenizer_chat: the message to continue is not an "
              "assistant's");
  return LLQ_OK;
}

static int check_tokens(const llq_tokenizer *tokenizer) {
  static const char *const names[] = {"<|begin_of_text|>",
                                      "<|start_header_id|>",
                                      "<|end_header_id|>", "<|eot_id|>"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (llq_tokenizer_special(tokenizer, names[i]) < 0)
      return llqi_fail(LLQ_ERROR_UNSUPPORTED,
                       "the tokenizer has no %s, which the chat format needs",
                       names[i]);
  return LLQ_OK;
}

int llq_tokenizer_chat(const llq_tokenizer *tokenizer,
                       const llq_message *messages, size_t n_messages,
                       const char *date, int add_prompt, char **out) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL, "llq_tokenizer_chat: out is NULL");
  *out = NULL;
  LLQ_REQUIRE(tokenizer != NULL && messages != NULL && n_messages > 0,
              "llq_tokenizer_chat: no tokenizer or no messages");
  LLQ_TRY(check_messages(messages, n_messages, add_prompt));
  LLQ_TRY(check_tokens(tokenizer));
  struct llqi_text text = {0};
  int status = render(&text, messages, n_messages,
                      date != NULL ? date : DEFAULT_DATE, add_prompt);
  if (status >= 0 && (*out = llqi_text_take(&text)) == NULL)
    status = LLQ_ERROR_MEMORY;
  llqi_text_free(&text);
  return status;
}
