/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a sweep.json, and handing out its forms. */
#include "report/report.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

#define N_ROWS_MAX 1000

static int read_interval(const json_t *object, const char *where,
                         const char *key, double *low, double *high) {
  const json_t *pair;
  LLQ_TRY(llqi_json_array(object, where, key, &pair));
  if (json_array_size(pair) != 2 || !json_is_number(json_array_get(pair, 0)) ||
      !json_is_number(json_array_get(pair, 1)))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"%s\" is not two numbers", where,
                     key);
  *low = json_number_value(json_array_get(pair, 0));
  *high = json_number_value(json_array_get(pair, 1));
  return LLQ_OK;
}

/* An array of strings. */
static int read_names(const json_t *object, const char *where, const char *key,
                      const json_t **out) {
  LLQ_TRY(llqi_json_array(object, where, key, out));
  for (size_t i = 0; i < json_array_size(*out); i++) {
    if (!json_is_string(json_array_get(*out, i)))
      return llqi_fail(LLQ_ERROR_FORMAT, "%s: \"%s\" is not of strings", where,
                       key);
  }
  return LLQ_OK;
}

static int read_comparison(const json_t *json, const char *where,
                           struct llqi_report_row *row) {
  if (json == NULL || json_is_null(json))
    return LLQ_OK;
  row->compared = 1;
  LLQ_TRY(llqi_json_real(json, where, "difference", &row->difference));
  LLQ_TRY(read_interval(json, where, "difference_ci95", &row->difference_low,
                        &row->difference_high));
  LLQ_TRY(llqi_json_real(json, where, "p", &row->p));
  LLQ_TRY(llqi_json_real_or(json, where, "recovery_percent", &row->recovery));
  LLQ_TRY(
      llqi_json_real(json, where, "detectable_difference", &row->detectable));
  const json_t *flips = json_object_get(json, "flips");
  LLQ_TRY(read_names(flips, where, "lost", &row->lost));
  return read_names(flips, where, "gained", &row->gained);
}

static int read_row(const json_t *json, const char *where,
                    struct llqi_report_row *row) {
  *row = (struct llqi_report_row){
      .weight_bytes = NAN, .tokens_per_second = NAN, .recovery = NAN};
  if (!json_is_object(json))
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: a row is not an object", where);
  LLQ_TRY(llqi_json_string(json, where, "name", &row->name));
  LLQ_TRY(llqi_json_real(json, where, "pass@1", &row->pass));
  LLQ_TRY(read_interval(json, where, "pass@1_ci95", &row->pass_low,
                        &row->pass_high));
  LLQ_TRY(llqi_json_real_or(json, where, "weight_bytes", &row->weight_bytes));
  LLQ_TRY(llqi_json_real_or(json, where, "tokens_per_second",
                            &row->tokens_per_second));
  return read_comparison(json_object_get(json, "comparison"), where, row);
}

static int read_rows(const char *where, llq_report *report) {
  const json_t *rows;
  LLQ_TRY(llqi_json_array(report->sweep, where, "rows", &rows));
  size_t n = json_array_size(rows);
  if (n == 0 || n > N_ROWS_MAX)
    return llqi_fail(LLQ_ERROR_FORMAT, "%s: %zu rows, expected 1 to %d", where,
                     n, N_ROWS_MAX);
  report->rows = llqi_array(n, sizeof *report->rows);
  if (report->rows == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < n; i++)
    LLQ_TRY(read_row(json_array_get(rows, i), where, &report->rows[i]));
  report->n_rows = n;
  return LLQ_OK;
}

static int read_sweep(const char *path, llq_report *report) {
  LLQ_TRY(llqi_json_read(path, &report->sweep));
  const struct {
    const char *key;
    const char **value;
  } strings[] = {
      {"model", &report->model},       {"task", &report->task},
      {"protocol", &report->protocol}, {"backend", &report->backend},
      {"device", &report->device},     {"arch", &report->arch},
      {"sandbox", &report->sandbox},   {"base", &report->base},
  };
  for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
    LLQ_TRY(llqi_json_string(report->sweep, path, strings[i].key,
                             strings[i].value));
  LLQ_TRY(llqi_json_int(report->sweep, path, "n_tasks", 1, INT32_MAX,
                        &report->n_tasks));
  LLQ_TRY(llqi_json_int(report->sweep, path, "n_samples", 1, INT32_MAX,
                        &report->n_samples));
  return read_rows(path, report);
}

int llq_report_open(llq_report **out, const char *directory) {
  llqi_error_clear();
  LLQ_REQUIRE(out != NULL && directory != NULL,
              "llq_report_open: NULL argument");
  *out = NULL;
  llq_report *report = llqi_calloc(1, sizeof *report);
  if (report == NULL)
    return LLQ_ERROR_MEMORY;
  char *path = llqi_path_join(directory, "sweep.json");
  report->directory = llqi_strdup(directory);
  int status = LLQ_ERROR_MEMORY;
  if (path != NULL && report->directory != NULL)
    status = read_sweep(path, report);
  llqi_free(path);
  if (status < 0)
    llq_report_close(report);
  else
    *out = report;
  return status;
}

void llq_report_close(llq_report *report) {
  if (report == NULL)
    return;
  json_decref(report->sweep);
  llqi_text_free(&report->text);
  llqi_free(report->rows);
  llqi_free(report->directory);
  llqi_free(report);
}

static int render(const llq_report *report, const char *format,
                  struct llqi_text *out) {
  if (strcmp(format, "text") == 0)
    return llqi_report_plain(report, out);
  if (strcmp(format, "markdown") == 0)
    return llqi_report_markdown(report, out);
  if (strcmp(format, "html") == 0)
    return llqi_report_html(report, out);
  if (strcmp(format, "json") == 0)
    return llqi_json_dump(report->sweep,
                          JSON_INDENT(2) | JSON_REAL_PRECISION(10), out);
  return llqi_fail(LLQ_ERROR_ARGUMENT,
                   "report format \"%s\": expected \"text\", \"markdown\", "
                   "\"html\" or \"json\"",
                   format);
}

int llq_report_text(llq_report *report, const char *format, const char **text) {
  llqi_error_clear();
  LLQ_REQUIRE(report != NULL && format != NULL && text != NULL,
              "llq_report_text: NULL argument");
  *text = NULL;
  llqi_text_clear(&report->text);
  LLQ_TRY(render(report, format, &report->text));
  *text = report->text.data;
  return LLQ_OK;
}

static int write_form(llq_report *report, const char *format,
                      const char *name) {
  char *path = llqi_path_join(report->directory, name);
  if (path == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_text_clear(&report->text);
  int status = render(report, format, &report->text);
  if (status >= 0)
    status = llqi_file_write(path, report->text.data, report->text.length);
  llqi_free(path);
  return status;
}

int llq_report_write(llq_report *report) {
  llqi_error_clear();
  LLQ_REQUIRE(report != NULL, "llq_report_write: NULL report");
  LLQ_TRY(write_form(report, "markdown", "report.md"));
  return write_form(report, "html", "report.html");
}
