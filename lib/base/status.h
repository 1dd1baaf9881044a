/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes with a message: how every internal function fails. */
#ifndef LLQI_BASE_STATUS_H
#define LLQI_BASE_STATUS_H

#include <llq/status.h>

/* Returns at once when expr fails. Where something must be released first,
   functions use one `goto out` instead. */
#define LLQ_TRY(expr)                                                          \
  do {                                                                         \
    int llqi_try_status = (expr);                                              \
    if (llqi_try_status < 0)                                                   \
      return llqi_try_status;                                                  \
  } while (0)

/* Checks a caller's argument. */
#define LLQ_REQUIRE(condition, ...)                                            \
  do {                                                                         \
    if (!(condition))                                                          \
      return llqi_fail(LLQ_ERROR_ARGUMENT, __VA_ARGS__);                       \
  } while (0)

/* A thread's error, to carry from a worker to the thread that called. */
struct llqi_error {
  int status;
  char message[1000];
};

/* Sets the thread's message, unless one is set already (the first error is
   the cause; what fails after it is a consequence), and returns status. */
int llqi_fail(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Fails with the text of an errno, as "<what>: <strerror>". */
int llqi_fail_errno(int status, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " before a message that is set already; returns status, so
   that a caller who knows the file or the line can add it. */
int llqi_fail_within(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Forgets the message. Public functions that can fail begin with this. */
void llqi_error_clear(void);

/* Moves the thread's error out, and into another thread. */
void llqi_error_take(struct llqi_error *error, int status);
int llqi_error_raise(const struct llqi_error *error);

#endif
