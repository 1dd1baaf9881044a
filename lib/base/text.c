/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

int llqi_text_reserve(struct llqi_text *text, size_t n_more) {
  if (n_more >= SIZE_MAX / 4 || text->length >= SIZE_MAX / 4)
    return llqi_fail(LLQ_ERROR_MEMORY, "out of memory: text too long");
  size_t wanted = text->length + n_more + 1;
  if (wanted <= text->capacity)
    return LLQ_OK;
  size_t capacity = text->capacity * 2 > wanted ? text->capacity * 2 : wanted;
  capacity = capacity < 64 ? 64 : capacity;
  char *data = llqi_resize(text->data, capacity, 1);
  if (data == NULL)
    return LLQ_ERROR_MEMORY;
  data[text->length] = '\0';
  text->data = data;
  text->capacity = capacity;
  return LLQ_OK;
}

int llqi_text_append(struct llqi_text *text, const void *bytes, size_t n) {
  LLQ_TRY(llqi_text_reserve(text, n));
  if (n > 0)
    memcpy(text->data + text->length, bytes, n);
  text->length += n;
  text->data[text->length] = '\0';
  return LLQ_OK;
}

int llqi_text_puts(struct llqi_text *text, const char *string) {
  return llqi_text_append(text, string, strlen(string));
}

int llqi_text_printf(struct llqi_text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n < 0)
    return llqi_fail(LLQ_ERROR_INTERNAL, "cannot format '%s'", format);
  LLQ_TRY(llqi_text_reserve(text, (size_t)n));
  va_start(args, format);
  vsnprintf(text->data + text->length, (size_t)n + 1, format, args);
  va_end(args);
  text->length += (size_t)n;
  return LLQ_OK;
}

void llqi_text_clear(struct llqi_text *text) {
  text->length = 0;
  if (text->data != NULL)
    text->data[0] = '\0';
}

void llqi_text_free(struct llqi_text *text) {
  llqi_free(text->data);
  memset(text, 0, sizeof *text);
}

char *llqi_text_take(struct llqi_text *text) {
  if (llqi_text_reserve(text, 0) < 0)
    return NULL;
  char *data = text->data;
  memset(text, 0, sizeof *text);
  return data;
}
