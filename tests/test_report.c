/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of a sweep's results. */
#include <stdio.h>
#include <string.h>

#include <llq/report.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "support.h"

static const char sweep_text[] =
    "{\"model\": \"llq-micro\", \"task\": \"micro.jsonl\", \"protocol\": "
    "\"humaneval 1\", \"backend\": \"cpu\", \"device\": \"A <fast> CPU\", "
    "\"arch\": \"avx2\", \"sandbox\": \"bwrap\", \"base\": \"bf16\", "
    "\"n_tasks\": 164, \"n_samples\": 1, \"rows\": ["
    "{\"name\": \"bf16\", \"pass@1\": 0.75, \"pass@1_ci95\": [0.68, 0.81], "
    "\"weight_bytes\": 10485760, \"tokens_per_second\": 512.4, "
    "\"comparison\": null},"
    "{\"name\": \"w4a16-int-rtn\", \"pass@1\": 0.7134, \"pass@1_ci95\": "
    "[0.64, 0.78], \"weight_bytes\": 3145728, \"tokens_per_second\": null, "
    "\"comparison\": {\"difference\": -0.0366, \"difference_ci95\": "
    "[-0.08, 0.005], \"p\": 0.0703, \"recovery_percent\": 95.1, "
    "\"detectable_difference\": 0.061, \"flips\": {\"lost\": "
    "[\"Micro/3\", \"Micro/<b>\"], \"gained\": []}}}]}";

static void write_sweep(const char *text) {
  ck_assert_llq_ok(
      llqi_file_write(test_path("sweep.json"), text, strlen(text)));
}

static llq_report *open_report(void) {
  llq_report *report;
  write_sweep(sweep_text);
  ck_assert_llq_ok(llq_report_open(&report, test_directory()));
  return report;
}

static const char *text_of(llq_report *report, const char *format) {
  const char *text;
  ck_assert_llq_ok(llq_report_text(report, format, &text));
  return text;
}

static void check_has(const char *text, const char *part) {
  ck_assert_msg(strstr(text, part) != NULL, "no '%s' in:\n%s", part, text);
}

START_TEST(the_table_has_a_row_for_each_format) {
  llq_report *report = open_report();
  const char *text = text_of(report, "text");
  check_has(text, "llq-micro on micro.jsonl: 164 tasks, 1 sample a task");
  check_has(text, "75.0 %");
  check_has(text, "68.0 to 81.0");
  check_has(text, "-3.7 [-8.0, +0.5]");
  check_has(text, "0.070");
  check_has(text, "-2 +0");
  check_has(text, "10.00 MiB");
  check_has(text, "512");
  check_has(text, "below 6.1 points");
  llq_report_close(report);
}
END_TEST

START_TEST(columns_of_the_table_line_up) {
  llq_report *report = open_report();
  const char *head = strstr(text_of(report, "text"), "format");
  const char *first = strchr(head, '\n') + 1;
  const char *second = strchr(first, '\n') + 1;
  ck_assert_int_eq(first - head, second - first);
  ck_assert_int_eq(strchr(second, '\n') + 1 - second, second - first);
  llq_report_close(report);
}
END_TEST

START_TEST(names_from_files_are_escaped) {
  llq_report *report = open_report();
  const char *html = text_of(report, "html");
  check_has(html, "A &lt;fast&gt; CPU");
  check_has(html, "Micro/&lt;b&gt;");
  ck_assert_ptr_null(strstr(html, "<b>"));
  check_has(text_of(report, "markdown"), "Micro/\\<b\\>");
  llq_report_close(report);
}
END_TEST

START_TEST(the_page_needs_no_other_file_and_plots_each_format) {
  llq_report *report = open_report();
  const char *html = text_of(report, "html");
  check_has(html, "<svg");
  const char *first = strstr(html, "<circle");
  ck_assert_ptr_nonnull(first);
  ck_assert_ptr_nonnull(strstr(first + 1, "<circle"));
  ck_assert_ptr_null(strstr(html, "src="));
  ck_assert_ptr_null(strstr(html, "href="));
  ck_assert_ptr_null(strstr(html, "nan"));
  llq_report_close(report);
}
END_TEST

