/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the log sink that the embedding program may have set. */
#ifndef LLQI_BASE_LOG_H
#define LLQI_BASE_LOG_H

#include <llq/status.h>

/* level: of enum llq_log_level. Does nothing when no sink wants the line. */
void llqi_log(int level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
