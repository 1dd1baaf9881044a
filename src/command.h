/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share: opening things, errors, progress, interrupts. */
#ifndef LLQ_SRC_COMMAND_H
#define LLQ_SRC_COMMAND_H

#include <jansson.h>
#include <llq/llq.h>
#include <stdio.h>

#include "arguments.h"

/* Prints "llq <command>: <message of the library>"; returns EXIT_FAILED. */
int command_failed(const struct command *command);

/* The same with a text of the command's own. */
int command_error(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for a wrong command line; returns EXIT_USAGE. */
int command_misused(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int command_open_backend(const struct common_options *common,
                         llq_backend **out);

/* Backend, model and generator at once, closed together; on failure nothing
   is left open. */
struct runner {
  llq_backend *backend;
  llq_model *model;
  llq_generator *generator;
};
int runner_open(struct runner *runner, const struct common_options *common,
                const char *model, const llq_generator_options *options);
void runner_close(struct runner *runner);

/* Steps `handle` to its end, showing progress on standard error. Ctrl-C stops
   between two steps. Returns LLQ_OK, an error, or LLQ_MORE if interrupted. */
typedef int (*step_function)(void *handle, llq_progress *progress);
int command_run(const struct command *command, step_function step,
                void *handle);

/* 1 after Ctrl-C, once command_catch_interrupts() was called. */
int command_interrupted(void);
void command_catch_interrupts(void);

/* Prints JSON and a newline on standard output, and drops the reference. */
int command_print_json(const struct command *command, json_t *json);

/* What was measured of a device, as JSON and as a line; zeros: nothing. */
json_t *command_rates_json(const llq_device_rates *rates);
void command_print_rates(const llq_device_rates *rates);

/* All of standard input or a file (path NULL: standard input), to free(). */
char *command_read(const char *path, size_t *n_bytes);

/* A JSON array of token ids, to free(); NULL if the text is no such array. */
int32_t *command_parse_ids(const char *text, size_t n_bytes, size_t *n_ids);

/* Encodes text with a model's tokenizer; ids to free(). */
int command_encode(const llq_tokenizer *tokenizer, const char *text,
                   size_t n_bytes, int flags, int32_t **ids, size_t *n_ids);

/* The commands. */
int run_devices(const struct command *command, int argc, char **argv);
int run_info(const struct command *command, int argc, char **argv);
int run_tokenize(const struct command *command, int argc, char **argv);
int run_detokenize(const struct command *command, int argc, char **argv);
int run_logits(const struct command *command, int argc, char **argv);
int run_generate(const struct command *command, int argc, char **argv);
int run_quantize(const struct command *command, int argc, char **argv);
int run_convert(const struct command *command, int argc, char **argv);
int run_diff(const struct command *command, int argc, char **argv);
int run_perplexity(const struct command *command, int argc, char **argv);
int run_eval(const struct command *command, int argc, char **argv);
int run_score(const struct command *command, int argc, char **argv);
int run_compare(const struct command *command, int argc, char **argv);
int run_bench(const struct command *command, int argc, char **argv);
int run_sweep(const struct command *command, int argc, char **argv);
int run_report(const struct command *command, int argc, char **argv);

#endif
