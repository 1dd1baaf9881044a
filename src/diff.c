/* SPDX-License-Identifier: Apache-2.0 */
/* llq diff: how two checkpoints' weights differ. */
#include <math.h>

#include "command.h"

static json_t *number(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

static json_t *scales_json(const llq_scale_statistics *scales) {
  if (scales->n == 0)
    return json_null();
  return json_pack("{s:I, s:o, s:o, s:o}", "n", (json_int_t)scales->n, "least",
                   number(scales->least), "mean", number(scales->mean),
                   "largest", number(scales->largest));
}

static json_t *diff_json(const llq_linear_diff *diff) {
  return json_pack(
      "{s:s, s:s, s:s, s:o, s:o, s:[I, I], s:I, s:o, s:o}", "name", diff->name,
      "scheme_a", diff->scheme_a, "scheme_b", diff->scheme_b, "relative_error",
      number(diff->relative_error), "max_error", number(diff->max_error),
      "max_error_at", (json_int_t)diff->max_out, (json_int_t)diff->max_in,
      "n_outliers", (json_int_t)diff->n_outliers, "scales_a",
      scales_json(&diff->scales_a), "scales_b", scales_json(&diff->scales_b));
}

static void print_scales(const llq_scale_statistics *scales) {
  if (scales->n > 0)
    printf("  %9.3g %9.3g %9.3g", scales->least, scales->mean, scales->largest);
  else
    printf("  %9s %9s %9s", "", "", "");
}

static void print_diff(const llq_linear_diff *diff) {
  char at[48];
  snprintf(at, sizeof at, "[%lld, %lld]", (long long)diff->max_out,
           (long long)diff->max_in);
  printf("%-34s %-9s %-9s %9.3g %9.3g %-15s %8llu", diff->name, diff->scheme_a,
         diff->scheme_b, diff->relative_error, diff->max_error, at,
         (unsigned long long)diff->n_outliers);
  print_scales(&diff->scales_a);
  print_scales(&diff->scales_b);
  putchar('\n');
}

static int diff_all(const struct command *command, const llq_model *a,
                    const llq_model *b, int json) {
  json_t *list = json ? json_array() : NULL;
  int status = LLQ_MORE;
  if (!json)
    printf("%-34s %-9s %-9s %9s %9s %-15s %8s  %-29s  scales of B\n", "linear",
           "A", "B", "rel. err", "largest", "at", "outliers",
           "scales of A: least, mean, max");
  for (int32_t i = 0; status == LLQ_MORE; i++) {
    llq_linear_diff diff = LLQ_LINEAR_DIFF_INIT;
    status = llq_model_diff(a, b, i, &diff);
    if (status < 0)
      break;
    if (json)
      json_array_append_new(list, diff_json(&diff));
    else
      print_diff(&diff);
  }
  if (status < 0) {
    json_decref(list);
    return command_failed(command);
  }
  return json ? command_print_json(command, list) : EXIT_DONE;
}

int run_diff(const struct command *command, int argc, char **argv) {
  const char *operands[2];
  int json = 0;
  const struct option options[] = {
      {"json", OPTION_FLAG, &json, NULL, "print machine-readable output"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, operands, 2);
  if (exit_status >= 0)
    return exit_status;
  llq_model *a = NULL, *b = NULL;
  int status = llq_model_open(&a, operands[0], NULL);
  if (status == LLQ_OK)
    status = llq_model_open(&b, operands[1], NULL);
  exit_status = status == LLQ_OK ? diff_all(command, a, b, json)
                                 : command_failed(command);
  llq_model_close(a);
  llq_model_close(b);
  return exit_status;
}
