/* SPDX-License-Identifier: Apache-2.0 */
/* llq eval, score, compare: programs, verdicts, statistics. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "evaluate.h"

static int step(void *evaluator, llq_progress *progress) {
  return llq_evaluator_step(evaluator, progress);
}

/* "pass@1  0.713  [0.640, 0.777]" for each metric with an interval. */
static void print_metrics(const json_t *metrics) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)metrics, name, value) {
    if (!json_is_number(value))
      continue;
    char key[80];
    snprintf(key, sizeof key, "%s_ci95", name);
    const json_t *interval = json_object_get(metrics, key);
    printf("%-24s %.4f", name, json_number_value(value));
    if (json_array_size(interval) == 2)
      printf("  [%.4f, %.4f]", json_number_value(json_array_get(interval, 0)),
             json_number_value(json_array_get(interval, 1)));
    putchar('\n');
  }
}

static int print_result(const struct command *command, const char *text,
                        int json) {
  if (json) {
    puts(text);
    return EXIT_DONE;
  }
  json_t *result = json_loads(text, 0, NULL);
  if (result == NULL)
    return command_error(command, "the result is not JSON");
  print_metrics(json_object_get(result, "metrics"));
  json_decref(result);
  return EXIT_DONE;
}

static int evaluate(const struct command *command, llq_evaluator *evaluator,
                    int json) {
  int status = command_run(command, step, evaluator);
  if (status == LLQ_MORE)
    return command_error(command, "interrupted; the same command continues");
  const char *result;
  if (status < 0 || llq_evaluator_result(evaluator, &result) < 0)
    return command_failed(command);
  return print_result(command, result, json);
}

int run_eval(const struct command *command, int argc, char **argv) {
  const char *source;
  struct common_options common = {0};
  llq_evaluator_options evaluation = LLQ_EVALUATOR_OPTIONS_INIT;
  const struct option options[] = {EVALUATION_OPTIONS(evaluation),
                                   GENERATION_OPTIONS(evaluation),
                                   COMMON_OPTIONS(common),
                                   {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  if (evaluation.task == NULL || evaluation.directory == NULL)
    return command_misused(command, "--task and -o are required");
  llq_model *model;
  if (llq_model_open(&model, source, NULL) < 0)
    return command_failed(command);
  llq_backend *backend = NULL;
  llq_evaluator *evaluator = NULL;
  exit_status = EXIT_FAILED;
  if (command_open_backend(&common, &backend) == LLQ_OK &&
      llq_evaluator_open(&evaluator, backend, model, &evaluation) == LLQ_OK)
    exit_status = evaluate(command, evaluator, common.json);
  else
    command_failed(command);
  llq_evaluator_close(evaluator);
  llq_backend_close(backend);
  llq_model_close(model);
  return exit_status;
}

int run_score(const struct command *command, int argc, char **argv) {
  int json = 0;
  llq_evaluator_options evaluation = LLQ_EVALUATOR_OPTIONS_INIT;
  const struct option options[] = {
      {"samples", OPTION_TEXT, &evaluation.samples, "FILE",
       "JSONL with task_id and completion or solution (required)"},
      EVALUATION_OPTIONS(evaluation),
      {"json", OPTION_FLAG, &json, NULL, "print machine-readable output"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, NULL, 0);
  if (exit_status >= 0)
    return exit_status;
  if (evaluation.task == NULL || evaluation.directory == NULL ||
      evaluation.samples == NULL)
    return command_misused(command, "--task, --samples and -o are required");
  llq_evaluator *evaluator;
  if (llq_evaluator_open_samples(&evaluator, &evaluation) < 0)
    return command_failed(command);
  exit_status = evaluate(command, evaluator, json);
  llq_evaluator_close(evaluator);
  return exit_status;
}

int run_compare(const struct command *command, int argc, char **argv) {
  const char *directories[2];
  int json = 0;
  const struct option options[] = {
      {"json", OPTION_FLAG, &json, NULL, "print machine-readable output"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status =
      arguments_parse(command, options, argc, argv, directories, 2);
  if (exit_status >= 0)
    return exit_status;
  char *text;
  if (llq_compare(directories[0], directories[1], &text) < 0)
    return command_failed(command);
  if (json) {
    puts(text);
    exit_status = EXIT_DONE;
  } else {
    exit_status =
        print_comparison(command, directories[0], directories[1], text);
  }
  llq_free(text);
  return exit_status;
}
