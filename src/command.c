/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
  (void)signal_number;
  interrupted = 1;
}

void command_catch_interrupts(void) {
  /* A second Ctrl-C ends the program at once. */
  struct sigaction action = {.sa_handler = on_interrupt,
                             .sa_flags = (int)SA_RESETHAND};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

int command_interrupted(void) {
  return interrupted;
}

static void print_message(const struct command *command, const char *format,
                          va_list args) {
  fprintf(stderr, "llq %s: ", command->name);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
}

int command_failed(const struct command *command) {
  const char *message = llq_error_message();
  return command_error(command, "%s", message[0] ? message : "failed");
}

int command_error(const struct command *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_message(command, format, args);
  va_end(args);
  return EXIT_FAILED;
}

int command_misused(const struct command *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_message(command, format, args);
  va_end(args);
  return EXIT_USAGE;
}

int command_open_backend(const struct common_options *common,
                         llq_backend **out) {
  llq_backend_options options = LLQ_BACKEND_OPTIONS_INIT;
  options.arch = common->arch;
  options.n_threads = common->n_threads;
  return llq_backend_open(out, common->backend, &options);
}

int runner_open(struct runner *runner, const struct common_options *common,
                const char *model, const llq_generator_options *options) {
  memset(runner, 0, sizeof *runner);
  int status = llq_model_open(&runner->model, model, NULL);
  if (status == LLQ_OK)
    status = command_open_backend(common, &runner->backend);
  if (status == LLQ_OK)
    status = llq_generator_open(&runner->generator, runner->backend,
                                runner->model, options);
  if (status != LLQ_OK)
    runner_close(runner);
  return status;
}

void runner_close(struct runner *runner) {
  llq_generator_close(runner->generator);
  llq_model_close(runner->model);
  llq_backend_close(runner->backend);
  memset(runner, 0, sizeof *runner);
}

int command_run(const struct command *command, step_function step,
                void *handle) {
  struct progress_display display;
  llq_progress progress = LLQ_PROGRESS_INIT;
  command_catch_interrupts();
  progress_begin(&display, command->name);
  int status;
  do {
    status = step(handle, &progress);
    if (status >= 0)
      progress_update(&display, &progress);
  } while (status == LLQ_MORE && !interrupted);
  progress_end(&display);
  return status;
}

int command_print_json(const struct command *command, json_t *json) {
  if (json == NULL)
    return command_error(command, "out of memory");
  int status =
      json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
  json_decref(json);
  if (status != 0 || putchar('\n') == EOF || fflush(stdout) != 0)
    return command_error(command, "cannot write standard output");
  return EXIT_DONE;
}

char *command_read(const char *path, size_t *n_bytes) {
  FILE *file = path != NULL ? fopen(path, "rb") : stdin;
  if (file == NULL)
    return NULL;
  char *bytes = NULL;
  size_t n = 0, capacity = 0;
  do {
    if (capacity - n < 1 << 16) {
      capacity = capacity * 2 + (1 << 17);
      char *grown = realloc(bytes, capacity);
      if (grown == NULL)
        break;
      bytes = grown;
    }
    n += fread(bytes + n, 1, capacity - n - 1, file);
  } while (!feof(file) && !ferror(file));
  int failed = !feof(file);
  if (path != NULL)
    fclose(file);
  if (failed) {
    free(bytes);
    return NULL;
  }
  bytes[n] = '\0';
  *n_bytes = n;
  return bytes;
}

int32_t *command_parse_ids(const char *text, size_t n_bytes, size_t *n_ids) {
  json_t *array = json_loadb(text, n_bytes, 0, NULL);
  size_t n = json_array_size(array);
  int32_t *ids = json_is_array(array) ? malloc((n + 1) * sizeof *ids) : NULL;
  for (size_t i = 0; ids != NULL && i < n; i++) {
    const json_t *value = json_array_get(array, i);
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || id > INT32_MAX) {
      free(ids);
      ids = NULL;
    } else {
      ids[i] = (int32_t)id;
    }
  }
  json_decref(array);
  *n_ids = n;
  return ids;
}

int command_encode(const llq_tokenizer *tokenizer, const char *text,
                   size_t n_bytes, int flags, int32_t **ids, size_t *n_ids) {
  size_t capacity = 3 * n_bytes + 1; /* room enough for any bytes */
  *ids = malloc(capacity * sizeof **ids);
  if (*ids == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llq_tokenizer_encode(tokenizer, text, n_bytes, flags, *ids,
                                    capacity, n_ids);
  if (status < 0) {
    free(*ids);
    *ids = NULL;
  }
  return status;
}

json_t *command_rates_json(const llq_device_rates *rates) {
  return json_pack(
      "{s:f, s:f, s:f, s:f, s:f, s:f}", "read_bytes", rates->read_bytes,
      "copy_bytes", rates->copy_bytes, "upload_bytes", rates->upload_bytes,
      "bf16_operations", rates->bf16_operations, "fp8_operations",
      rates->fp8_operations, "int8_operations", rates->int8_operations);
}

void command_print_rates(const llq_device_rates *rates) {
  if (rates->read_bytes > 0)
    printf("  reads %.3f TB/s, copies %.3f TB/s, uploads %.1f GB/s; bf16 %.0f, "
           "fp8 %.0f TFLOP/s, int8 %.0f TOP/s\n",
           1e-12 * rates->read_bytes, 1e-12 * rates->copy_bytes,
           1e-9 * rates->upload_bytes, 1e-12 * rates->bf16_operations,
           1e-12 * rates->fp8_operations, 1e-12 * rates->int8_operations);
}
