/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/protocol.h"

#include <ctype.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/text.h"
#include "evaluator/sanitize.h"
#include "model/model.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define INSTRUCTION                                                            \
  "Please provide a self-contained Python script that solves the following "   \
  "problem in a markdown code block:"
#define ANSWER                                                                 \
  "Below is a Python script with a self-contained function that solves the "   \
  "problem and passes corresponding tests:"

static const char *const completion_stops[] = {"\nclass ", "\ndef ", "\n#",
                                               "\nif ", "\nprint"};

#define EVALPLUS_STOPS                                                         \
  "<|endoftext|>", "<|endofmask|>", "</s>", "\nif __name__", "\ndef main(",    \
      "\nprint("
static const char *const base_stops[] = {
    EVALPLUS_STOPS, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert "};
static const char *const chat_stops[] = {EVALPLUS_STOPS, "\n```\n"};

static const struct llqi_protocol protocols[] = {
    {.name = "humaneval",
     .version = 1,
     .form = LLQI_PROMPT_RAW,
     .stops = completion_stops,
     .n_stops = COUNT(completion_stops),
     .n_samples = 1,
     .n_tokens_max = 512},
    {.name = "evalplus",
     .version = 1,
     .form = LLQI_PROMPT_STRIPPED,
     .stops = base_stops,
     .n_stops = COUNT(base_stops),
     .n_samples = 1,
     .n_tokens_max = 768,
     .processed = 1},
    {.name = "evalplus",
     .version = 1,
     .form = LLQI_PROMPT_CHAT,
     .stops = chat_stops,
     .n_stops = COUNT(chat_stops),
     .n_samples = 1,
     .n_tokens_max = 768,
     .processed = 1},
    {.name = "study",
     .version = 1,
     .form = LLQI_PROMPT_CHAT,
     .stops = chat_stops,
     .n_stops = COUNT(chat_stops),
     .n_samples = 50,
     .n_tokens_max = 768,
     .temperature = 0.2,
     .top_p = 0.95,
     .processed = 1},
};

int llqi_protocol_find(const char *name, int chat,
                       const struct llqi_protocol **out) {
  *out = NULL;
  for (size_t i = 0; i < COUNT(protocols); i++) {
    if (strcmp(protocols[i].name, name) != 0)
      continue;
    if (*out == NULL || (protocols[i].form == LLQI_PROMPT_CHAT && chat))
      *out = &protocols[i];
  }
  if (*out == NULL)
    return llqi_fail(LLQ_ERROR_ARGUMENT,
                     "protocol \"%s\": expected \"humaneval\", \"evalplus\" "
                     "or \"study\"",
                     name);
  return LLQ_OK;
}

static int has_template(const char *path, int *chat) {
  json_t *config;
  if (!llqi_file_exists(path))
    return LLQ_OK;
  LLQ_TRY(llqi_json_read(path, &config));
  const json_t *template = json_object_get(config, "chat_template");
  *chat = template != NULL && !json_is_null(template);
  json_decref(config);
  return LLQ_OK;
}

int llqi_protocol_has_chat(const llq_model *model, int *chat) {
  *chat = 0;
  if (model->directory == NULL)
    return LLQ_OK;
  char *config = llqi_path_join(model->directory, "tokenizer_config.json");
  char *own_file = llqi_path_join(model->directory, "chat_template.jinja");
  int status = LLQ_ERROR_MEMORY;
  if (config != NULL && own_file != NULL)
    status = has_template(config, chat);
  if (status >= 0)
    *chat |= llqi_file_exists(own_file);
  llqi_free(own_file);
  llqi_free(config);
  return status;
}

/* Appends text without the white space around it. */
static int append_stripped(struct llqi_text *out, const char *text) {
  const char *end = text + strlen(text);
  while (isspace((unsigned char)*text))
    text++;
  while (end > text && isspace((unsigned char)end[-1]))
    end--;
  return llqi_text_append(out, text, (size_t)(end - text));
}

/* The chat up to where the answer's code begins. */
static int render_chat(const llq_tokenizer *tokenizer, const char *prompt,
                       struct llqi_text *out) {
  struct llqi_text question = {0};
  char *chat = NULL;
  int status = llqi_text_puts(&question, INSTRUCTION "\n```\n");
  if (status >= 0)
    status = append_stripped(&question, prompt);
  if (status >= 0)
    status = llqi_text_puts(&question, "\n```");
  if (status >= 0) {
    const llq_message messages[] = {{"user", question.data},
                                    {"assistant", ANSWER "\n```python"}};
    status = llq_tokenizer_chat(tokenizer, messages, COUNT(messages), NULL, 2,
                                &chat);
  }
  if (status >= 0)
    status = llqi_text_printf(out, "%s\n", chat);
  llq_free(chat);
  llqi_text_free(&question);
  return status;
}

int llqi_protocol_render(const struct llqi_protocol *protocol,
                         const llq_tokenizer *tokenizer, const char *prompt,
                         char **text) {
  struct llqi_text out = {0};
  int status;
  *text = NULL;
  if (protocol->form == LLQI_PROMPT_CHAT) {
    status = render_chat(tokenizer, prompt, &out);
  } else if (protocol->form == LLQI_PROMPT_STRIPPED) {
    status = append_stripped(&out, prompt);
    if (status >= 0)
      status = llqi_text_puts(&out, "\n");
  } else {
    status = llqi_text_puts(&out, prompt);
  }
  if (status >= 0 && (*text = llqi_text_take(&out)) == NULL)
    status = LLQ_ERROR_MEMORY;
  llqi_text_free(&out);
  return status;
}

int llqi_protocol_encode(const struct llqi_protocol *protocol,
                         const llq_tokenizer *tokenizer, const char *text,
                         int32_t **ids, size_t *n_ids) {
  size_t n = strlen(text);
  int flags = LLQ_ENCODE_SPECIAL; /* a chat has its BOS in the text */
  if (protocol->form != LLQI_PROMPT_CHAT)
    flags = llq_tokenizer_bos(tokenizer) >= 0 ? LLQ_ENCODE_BOS : 0;
  *ids = llqi_array(n + 1, sizeof **ids);
  if (*ids == NULL)
    return LLQ_ERROR_MEMORY;
  int status =
      llq_tokenizer_encode(tokenizer, text, n, flags, *ids, n + 1, n_ids);
  if (status < 0) {
    llqi_free(*ids);
    *ids = NULL;
  }
  return status;
}

static int replace_tabs(const char *program, struct llqi_text *out) {
  for (;;) {
    const char *tab = strchr(program, '\t');
    if (tab == NULL)
      return llqi_text_puts(out, program);
    LLQ_TRY(llqi_text_append(out, program, (size_t)(tab - program)));
    LLQ_TRY(llqi_text_puts(out, "    "));
    program = tab + 1;
  }
}

static int process(const char *raw, const char *entry_point, char **processed) {
  struct llqi_text spaced = {0};
  int status = replace_tabs(raw, &spaced);
  if (status >= 0)
    status = llqi_sanitize(spaced.data, entry_point, processed);
  llqi_text_free(&spaced);
  return status;
}

int llqi_protocol_programs(const struct llqi_protocol *protocol,
                           const char *rendered, const char *text,
                           const char *entry_point, char **raw,
                           char **processed) {
  struct llqi_text program = {0};
  int status = LLQ_OK;
  *raw = *processed = NULL;
  if (protocol->form != LLQI_PROMPT_CHAT)
    status = llqi_text_puts(&program, rendered);
  if (status >= 0)
    status = llqi_text_puts(&program, text);
  if (status >= 0 && (*raw = llqi_text_take(&program)) == NULL)
    status = LLQ_ERROR_MEMORY;
  if (status >= 0 && protocol->processed)
    status = process(*raw, entry_point, processed);
  llqi_text_free(&program);
  if (status < 0) {
    llqi_free(*raw);
    *raw = NULL;
  }
  return status;
}
