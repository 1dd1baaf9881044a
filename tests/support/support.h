/* SPDX-License-Identifier: Apache-2.0 */
/* What every Check program of libllq shares. */
#ifndef LLQ_TEST_SUPPORT_H
#define LLQ_TEST_SUPPORT_H

#include <check.h>
#include <llq/status.h>

/* Each test program defines this; the main() here runs it and prints TAP. */
Suite *test_suite(void);

/* A new empty directory that is removed when the program ends. */
const char *test_directory(void);

/* "<test_directory()>/<name>", in one of a few rotating buffers. */
const char *test_path(const char *name);

/* The same path, of which nothing is left; valid until the next call. */
const char *test_empty_directory(const char *name);

/* A file of the public test data, or NULL (after a visible "# SKIP" line) when
   it is absent. */
const char *test_data(const char *name);

/* Asserts success, and shows the message if not. */
#define ck_assert_llq_ok(call)                                                 \
  do {                                                                         \
    int ck_status = (call);                                                    \
    ck_assert_msg(ck_status == LLQ_OK, "%s: %s: %s", #call,                    \
                  llq_status_name(ck_status), llq_error_message());            \
  } while (0)

/* Asserts a failure with this code and a message that contains this text. */
#define ck_assert_llq_fails(call, code, text)                                  \
  do {                                                                         \
    int ck_status = (call);                                                    \
    ck_assert_msg(ck_status == (code), "%s: %s, expected %s (%s)", #call,      \
                  llq_status_name(ck_status), #code, llq_error_message());     \
    ck_assert_msg(strstr(llq_error_message(), (text)) != NULL,                 \
                  "message '%s' does not contain '%s'", llq_error_message(),   \
                  (text));                                                     \
  } while (0)

#endif
