/* SPDX-License-Identifier: Apache-2.0 */
/* A growing run of bytes, always followed by a NUL. */
#ifndef LLQI_BASE_TEXT_H
#define LLQI_BASE_TEXT_H

#include <stddef.h>

/* Zero-initialized is empty; data is then NULL. */
struct llqi_text {
  char *data;
  size_t length;
  size_t capacity;
};

/* Each returns LLQ_OK or LLQ_ERROR_MEMORY, with the text unchanged. */
int llqi_text_append(struct llqi_text *text, const void *bytes, size_t n);
int llqi_text_puts(struct llqi_text *text, const char *string);
int llqi_text_printf(struct llqi_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int llqi_text_reserve(struct llqi_text *text, size_t n_more);

/* Keeps the memory, forgets the bytes. */
void llqi_text_clear(struct llqi_text *text);
void llqi_text_free(struct llqi_text *text);

/* Hands the bytes to the caller, who frees them, and empties the text. An
   empty text gives an allocated ""; NULL means out of memory. */
char *llqi_text_take(struct llqi_text *text);

#endif
