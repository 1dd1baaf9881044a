/* SPDX-License-Identifier: Apache-2.0 */
/* llq logits: a NumPy file of the logits after each token. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

/* A .npy file of format 1.0: magic, version, header length, a Python dict
   padded with spaces so that the data begins at a multiple of 64. */
static int write_npy(FILE *file, const float *values, size_t n_rows,
                     size_t n_cols) {
  char header[128];
  memset(header, ' ', sizeof header);
  memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
  int n = snprintf(header + 10, sizeof header - 10,
                   "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, "
                   "%zu), }",
                   n_rows, n_cols);
  header[10 + n] = ' ';
  header[sizeof header - 1] = '\n';
  return fwrite(header, 1, sizeof header, file) == sizeof header &&
         fwrite(values, sizeof *values, n_rows * n_cols, file) ==
             n_rows * n_cols;
}

/* Writes beside, then renames: a file that is there is whole. */
static int save_npy(const struct command *command, const char *path,
                    const float *values, size_t n_rows, size_t n_cols) {
  char part[4096];
  if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
    return command_error(command, "%s: name too long", path);
  FILE *file = fopen(part, "wb");
  int written = file != NULL && write_npy(file, values, n_rows, n_cols);
  if (file != NULL && fclose(file) != 0)
    written = 0;
  if (!written || rename(part, path) != 0) {
    unlink(part);
    return command_error(command, "%s: cannot write", path);
  }
  return EXIT_DONE;
}

static int save_logits(const struct command *command, struct runner *runner,
                       const int32_t *ids, size_t n_ids, const char *output) {
  llq_model_info info = LLQ_MODEL_INFO_INIT;
  llq_model_describe(runner->model, &info);
  size_t n_vocab = (size_t)info.n_vocab;
  float *logits = calloc(n_ids * n_vocab, sizeof *logits);
  if (logits == NULL)
    return command_error(command, "out of memory: %zu logits", n_ids * n_vocab);
  int exit_status =
      llq_generator_logits(runner->generator, ids, n_ids, logits) < 0
          ? command_failed(command)
          : save_npy(command, output, logits, n_ids, n_vocab);
  free(logits);
  return exit_status;
}

int run_logits(const struct command *command, int argc, char **argv) {
  const char *source, *tokens = NULL, *output = NULL;
  struct common_options common = {0};
  llq_generator_options generator = LLQ_GENERATOR_OPTIONS_INIT;
  const struct option options[] = {
      {"tokens", OPTION_TEXT, &tokens, "JSON", "array of token ids (required)"},
      {"output", OPTION_TEXT, &output, "FILE.npy",
       "where to write, also -o (required)"},
      {"compute", OPTION_TEXT, &generator.compute, "TYPE", "f32 or bf16"},
      KV_CACHE_OPTION(generator),
      {"chunk", OPTION_INT, &generator.n_chunk, "N",
       "tokens in one step (default 256)"},
      COMMON_OPTIONS(common),
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  if (tokens == NULL || output == NULL)
    return command_misused(command, "--tokens and -o are required");
  size_t n_ids;
  int32_t *ids = command_parse_ids(tokens, strlen(tokens), &n_ids);
  if (ids == NULL || n_ids == 0) {
    free(ids);
    return command_misused(command, "--tokens: not a JSON array of token ids");
  }
  struct runner runner;
  generator.n_context = n_ids > 2 ? (int32_t)n_ids : 2; /* 2: the least */
  if (runner_open(&runner, &common, source, &generator) < 0) {
    free(ids);
    return command_failed(command);
  }
  exit_status = save_logits(command, &runner, ids, n_ids, output);
  runner_close(&runner);
  free(ids);
  return exit_status;
}
