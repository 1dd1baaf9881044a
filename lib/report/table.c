/* SPDX-License-Identifier: Apache-2.0 */
/* The trade-off table: its cells, and its plain and Markdown forms. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "report/report.h"

const char *const llqi_report_head[LLQI_REPORT_COLUMNS] = {
    "format",   "pass@1",  "95 % interval", "difference, points", "p", "flips",
    "recovery", "weights", "tokens/s"};

static void put_bytes(char cell[LLQI_REPORT_CELL], double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t i = 0;
  for (; bytes >= 1024 && i < 4; i++)
    bytes /= 1024;
  snprintf(cell, LLQI_REPORT_CELL, "%.*f %s", i == 0 ? 0 : 2, bytes, units[i]);
}

static void put_comparison(char cells[][LLQI_REPORT_CELL],
                           const struct llqi_report_row *row) {
  snprintf(cells[0], LLQI_REPORT_CELL, "%+.1f [%+.1f, %+.1f]",
           100 * row->difference, 100 * row->difference_low,
           100 * row->difference_high);
  if (row->p < 0.001)
    snprintf(cells[1], LLQI_REPORT_CELL, "<0.001");
  else
    snprintf(cells[1], LLQI_REPORT_CELL, "%.3f", row->p);
  snprintf(cells[2], LLQI_REPORT_CELL, "-%zu +%zu", json_array_size(row->lost),
           json_array_size(row->gained));
  if (isfinite(row->recovery))
    snprintf(cells[3], LLQI_REPORT_CELL, "%.1f %%", row->recovery);
}

void llqi_report_cells(const struct llqi_report_row *row,
                       char cells[LLQI_REPORT_COLUMNS][LLQI_REPORT_CELL]) {
  for (size_t i = 0; i < LLQI_REPORT_COLUMNS; i++)
    strcpy(cells[i], "");
  snprintf(cells[0], LLQI_REPORT_CELL, "%s", row->name);
  snprintf(cells[1], LLQI_REPORT_CELL, "%.1f %%", 100 * row->pass);
  snprintf(cells[2], LLQI_REPORT_CELL, "%.1f to %.1f", 100 * row->pass_low,
           100 * row->pass_high);
  if (row->compared)
    put_comparison(cells + 3, row);
  if (isfinite(row->weight_bytes))
    put_bytes(cells[7], row->weight_bytes);
  if (isfinite(row->tokens_per_second))
    snprintf(cells[8], LLQI_REPORT_CELL, "%.*f",
             row->tokens_per_second < 100 ? 1 : 0, row->tokens_per_second);
}

int llqi_report_title(const llq_report *report, struct llqi_text *out) {
  LLQ_TRY(llqi_text_printf(
      out, "%s on %s: %lld tasks, %lld %s a task, ", report->model,
      report->task, (long long)report->n_tasks, (long long)report->n_samples,
      report->n_samples == 1 ? "sample" : "samples"));
  return llqi_text_printf(out, "protocol %s, %s (%s, %s), sandbox %s",
                          report->protocol, report->device, report->backend,
                          report->arch, report->sandbox);
}

int llqi_report_note(const llq_report *report, struct llqi_text *out) {
  double detectable = 0;
  for (size_t i = 0; i < report->n_rows; i++) {
    if (report->rows[i].compared)
      detectable = fmax(detectable, report->rows[i].detectable);
  }
  LLQ_TRY(llqi_text_printf(
      out, "Differences are from %s, task by task; p is %s.", report->base,
      report->n_samples == 1 ? "the exact McNemar test's"
                             : "a task-clustered paired bootstrap's"));
  if (detectable == 0)
    return LLQ_OK;
  return llqi_text_printf(out,
                          " A true difference below %.1f points could easily "
                          "have been missed with these tasks.",
                          100 * detectable);
}

/* Widths that hold the head and every row. */
static void measure(const llq_report *report, int widths[LLQI_REPORT_COLUMNS]) {
  char cells[LLQI_REPORT_COLUMNS][LLQI_REPORT_CELL];
  for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++)
    widths[c] = (int)strlen(llqi_report_head[c]);
  for (size_t i = 0; i < report->n_rows; i++) {
    llqi_report_cells(&report->rows[i], cells);
    for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++) {
      int width = (int)strlen(cells[c]);
      widths[c] = width > widths[c] ? width : widths[c];
    }
  }
}

/* The first column is flush left, the others flush right. */
static int put_line(struct llqi_text *out, const char *cell, size_t column,
                    int width) {
  if (column == 0)
    return llqi_text_printf(out, "%-*s", width, cell);
  return llqi_text_printf(out, "  %*s", width, cell);
}

