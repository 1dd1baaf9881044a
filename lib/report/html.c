/* SPDX-License-Identifier: Apache-2.0 */
/* The report as one HTML file that needs no other. */
#include "base/status.h"
#include "report/report.h"

static const char page_head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>libllq: trade-off</title>\n<style>\n"
    "body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; "
    "max-width: 62em; padding: 0 1em; color: #222; background: #fff; }\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    "th, td { padding: .3em .7em; text-align: right; "
    "border-bottom: 1px solid #ddd; white-space: nowrap; }\n"
    "th:first-child, td:first-child { text-align: left; }\n"
    "svg { max-width: 100%; height: auto; }\n"
    "</style>\n</head>\n<body>\n<h1>Trade-off</h1>\n";

int llqi_report_escape(struct llqi_text *out, const char *text) {
  for (; *text != '\0'; text++) {
    const char *entity = *text == '&'    ? "&amp;"
                         : *text == '<'  ? "&lt;"
                         : *text == '>'  ? "&gt;"
                         : *text == '"'  ? "&quot;"
                         : *text == '\'' ? "&#39;"
                                         : NULL;
    LLQ_TRY(entity != NULL ? llqi_text_puts(out, entity)
                           : llqi_text_append(out, text, 1));
  }
  return LLQ_OK;
}

static int put_paragraph(const llq_report *report,
                         int (*write)(const llq_report *, struct llqi_text *),
                         struct llqi_text *out) {
  struct llqi_text text = {0};
  int status = write(report, &text);
  if (status >= 0)
    status = llqi_text_puts(out, "<p>");
  if (status >= 0)
    status = llqi_report_escape(out, text.data);
  if (status >= 0)
    status = llqi_text_puts(out, "</p>\n");
  llqi_text_free(&text);
  return status;
}

static int put_row(const struct llqi_report_row *row, struct llqi_text *out) {
  char cells[LLQI_REPORT_COLUMNS][LLQI_REPORT_CELL];
  llqi_report_cells(row, cells);
  LLQ_TRY(llqi_text_puts(out, "<tr>"));
  for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++) {
    LLQ_TRY(llqi_text_puts(out, "<td>"));
    LLQ_TRY(llqi_report_escape(out, cells[c]));
    LLQ_TRY(llqi_text_puts(out, "</td>"));
  }
  return llqi_text_puts(out, "</tr>\n");
}

static int put_table(const llq_report *report, struct llqi_text *out) {
  LLQ_TRY(llqi_text_puts(out, "<table>\n<thead><tr>"));
  for (size_t c = 0; c < LLQI_REPORT_COLUMNS; c++)
    LLQ_TRY(llqi_text_printf(out, "<th>%s</th>", llqi_report_head[c]));
  LLQ_TRY(llqi_text_puts(out, "</tr></thead>\n<tbody>\n"));
  for (size_t i = 0; i < report->n_rows; i++)
    LLQ_TRY(put_row(&report->rows[i], out));
  return llqi_text_puts(out, "</tbody>\n</table>\n");
}

static int put_names(const char *what, const json_t *names,
                     struct llqi_text *out) {
  LLQ_TRY(llqi_text_printf(out, "<dd>%s %zu", what, json_array_size(names)));
  for (size_t i = 0; i < json_array_size(names); i++) {
    LLQ_TRY(llqi_text_puts(out, i == 0 ? ": " : ", "));
    LLQ_TRY(
        llqi_report_escape(out, json_string_value(json_array_get(names, i))));
  }
  return llqi_text_puts(out, "</dd>\n");
}

static int put_flips(const llq_report *report, struct llqi_text *out) {
  LLQ_TRY(llqi_text_puts(out, "<h2>Flips</h2>\n<dl>\n"));
  for (size_t i = 0; i < report->n_rows; i++) {
    const struct llqi_report_row *row = &report->rows[i];
    if (!row->compared)
      continue;
    LLQ_TRY(llqi_text_puts(out, "<dt>"));
    LLQ_TRY(llqi_report_escape(out, row->name));
    LLQ_TRY(llqi_text_puts(out, "</dt>\n"));
    LLQ_TRY(put_names("lost", row->lost, out));
    LLQ_TRY(put_names("gained", row->gained, out));
  }
  return llqi_text_puts(out, "</dl>\n");
}

int llqi_report_html(const llq_report *report, struct llqi_text *out) {
  LLQ_TRY(llqi_text_puts(out, page_head));
  LLQ_TRY(put_paragraph(report, llqi_report_title, out));
  LLQ_TRY(put_table(report, out));
  LLQ_TRY(put_paragraph(report, llqi_report_note, out));
  LLQ_TRY(llqi_report_plot(report, out));
  LLQ_TRY(put_flips(report, out));
  return llqi_text_puts(out, "</body>\n</html>\n");
}
