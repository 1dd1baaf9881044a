/* SPDX-License-Identifier: Apache-2.0 */
/* llq generate: a prompt's continuation, as it is written. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"

struct request {
  const char *prompt, *prompt_file;
  int32_t n_samples;
  int chat;
};

static const char *stop_name(int reason) {
  static const char *const names[] = {"none",   "end",     "string",
                                      "length", "context", "cancelled"};
  return reason >= 0 && reason <= LLQ_STOP_CANCELLED ? names[reason] : "?";
}

/* The prompt's ids: plain text after BOS, or one user message of a chat. */
static int encode_prompt(const llq_tokenizer *tokenizer, const char *prompt,
                         size_t n_bytes, int chat, int32_t **ids,
                         size_t *n_ids) {
  if (!chat)
    return command_encode(tokenizer, prompt, n_bytes, LLQ_ENCODE_BOS, ids,
                          n_ids);
  llq_message message = {"user", prompt};
  char *text;
  int status = llq_tokenizer_chat(tokenizer, &message, 1, NULL, 1, &text);
  if (status < 0)
    return status;
  status = command_encode(tokenizer, text, strlen(text), LLQ_ENCODE_SPECIAL,
                          ids, n_ids);
  llq_free(text);
  return status;
}

static json_t *generation_json(const llq_generation *generation) {
  json_t *ids = json_array();
  for (size_t i = 0; i < generation->n_ids; i++)
    json_array_append_new(ids, json_integer(generation->ids[i]));
  return json_pack("{s:s%, s:o, s:s, s:f}", "text", generation->text,
                   generation->n_bytes, "ids", ids, "stop",
                   stop_name(generation->stop_reason), "min_margin",
                   generation->min_margin);
}

/* Prints what the first sequence has written since `shown` bytes. */
static void stream(const llq_generator *generator, int64_t sequence,
                   size_t *shown) {
  llq_generation generation = LLQ_GENERATION_INIT;
  if (llq_generator_get(generator, sequence, &generation) < 0)
    return;
  fwrite(generation.text + *shown, 1, generation.n_bytes - *shown, stdout);
  fflush(stdout);
  *shown = generation.n_bytes;
}

/* Prints what is not printed yet: all samples but a streamed first one. */
static int print_results(const struct command *command,
                         const llq_generator *generator, int64_t first,
                         int32_t n_samples, int json) {
  json_t *list = json ? json_array() : NULL;
  for (int32_t i = json || n_samples > 1 ? 0 : 1; i < n_samples; i++) {
    llq_generation generation = LLQ_GENERATION_INIT;
    if (llq_generator_get(generator, first + i, &generation) < 0) {
      json_decref(list);
      return command_failed(command);
    }
    if (json)
      json_array_append_new(list, generation_json(&generation));
    else
      printf("--- sample %d (%s)\n%s\n", (int)i,
             stop_name(generation.stop_reason), generation.text);
  }
  if (json)
    return command_print_json(command, list);
  if (n_samples == 1)
    putchar('\n');
  return fflush(stdout) == 0 ? EXIT_DONE
                             : command_error(command, "cannot write output");
}

static int generate(const struct command *command, llq_generator *generator,
                    const int32_t *ids, size_t n_ids,
                    const llq_sampling *sampling, int32_t n_samples, int json) {
  int64_t first;
  if (llq_generator_submit(generator, ids, n_ids, sampling, n_samples, &first) <
      0)
    return command_failed(command);
  command_catch_interrupts();
  size_t shown = 0;
  int status;
  do {
    status = llq_generator_step(generator, NULL);
    if (!json && n_samples == 1)
      stream(generator, first, &shown);
  } while (status == LLQ_MORE && !command_interrupted());
  if (status < 0)
    return command_failed(command);
  return print_results(command, generator, first, n_samples, json);
}

static int run_request(const struct command *command, struct runner *runner,
                       const struct request *request,
                       const llq_sampling *sampling, int json) {
  size_t n_bytes = request->prompt != NULL ? strlen(request->prompt) : 0, n_ids;
  char *read = NULL;
  if (request->prompt == NULL) {
    int from_stdin = strcmp(request->prompt_file, "-") == 0;
    read = command_read(from_stdin ? NULL : request->prompt_file, &n_bytes);
    if (read == NULL)
      return command_error(command, "%s: cannot read", request->prompt_file);
  }
  const llq_tokenizer *tokenizer;
  int32_t *ids = NULL;
  int status = llq_model_tokenizer(runner->model, &tokenizer);
  if (status == LLQ_OK)
    status = encode_prompt(tokenizer, read != NULL ? read : request->prompt,
                           n_bytes, request->chat, &ids, &n_ids);
  free(read);
  if (status < 0)
    return command_failed(command);
  int exit_status = generate(command, runner->generator, ids, n_ids, sampling,
                             request->n_samples, json);
  free(ids);
  return exit_status;
}

int run_generate(const struct command *command, int argc, char **argv) {
  const char *source, *stop = NULL;
  struct request request = {.n_samples = 1};
  struct common_options common = {0};
  llq_generator_options generator = LLQ_GENERATOR_OPTIONS_INIT;
  llq_sampling sampling = LLQ_SAMPLING_INIT;
  const struct option options[] = {
      {"prompt", OPTION_TEXT, &request.prompt, "TEXT", "what to continue"},
      {"prompt-file", OPTION_TEXT, &request.prompt_file, "FILE",
       "the same from a file; - is standard input"},
      {"chat", OPTION_FLAG, &request.chat, NULL,
       "the prompt is a user's message of a chat"},
      {"max-tokens", OPTION_INT, &sampling.n_tokens_max, "N",
       "tokens to generate (default: until the context is full)"},
      {"temperature", OPTION_REAL, &sampling.temperature, "T",
       "0 = greedy (default)"},
      {"top-p", OPTION_REAL, &sampling.top_p, "P", "nucleus sampling"},
      {"top-k", OPTION_INT, &sampling.top_k, "K", "the K likeliest tokens"},
      {"min-p", OPTION_REAL, &sampling.min_p, "P",
       "tokens at least P times as likely as the likeliest"},
      {"seed", OPTION_SEED, &sampling.seed, "S", "of the draws (default 0)"},
      {"stop", OPTION_TEXT, &stop, "TEXT", "a string that ends the text"},
      {"samples", OPTION_INT, &request.n_samples, "N", "how many (default 1)"},
      {"compute", OPTION_TEXT, &generator.compute, "TYPE", "f32 or bf16"},
      KV_CACHE_OPTION(generator),
      {"context", OPTION_INT, &generator.n_context, "N",
       "tokens of a sequence, prompt included"},
      COMMON_OPTIONS(common),
      {NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int exit_status = arguments_parse(command, options, argc, argv, &source, 1);
  if (exit_status >= 0)
    return exit_status;
  if ((request.prompt == NULL) == (request.prompt_file == NULL))
    return command_misused(command, "give --prompt or --prompt-file");
  if (stop != NULL) {
    sampling.stops = &stop;
    sampling.n_stops = 1;
  }
  struct runner runner;
  if (runner_open(&runner, &common, source, &generator) < 0)
    return command_failed(command);
  exit_status = run_request(command, &runner, &request, &sampling, common.json);
  runner_close(&runner);
  return exit_status;
}
