/* SPDX-License-Identifier: Apache-2.0 */
/* Named, versioned ways to ask a model for programs: the prompt, where it
   stops, how it samples, and what of the text is run. doc/protocols.md says
   where each comes from. A change to any of it gives a new version. */
#ifndef LLQI_EVALUATOR_PROTOCOL_H
#define LLQI_EVALUATOR_PROTOCOL_H

#include <llq/model.h>
#include <stddef.h>
#include <stdint.h>

enum llqi_prompt_form {
  LLQI_PROMPT_RAW,      /* the task's prompt, to be continued */
  LLQI_PROMPT_STRIPPED, /* without blank lines around it, and a newline */
  LLQI_PROMPT_CHAT      /* a chat whose answer has begun: a whole program */
};

struct llqi_protocol {
  const char *name;
  int version;
  enum llqi_prompt_form form;
  const char *const *stops;
  size_t n_stops;
  int32_t n_samples, n_tokens_max;
  double temperature; /* 0: greedy */
  double top_p;       /* 0: all */
  int processed;      /* tabs become 4 spaces, then llqi_sanitize() */
};

/* The protocol of that name; `chat` picks between the two forms of one that
   has both. */
int llqi_protocol_find(const char *name, int chat,
                       const struct llqi_protocol **out);

/* Whether a model has a chat template, as EvalPlus decides it: by its
   tokenizer_config.json, or the file where newer models keep it. */
int llqi_protocol_has_chat(const llq_model *model, int *chat);

/* The text that a model is given for a task's prompt; the caller's to
   llqi_free. */
int llqi_protocol_render(const struct llqi_protocol *protocol,
                         const llq_tokenizer *tokenizer, const char *prompt,
                         char **text);

/* The tokens of a rendered prompt, BOS included; the caller's to llqi_free. */
int llqi_protocol_encode(const struct llqi_protocol *protocol,
                         const llq_tokenizer *tokenizer, const char *text,
                         int32_t **ids, size_t *n_ids);

/* The programs in what a model wrote after a rendered prompt: *raw as it
   stands, and *processed, NULL if the protocol has no post-processing. Both
   are the caller's to llqi_free. */
int llqi_protocol_programs(const struct llqi_protocol *protocol,
                           const char *rendered, const char *text,
                           const char *entry_point, char **raw,
                           char **processed);

#endif