int llqi_report_plain(const llq_report *report, struct llqi_text *out) {
  int widths[LLQI_REPORT_COLUMNS];
  char cells[LLQI_REPORT_COLUMNS][LLQI_REPORT_CELL];
  measure(report, widths);
  LLQ_TRY(llqi_report_title(report, out));
  LLQ_TRY(llqi_text_puts(out, "\n\n"));
  for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++)
    LLQ_TRY(put_line(out, llqi_report_head[c], c, widths[c]));
  for (size_t i = 0; i < report->n_rows; i++) {
    LLQ_TRY(llqi_text_puts(out, "\n"));
    llqi_report_cells(&report->rows[i], cells);
    for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++)
      LLQ_TRY(put_line(out, cells[c], c, widths[c]));
  }
  LLQ_TRY(llqi_text_puts(out, "\n\n"));
  LLQ_TRY(llqi_report_note(report, out));
  return llqi_text_puts(out, "\n");
}

/* Names come from files: keep them from being read as Markdown. */
static int put_markdown(struct llqi_text *out, const char *text) {
  for (; *text != '\0'; text++) {
    if (strchr("\\`*_|<>[]#", *text) != NULL)
      LLQ_TRY(llqi_text_puts(out, "\\"));
    LLQ_TRY(llqi_text_append(out, *text == '\n' ? " " : text, 1));
  }
  return LLQ_OK;
}

static int put_names(struct llqi_text *out, const char *what,
                     const json_t *names) {
  if (json_array_size(names) == 0)
    return LLQ_OK;
  LLQ_TRY(llqi_text_printf(out, " %s", what));
  for (size_t i = 0; i < json_array_size(names); i++) {
    LLQ_TRY(llqi_text_puts(out, i == 0 ? " " : ", "));
    LLQ_TRY(put_markdown(out, json_string_value(json_array_get(names, i))));
  }
  return llqi_text_puts(out, ".");
}

static int put_flips(struct llqi_text *out, const struct llqi_report_row *row) {
  if (!row->compared)
    return LLQ_OK;
  LLQ_TRY(llqi_text_puts(out, "- "));
  LLQ_TRY(put_markdown(out, row->name));
  LLQ_TRY(llqi_text_puts(out, ":"));
  LLQ_TRY(put_names(out, "lost", row->lost));
  LLQ_TRY(put_names(out, "gained", row->gained));
  if (json_array_size(row->lost) + json_array_size(row->gained) == 0)
    LLQ_TRY(llqi_text_puts(out, " none."));
  return llqi_text_puts(out, "\n");
}

static int put_row(struct llqi_text *out, const struct llqi_report_row *row) {
  char cells[LLQI_REPORT_COLUMNS][LLQI_REPORT_CELL];
  llqi_report_cells(row, cells);
  LLQ_TRY(llqi_text_puts(out, "|"));
  for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++) {
    LLQ_TRY(llqi_text_puts(out, " "));
    LLQ_TRY(put_markdown(out, cells[c]));
    LLQ_TRY(llqi_text_puts(out, " |"));
  }
  return llqi_text_puts(out, "\n");
}

static int put_markdown_table(const llq_report *report, struct llqi_text *out) {
  LLQ_TRY(llqi_text_puts(out, "|"));
  for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++)
    LLQ_TRY(llqi_text_printf(out, " %s |", llqi_report_head[c]));
  LLQ_TRY(llqi_text_puts(out, "\n| :-- |"));
  for (size_t c = 1; c < LLQI_REPORT_COLUMNS; c++)
    LLQ_TRY(llqi_text_puts(out, " --: |"));
  LLQ_TRY(llqi_text_puts(out, "\n"));
  for (size_t i = 0; i < report->n_rows; i++)
    LLQ_TRY(put_row(out, &report->rows[i]));
  return LLQ_OK;
}

int llqi_report_markdown(const llq_report *report, struct llqi_text *out) {
  struct llqi_text title = {0};
  int status = llqi_report_title(report, &title);
  if (status >= 0)
    status = llqi_text_puts(out, "# Trade-off\n\n");
  if (status >= 0)
    status = put_markdown(out, title.data);
  llqi_text_free(&title);
  LLQ_TRY(status);
  LLQ_TRY(llqi_text_puts(out, "\n\n"));
  LLQ_TRY(put_markdown_table(report, out));
  LLQ_TRY(llqi_text_puts(out, "\n"));
  LLQ_TRY(llqi_report_note(report, out));
  LLQ_TRY(llqi_text_puts(out, "\n\n## Flips\n\n"));
  for (size_t i = 0; i < report->n_rows; i++)
    LLQ_TRY(put_flips(out, &report->rows[i]));
  return LLQ_OK;
}
