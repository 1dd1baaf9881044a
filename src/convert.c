/* SPDX-License-Identifier: Apache-2.0 */
/* llq convert: the same weights as another format has them. */
#include "command.h"

int run_convert(const struct command *command, int argc, char **argv) {
  const char *operands[2];
  int lossy = 0;
  llq_save_options save = LLQ_SAVE_OPTIONS_INIT;
  const struct option options[] = {
      {"format", OPTION_TEXT, &save.format, "F",
       "compressed-tensors (default), gptq, awq, or safetensors"},
      {"lossy", OPTION_FLAG, &lossy, NULL,
       "lose what the format cannot say, instead of refusing"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, operands, 2);
  if (exit_status >= 0)
    return exit_status;
  llq_model *model;
  if (llq_model_open(&model, operands[0], NULL) < 0)
    return command_failed(command);
  save.lossy = lossy;
  int status = llq_model_save_as(model, operands[1], &save);
  llq_model_close(model);
  return status < 0 ? command_failed(command) : EXIT_DONE;
}
