/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts text into the pieces within which bytes merge, by Llama 3's pattern. */
#ifndef LLQI_TOKENIZER_SPLIT_H
#define LLQI_TOKENIZER_SPLIT_H

#include <stddef.h>

/* The pattern as Llama 3's files write it. */
extern const char llqi_split_pattern[];

/* The compiled pattern; any threads may share it. */
struct llqi_splitter {
  struct pcre2_real_general_context_8 *memory;
  struct pcre2_real_code_8 *code;
  struct pcre2_real_match_context_8 *limits;
};
int llqi_splitter_open(struct llqi_splitter *splitter);
void llqi_splitter_close(struct llqi_splitter *splitter);

/* One thread's use of it. */
struct llqi_split {
  const struct llqi_splitter *splitter;
  struct pcre2_real_match_data_8 *match;
};
int llqi_split_open(struct llqi_split *split,
                    const struct llqi_splitter *splitter);
void llqi_split_close(struct llqi_split *split);

/* The length of the piece that begins at `at` < n, in text that is UTF-8. */
int llqi_split_next(struct llqi_split *split, const char *text, size_t n,
                    size_t at, size_t *length);

#endif
