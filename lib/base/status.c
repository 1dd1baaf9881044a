/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <llq/version.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Fixed storage: reporting that memory ran out must not need memory. */
static _Thread_local char message[sizeof(((struct llqi_error *)0)->message)];

const char *llq_version(void) {
  return LLQ_VERSION;
}

const char *llq_error_message(void) {
  return message;
}

const char *llq_status_name(int status) {
#define NAME(code)                                                             \
  case code:                                                                   \
    return #code
  switch (status) {
    NAME(LLQ_OK);
    NAME(LLQ_MORE);
    NAME(LLQ_ERROR_ARGUMENT);
    NAME(LLQ_ERROR_MEMORY);
    NAME(LLQ_ERROR_IO);
    NAME(LLQ_ERROR_FORMAT);
    NAME(LLQ_ERROR_UNSUPPORTED);
    NAME(LLQ_ERROR_DEVICE);
    NAME(LLQ_ERROR_SANDBOX);
    NAME(LLQ_ERROR_VERSION);
    NAME(LLQ_ERROR_STATE);
    NAME(LLQ_ERROR_INTERNAL);
  }
#undef NAME
  return "unknown status";
}

/* Messages are one line whatever a hostile file put into a name. */
static void keep_one_line(void) {
  for (char *c = message; *c != '\0'; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7f)
      *c = '?';
}

/* Adds ": <text>", as much of it as there is room for. */
static void append(const char *text) {
  size_t at = strlen(message);
  size_t room = sizeof message - 1 - at, length = strlen(text);
  if (room < 2)
    return;
  memcpy(message + at, ": ", 2);
  length = length < room - 2 ? length : room - 2;
  memcpy(message + at + 2, text, length);
  message[at + 2 + length] = '\0';
}

int llqi_fail(int status, const char *format, ...) {
  if (message[0] != '\0')
    return status;
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  keep_one_line();
  return status;
}

int llqi_fail_errno(int status, int error, const char *format, ...) {
  if (message[0] != '\0')
    return status;
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  append(strerror(error));
  keep_one_line();
  return status;
}

int llqi_fail_within(int status, const char *format, ...) {
  char inner[sizeof message];
  memcpy(inner, message, sizeof inner);
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  append(inner);
  keep_one_line();
  return status;
}

void llqi_error_clear(void) {
  message[0] = '\0';
}

void llqi_error_take(struct llqi_error *error, int status) {
  error->status = status;
  memcpy(error->message, message, sizeof message);
  llqi_error_clear();
}

int llqi_error_raise(const struct llqi_error *error) {
  return llqi_fail(error->status, "%s", error->message);
}
