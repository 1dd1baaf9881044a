/* SPDX-License-Identifier: Apache-2.0 */
/* Progress on standard error: a bar on a terminal, plain lines elsewhere. */
#ifndef LLQ_SRC_PROGRESS_H
#define LLQ_SRC_PROGRESS_H

#include <llq/status.h>

struct progress_display {
  const char *title;
  int terminal;
  int shown;      /* a bar is on the current line */
  double started; /* seconds */
  double last_drawn;
  uint64_t done_at_start; /* resumed work is not part of the rate */
  int begun;
};

void progress_begin(struct progress_display *display, const char *title);
void progress_update(struct progress_display *display,
                     const llq_progress *progress);
/* Leaves the cursor on an empty line. */
void progress_end(struct progress_display *display);

#endif
