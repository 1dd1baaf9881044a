/* SPDX-License-Identifier: Apache-2.0 */
/* llq quantize: one checkpoint from another. */
#include <string.h>

#include "command.h"

static int step(void *quantizer, llq_progress *progress) {
  return llq_quantizer_step(quantizer, progress);
}

static int save(const struct command *command, llq_quantizer *quantizer,
                const char *directory, const char *format) {
  llq_model *quantized;
  if (llq_quantizer_take(quantizer, &quantized) < 0)
    return command_failed(command);
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  int status = llq_model_describe(quantized, &info);
  if (status == LLQ_OK)
    status = llq_model_save(quantized, directory, format);
  llq_model_close(quantized);
  if (status < 0)
    return command_failed(command);
  fprintf(stderr, "%s: %s, %.1f MiB of weights\n", directory, info.scheme,
          (double)info.n_weight_bytes / (1 << 20));
  return EXIT_DONE;
}

static int quantize(const struct command *command, llq_model *model,
                    const llq_quantizer_options *options, const char *directory,
                    const char *format) {
  llq_quantizer *quantizer;
  if (llq_quantizer_open(&quantizer, NULL, model, options) < 0)
    return command_failed(command);
  int status = command_run(command, step, quantizer);
  int exit_status;
  if (status == LLQ_OK)
    exit_status = save(command, quantizer, directory, format);
  else if (status == LLQ_MORE)
    exit_status = command_error(command, "interrupted; nothing was written");
  else
    exit_status = command_failed(command);
  llq_quantizer_close(quantizer);
  return exit_status;
}

int run_quantize(const struct command *command, int argc, char **argv) {
  const char *operands[2], *format = NULL;
  llq_quantizer_options quantizer = LLQ_QUANTIZER_OPTIONS_INIT;
  const struct option options[] = {
      {"scheme", OPTION_TEXT, &quantizer.scheme, "S",
       "bf16, w8a8-fp, w8a8-int, w8a16-int or w4a16-int (required)"},
      {"method", OPTION_TEXT, &quantizer.method, "M", "rtn (default)"},
      {"group-size", OPTION_INT, &quantizer.group_size, "G",
       "of w4a16-int: 32, 64, 128 (default), or -1 = per channel"},
      {"asymmetric", OPTION_FLAG, &quantizer.asymmetric, NULL,
       "w4a16-int with zero points"},
      {"format", OPTION_TEXT, &format, "F", "compressed-tensors (default)"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, operands, 2);
  if (exit_status >= 0)
    return exit_status;
  if (quantizer.scheme == NULL)
    return command_misused(command, "--scheme is required");
  llq_model *model;
  if (llq_model_open(&model, operands[0], NULL) < 0)
    return command_failed(command);
  exit_status = quantize(command, model, &quantizer, operands[1], format);
  llq_model_close(model);
  return exit_status;
}
