/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
  llq_log_sink sink;
  void *user;
  int level;
} destination;

void llq_log_set(llq_log_sink sink, void *user, int level) {
  destination.sink = sink;
  destination.user = user;
  destination.level = level;
}

void llqi_log(int level, const char *format, ...) {
  if (destination.sink == NULL || level > destination.level)
    return;
  char line[1000];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  destination.sink(destination.user, level, line);
}
