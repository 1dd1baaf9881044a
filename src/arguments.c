/* SPDX-License-Identifier: Apache-2.0 */
#include "arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const struct command *command,
                       const struct option *options) {
  printf("usage: llq %s %s [options]\n%s\n\noptions:\n", command->name,
         command->operands, command->summary);
  for (; options->name != NULL; options++) {
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", options->name,
             options->shown != NULL ? " " : "",
             options->shown != NULL ? options->shown : "");
    printf("  %-24s %s\n", left, options->help);
  }
  printf("  %-24s %s\n", "--help", "print this");
}

static int usage_error(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int usage_error(const struct command *command, const char *format, ...) {
  va_list args;
  fprintf(stderr, "llq %s: ", command->name);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, "\nusage: llq %s %s [options]; llq %s --help lists them\n",
          command->name, command->operands, command->name);
  return EXIT_USAGE;
}

/* Stores a value; 0 when the text is not one of the option's kind. */
static int store(const struct option *option, const char *text) {
  char *end = NULL;
  errno = 0;
  switch (option->kind) {
  case OPTION_FLAG:
    *(int *)option->value = 1;
    return 1;
  case OPTION_TEXT:
    *(const char **)option->value = text;
    return 1;
  case OPTION_INT: {
    long n = strtol(text, &end, 10);
    *(int32_t *)option->value = (int32_t)n;
    return errno == 0 && n >= INT32_MIN && n <= INT32_MAX && end != text &&
           *end == '\0';
  }
  case OPTION_SEED:
    *(uint64_t *)option->value = strtoull(text, &end, 0);
    return errno == 0 && text[0] != '-' && end != text && *end == '\0';
  case OPTION_REAL:
    *(double *)option->value = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0';
  }
  return 0;
}

static const struct option *find(const struct option *options, const char *name,
                                 size_t length) {
  for (; options->name != NULL; options++)
    if (strlen(options->name) == length &&
        memcmp(options->name, name, length) == 0)
      return options;
  return NULL;
}

/* Reads argv[*at], an option, and its value; moves *at to the last word read. */
static int read_option(const struct command *command,
                       const struct option *options, int argc, char **argv,
                       int *at) {
  const char *word = argv[*at];
  const char *name = strncmp(word, "--", 2) == 0 ? word + 2 : word + 1;
  if (strcmp(word, "-o") == 0)
    name = "output";
  const char *equals = strchr(name, '=');
  size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
  const struct option *option = find(options, name, length);
  if (option == NULL)
    return usage_error(command, "unknown option '%s'", word);
  const char *value = equals != NULL ? equals + 1 : NULL;
  if (option->kind == OPTION_FLAG && value != NULL)
    return usage_error(command, "--%s takes no value", option->name);
  if (option->kind != OPTION_FLAG && value == NULL) {
    if (*at + 1 >= argc)
      return usage_error(command, "--%s needs %s", option->name, option->shown);
    value = argv[++*at];
  }
  if (!store(option, value))
    return usage_error(command, "--%s: '%s' is not a valid %s", option->name,
                       value, option->shown);
  return -1;
}

int arguments_parse(const struct command *command, const struct option *options,
                    int argc, char **argv, const char **operands,
                    int n_operands) {
  int n = 0, only_operands = 0;
  for (int i = 1; i < argc; i++) {
    if (!only_operands && strcmp(argv[i], "--help") == 0) {
      print_help(command, options);
      return EXIT_DONE;
    }
    if (!only_operands && strcmp(argv[i], "--") == 0) {
      only_operands = 1;
    } else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
      int status = read_option(command, options, argc, argv, &i);
      if (status >= 0)
        return status;
    } else if (n == n_operands) {
      return usage_error(command, "unexpected '%s'", argv[i]);
    } else {
      operands[n++] = argv[i];
    }
  }
  if (n < n_operands)
    return usage_error(command, "%d of %d operands given", n, n_operands);
  return -1;
}
