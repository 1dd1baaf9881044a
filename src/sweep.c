/* SPDX-License-Identifier: Apache-2.0 */
/* llq sweep, report: the trade-off between formats, in one table. */
#include <string.h>

#include "command.h"
#include "evaluate.h"

static int step(void *sweep, llq_progress *progress) {
  return llq_sweep_step(sweep, progress);
}

/* Writes the report files and prints one of its forms. */
static int show_report(const struct command *command, const char *directory,
                       int json) {
  llq_report *report;
  const char *text;
  if (llq_report_open(&report, directory) < 0)
    return command_failed(command);
  int status = llq_report_write(report);
  if (status == LLQ_OK)
    status = llq_report_text(report, json ? "json" : "text", &text);
  int exit_status = status == LLQ_OK ? EXIT_DONE : command_failed(command);
  if (status == LLQ_OK && (fputs(text, stdout) == EOF || fflush(stdout) != 0))
    exit_status = command_error(command, "cannot write standard output");
  llq_report_close(report);
  return exit_status;
}

static int sweep(const struct command *command, llq_backend *backend,
                 llq_model *model, const llq_sweep_options *options, int json) {
  llq_sweep *handle;
  if (llq_sweep_open(&handle, backend, model, options) < 0)
    return command_failed(command);
  int status = command_run(command, step, handle);
  llq_sweep_close(handle);
  if (status == LLQ_MORE)
    return command_error(command, "interrupted; the same command continues");
  if (status < 0)
    return command_failed(command);
  return show_report(command, options->evaluation->directory, json);
}

int run_sweep(const struct command *command, int argc, char **argv) {
  const char *source;
  struct common_options common = {0};
  llq_evaluator_options evaluation = LLQ_EVALUATOR_OPTIONS_INIT;
  llq_sweep_options sweeping = LLQ_SWEEP_OPTIONS_INIT;
  sweeping.evaluation = &evaluation;
  const struct option options[] = {
      {"schemes", OPTION_TEXT, &sweeping.schemes, "LIST",
       "default bf16,w8a8-fp,w8a8-int,w8a16-int,w4a16-int; the first is the "
       "base"},
      {"methods", OPTION_TEXT, &sweeping.methods, "LIST",
       "of rtn (default), gptq, awq, smoothquant, smoothquant+gptq"},
      {"group-size", OPTION_INT, &sweeping.group_size, "G",
       "of w4a16-int (default 128)"},
      {"calibration", OPTION_TEXT, &sweeping.calibration, "FILE",
       "for methods that calibrate: JSONL, text, or: random"},
      {"calibration-samples", OPTION_INT, &sweeping.n_samples, "N",
       "default 512"},
      {"calibration-length", OPTION_INT, &sweeping.n_tokens, "N",
       "tokens of a calibration sample, at most (default 2048)"},
      EVALUATION_OPTIONS(evaluation),
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
  llq_backend *backend;
  if (command_open_backend(&common, &backend) == LLQ_OK) {
    exit_status = sweep(command, backend, model, &sweeping, common.json);
    llq_backend_close(backend);
  } else {
    exit_status = command_failed(command);
  }
  llq_model_close(model);
  return exit_status;
}

int run_report(const struct command *command, int argc, char **argv) {
  const char *directory;
  int json = 0;
  const struct option options[] = {
      {"json", OPTION_FLAG, &json, NULL, "print machine-readable output"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status =
      arguments_parse(command, options, argc, argv, &directory, 1);
  if (exit_status >= 0)
    return exit_status;
  return show_report(command, directory, json);
}
