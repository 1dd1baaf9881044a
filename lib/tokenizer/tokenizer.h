/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer, and what the readers of its files fill in. */
#ifndef LLQI_TOKENIZER_TOKENIZER_H
#define LLQI_TOKENIZER_TOKENIZER_H

#include <llq/tokenizer.h>

#include "base/file.h"
#include "base/json.h"
#include "tokenizer/bpe.h"
#include "tokenizer/special.h"
#include "tokenizer/split.h"
#include "tokenizer/vocab.h"

struct llq_tokenizer {
  struct llqi_vocab vocab;
  struct llqi_bpe bpe;
  /* Made by llqi_tokenizer_finish() */
  struct llqi_specials specials;
  struct llqi_splitter splitter;
  int32_t bos;
};

/* Each reads a whole file's bytes into the vocab and bpe of a zeroed
   tokenizer; `where` names the file in messages. */
int llqi_tokenizer_read_json(llq_tokenizer *tokenizer, const char *where,
                             const struct llqi_mapping *file);
int llqi_tokenizer_read_tiktoken(llq_tokenizer *tokenizer, const char *where,
                                 const struct llqi_mapping *file);

/* Takes what a tokenizer.json says besides its vocabulary and merges. */
int llqi_tokenizer_read_config(llq_tokenizer *tokenizer, const char *where,
                               const json_t *root);

/* Checks what was read and makes the rest. */
int llqi_tokenizer_finish(llq_tokenizer *tokenizer);

#endif
