/* SPDX-License-Identifier: Apache-2.0 */
/* llq tokenize, llq detokenize: text on standard input, and ids. */
#include <stdlib.h>

#include "command.h"

/* The tokenizer of a model directory or of a file; borrowed from *model, or
   owned when *model is NULL. */
static int open_tokenizer(const char *source, llq_model **model,
                          llq_tokenizer **owned, const llq_tokenizer **out) {
  *model = NULL;
  *owned = NULL;
  int status = llq_tokenizer_open(owned, source);
  *out = *owned;
  if (status == LLQ_OK)
    return LLQ_OK;
  llq_model *opened;
  if (llq_model_open(&opened, source, NULL) < 0)
    return LLQ_ERROR_IO;
  status = llq_model_tokenizer(opened, out);
  if (status < 0)
    llq_model_close(opened);
  else
    *model = opened;
  return status;
}

static int print_ids(const struct command *command, const int32_t *ids,
                     size_t n_ids) {
  putchar('[');
  for (size_t i = 0; i < n_ids; i++)
    printf("%s%d", i > 0 ? ", " : "", (int)ids[i]);
  puts("]");
  if (fflush(stdout) != 0)
    return command_error(command, "cannot write standard output");
  return EXIT_DONE;
}

static int tokenize(const struct command *command,
                    const llq_tokenizer *tokenizer, int flags) {
  size_t n_bytes, n_ids;
  char *text = command_read(NULL, &n_bytes);
  if (text == NULL)
    return command_error(command, "cannot read standard input");
  int32_t *ids;
  int status = command_encode(tokenizer, text, n_bytes, flags, &ids, &n_ids);
  free(text);
  if (status < 0)
    return command_failed(command);
  int exit_status = print_ids(command, ids, n_ids);
  free(ids);
  return exit_status;
}

int run_tokenize(const struct command *command, int argc, char **argv) {
  const char *source;
  int bos = 0, special = 0;
  const struct option options[] = {
      {"bos", OPTION_FLAG, &bos, NULL, "begin with the BOS token"},
      {"special", OPTION_FLAG, &special, NULL,
       "take text like <|eot_id|> as that special token"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  llq_model *model;
  llq_tokenizer *owned;
  const llq_tokenizer *tokenizer;
  if (open_tokenizer(source, &model, &owned, &tokenizer) < 0)
    return command_failed(command);
  exit_status =
      tokenize(command, tokenizer,
               (bos ? LLQ_ENCODE_BOS : 0) | (special ? LLQ_ENCODE_SPECIAL : 0));
  llq_tokenizer_close(owned);
  llq_model_close(model);
  return exit_status;
}

static int print_text(const struct command *command,
                      const llq_tokenizer *tokenizer, const int32_t *ids,
                      size_t n_ids, int special) {
  size_t n_bytes;
  if (llq_tokenizer_decode(tokenizer, ids, n_ids, special, NULL, 0, &n_bytes) <
      0)
    return command_failed(command);
  char *text = malloc(n_bytes + 1);
  if (text == NULL)
    return command_error(command, "out of memory");
  llq_tokenizer_decode(tokenizer, ids, n_ids, special, text, n_bytes, &n_bytes);
  size_t written = fwrite(text, 1, n_bytes, stdout);
  free(text);
  if (written != n_bytes || fflush(stdout) != 0)
    return command_error(command, "cannot write standard output");
  return EXIT_DONE;
}

static int detokenize(const struct command *command,
                      const llq_tokenizer *tokenizer, int special) {
  size_t n_bytes, n_ids;
  char *text = command_read(NULL, &n_bytes);
  if (text == NULL)
    return command_error(command, "cannot read standard input");
  int32_t *ids = command_parse_ids(text, n_bytes, &n_ids);
  free(text);
  if (ids == NULL)
    return command_error(command,
                         "standard input is not a JSON array of token ids");
  int exit_status = print_text(command, tokenizer, ids, n_ids, special);
  free(ids);
  return exit_status;
}

int run_detokenize(const struct command *command, int argc, char **argv) {
  const char *source;
  int special = 0;
  const struct option options[] = {
      {"special", OPTION_FLAG, &special, NULL, "show special tokens' names"},
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  llq_model *model;
  llq_tokenizer *owned;
  const llq_tokenizer *tokenizer;
  if (open_tokenizer(source, &model, &owned, &tokenizer) < 0)
    return command_failed(command);
  exit_status = detokenize(command, tokenizer, special);
  llq_tokenizer_close(owned);
  llq_model_close(model);
  return exit_status;
}