START_TEST(files_are_written_beside_the_sweep) {
  llq_report *report = open_report();
  ck_assert_llq_ok(llq_report_write(report));
  char *text;
  size_t n;
  ck_assert_llq_ok(llqi_file_read(test_path("report.md"), 1 << 20, &text, &n));
  check_has(text, "| w4a16-int-rtn | 71.3 % |");
  llqi_free(text);
  ck_assert_llq_ok(
      llqi_file_read(test_path("report.html"), 1 << 20, &text, &n));
  check_has(text, "</html>");
  llqi_free(text);
  llq_report_close(report);
}
END_TEST

START_TEST(json_is_the_sweep_itself) {
  llq_report *report = open_report();
  json_t *shown, *sweep;
  const char *text = text_of(report, "json");
  ck_assert_llq_ok(llqi_json_parse("report", text, strlen(text), &shown));
  ck_assert_llq_ok(llqi_json_read(test_path("sweep.json"), &sweep));
  ck_assert(json_equal(shown, sweep));
  json_decref(shown);
  json_decref(sweep);
  ck_assert_llq_fails(llq_report_text(report, "pdf", &text), LLQ_ERROR_ARGUMENT,
                      "\"pdf\"");
  llq_report_close(report);
}
END_TEST

START_TEST(a_damaged_sweep_is_refused_by_what_is_wrong) {
  static const char *const damages[][3] = {
      {"\"pass@1\": 0.75", "\"pass@1\": \"x\"", "\"pass@1\""},
      {"[0.68, 0.81]", "[0.68]", "two numbers"},
      {"\"base\": \"bf16\", ", "", "\"base\""},
      {"[\"Micro/3\", ", "[3, ", "\"lost\""},
      {"\"n_tasks\": 164", "\"n_tasks\": 0", "\"n_tasks\""},
  };
  for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
    char text[2000];
    const char *at = strstr(sweep_text, damages[i][0]);
    ck_assert_ptr_nonnull(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - sweep_text), sweep_text,
             damages[i][1], at + strlen(damages[i][0]));
    write_sweep(text);
    llq_report *report;
    ck_assert_llq_fails(llq_report_open(&report, test_directory()),
                        LLQ_ERROR_FORMAT, damages[i][2]);
    ck_assert_ptr_null(report);
  }
}
END_TEST

START_TEST(running_out_of_memory_at_any_point_is_reported) {
  write_sweep(sweep_text);
  for (long n = 1;; n++) {
    llq_report *report;
    const char *text;
    llqi_alloc_fail_at(n, 0);
    int status = llq_report_open(&report, test_directory());
    if (status == LLQ_OK)
      status = llq_report_text(report, "html", &text);
    llqi_alloc_fail_at(0, 0);
    llq_report_close(report);
    if (status == LLQ_OK)
      break;
    ck_assert_int_eq(status, LLQ_ERROR_MEMORY);
  }
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("report");
  TCase *test = tcase_create("report");
  tcase_add_test(test, the_table_has_a_row_for_each_format);
  tcase_add_test(test, columns_of_the_table_line_up);
  tcase_add_test(test, names_from_files_are_escaped);
  tcase_add_test(test, the_page_needs_no_other_file_and_plots_each_format);
  tcase_add_test(test, files_are_written_beside_the_sweep);
  tcase_add_test(test, json_is_the_sweep_itself);
  tcase_add_test(test, a_damaged_sweep_is_refused_by_what_is_wrong);
  tcase_add_test(test, running_out_of_memory_at_any_point_is_reported);
  suite_add_tcase(suite, test);
  return suite;
}
