/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep.json, checked, and the forms it is shown in. */
#ifndef LLQI_REPORT_REPORT_H
#define LLQI_REPORT_REPORT_H

#include <jansson.h>
#include <llq/report.h>

#include "base/text.h"

/* One format of a sweep. Reals are NaN where the sweep has null. */
struct llqi_report_row {
  const char *name;
  double pass, pass_low, pass_high; /* fractions */
  double weight_bytes;
  double tokens_per_second;
  int compared; /* the members below are set: every row but the base */
  double difference, difference_low, difference_high;
  double p, recovery, detectable;
  const json_t *lost, *gained; /* arrays of task names */
};

/* Strings are borrowed from the JSON. */
struct llq_report {
  char *directory;
  json_t *sweep;
  const char *model, *task, *protocol, *backend, *device, *arch, *sandbox;
  const char *base;
  int64_t n_tasks, n_samples;
  struct llqi_report_row *rows;
  size_t n_rows;
  struct llqi_text text; /* what llq_report_text returned last */
};

enum { LLQI_REPORT_COLUMNS = 9, LLQI_REPORT_CELL = 64 };

/* The table's head: "format", "pass@1", ... */
extern const char *const llqi_report_head[LLQI_REPORT_COLUMNS];

/* A row's cells as plain text. */
void llqi_report_cells(const struct llqi_report_row *row,
                       char cells[LLQI_REPORT_COLUMNS][LLQI_REPORT_CELL]);

/* The sentences around the table: what ran, and what it could have shown. */
int llqi_report_title(const llq_report *report, struct llqi_text *out);
int llqi_report_note(const llq_report *report, struct llqi_text *out);

int llqi_report_plain(const llq_report *report, struct llqi_text *out);
int llqi_report_markdown(const llq_report *report, struct llqi_text *out);
int llqi_report_html(const llq_report *report, struct llqi_text *out);

/* The trade-off, pass@1 over bytes of weights, as an SVG element. */
int llqi_report_plot(const llq_report *report, struct llqi_text *out);

/* Appends text with what HTML and XML treat specially escaped. */
int llqi_report_escape(struct llqi_text *out, const char *text);

#endif
