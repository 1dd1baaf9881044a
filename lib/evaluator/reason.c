/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluator/reason.h"

#include <stdio.h>
#include <string.h>

const char *llqi_reason_name(enum llqi_reason reason) {
  static const char *const names[] = {
      "passed",       "wrong answer", "not plain data", "exception",
      "syntax error", "timed out",    "memory limit",   "output limit",
      "exited",       "crashed",      "forged answer",  "broken check"};
  return names[reason];
}

/* ASCII without control characters: what a program says may go to terminals. */
static void add_detail(struct llqi_verdict *verdict, const char *bytes,
                       size_t n) {
  size_t at = strlen(verdict->text);
  for (size_t i = 0; i < n && at < sizeof verdict->text - 1; i++) {
    char c = bytes[i];
    if (c == '\n' && i + 1 < n && at < sizeof verdict->text - 2) {
      verdict->text[at++] = ':';
      c = ' ';
    } else if (c == '\n') {
      break;
    }
    verdict->text[at++] = c >= 0x20 && c < 0x7f ? c : '?';
  }
  verdict->text[at] = '\0';
}

void llqi_verdict_set(struct llqi_verdict *verdict, enum llqi_reason reason,
                      const char *detail, size_t n) {
  verdict->passed = reason == LLQI_REASON_PASSED;
  verdict->reason = reason;
  snprintf(verdict->text, sizeof verdict->text, "%s%s",
           llqi_reason_name(reason), n > 0 ? ": " : "");
  add_detail(verdict, detail, n);
}

int llqi_reason_of(char kind, enum llqi_reason *reason) {
  static const char kinds[] = "PWXESMBQFK";
  static const enum llqi_reason reasons[] = {
      LLQI_REASON_PASSED,    LLQI_REASON_WRONG_ANSWER, LLQI_REASON_NOT_PLAIN,
      LLQI_REASON_EXCEPTION, LLQI_REASON_SYNTAX,       LLQI_REASON_MEMORY,
      LLQI_REASON_OUTPUT,    LLQI_REASON_EXITED,       LLQI_REASON_FORGED,
      LLQI_REASON_CHECK};
  const char *at = kind != '\0' ? strchr(kinds, kind) : NULL;
  if (at != NULL)
    *reason = reasons[at - kinds];
  return at != NULL;
}
