/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 24
#define SECONDS_BETWEEN_BARS 0.1
#define SECONDS_BETWEEN_LINES 10.0

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_begin(struct progress_display *display, const char *title) {
  memset(display, 0, sizeof *display);
  display->title = title;
  display->terminal = isatty(STDERR_FILENO);
  display->started = now();
}

/* "12.3 tasks/s, 1:05 left", as far as it is known. */
static void describe_rate(const struct progress_display *display,
                          const llq_progress *progress, char *text,
                          size_t size) {
  double seconds = now() - display->started;
  double done = (double)(progress->done - display->done_at_start);
  text[0] = '\0';
  if (seconds < 0.5 || done <= 0)
    return;
  double rate = done / seconds;
  int n = snprintf(text, size, "  %.*f %s/s", rate < 10 ? 2 : 0, rate,
                   progress->unit);
  if (progress->total <= progress->done || n < 0 || (size_t)n >= size)
    return;
  long left = (long)((double)(progress->total - progress->done) / rate + 0.5);
  snprintf(text + n, size - (size_t)n, ", %ld:%02ld left", left / 60,
           left % 60);
}

static void draw_bar(const struct progress_display *display,
                     const llq_progress *progress, const char *rate) {
  char bar[BAR_WIDTH + 1];
  double share = progress->total > 0
                     ? (double)progress->done / (double)progress->total
                     : 0;
  int filled = (int)(share * BAR_WIDTH);
  for (int i = 0; i < BAR_WIDTH; i++)
    bar[i] = i < filled ? '#' : '.';
  bar[BAR_WIDTH] = '\0';
  fprintf(stderr, "\r\033[K%s [%s] %llu/%llu %s%s  %.40s", display->title, bar,
          (unsigned long long)progress->done,
          (unsigned long long)progress->total, progress->unit, rate,
          progress->what);
  fflush(stderr);
}

void progress_update(struct progress_display *display,
                     const llq_progress *progress) {
  double time = now();
  if (!display->begun)
    display->done_at_start = progress->done;
  double pause =
      display->terminal ? SECONDS_BETWEEN_BARS : SECONDS_BETWEEN_LINES;
  if (display->begun && time - display->last_drawn < pause)
    return;
  if (!display->begun && !display->terminal) {
    display->begun = 1;
    display->last_drawn = time;
    return;
  }
  display->begun = 1;
  display->last_drawn = time;
  char rate[80];
  describe_rate(display, progress, rate, sizeof rate);
  if (display->terminal) {
    draw_bar(display, progress, rate);
    display->shown = 1;
  } else {
    fprintf(stderr, "%s: %llu of %llu %s%s  %s\n", display->title,
            (unsigned long long)progress->done,
            (unsigned long long)progress->total, progress->unit, rate,
            progress->what);
  }
}

void progress_end(struct progress_display *display) {
  if (display->shown)
    fprintf(stderr, "\r\033[K");
  display->shown = 0;
}
