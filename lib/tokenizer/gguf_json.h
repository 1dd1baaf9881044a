/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer inside a GGUF file, as the tokenizer.json that it came from. */
#ifndef LLQI_TOKENIZER_GGUF_JSON_H
#define LLQI_TOKENIZER_GGUF_JSON_H

#include "base/text.h"
#include "checkpoint/gguf.h"

/* Appends the JSON; refuses by name what is not Llama 3's kind. */
int llqi_gguf_tokenizer_json(const struct llqi_gguf *gguf,
                             struct llqi_text *out);

#endif
