/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines: a table of options for each command. */
#ifndef LLQ_SRC_ARGUMENTS_H
#define LLQ_SRC_ARGUMENTS_H

#include <stddef.h>
#include <stdint.h>

/* What the program's exit status says. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_kind {
  OPTION_FLAG, /* int: 1 when given */
  OPTION_TEXT, /* const char * */
  OPTION_INT,  /* int32_t */
  OPTION_SEED, /* uint64_t */
  OPTION_REAL  /* double */
};

/* "--name VALUE" or "--name=VALUE". A table ends with a NULL name. */
struct option {
  const char *name; /* without the dashes */
  enum option_kind kind;
  void *value;       /* keeps its initial value when the option is absent */
  const char *shown; /* the value's name in the help; NULL for a flag */
  const char *help;
};

/* A command of llq. */
struct command {
  const char *name;
  const char *operands; /* as in the usage line: "MODEL OUT" */
  const char *summary;  /* one line */
  int (*run)(const struct command *command, int argc, char **argv);
};

/* The options that all commands which run a model have. */
struct common_options {
  const char *backend, *arch;
  int32_t n_threads;
  int json;
};
#define COMMON_OPTIONS(common)                                                 \
  {"backend", OPTION_TEXT, &(common).backend, "NAME",                          \
   "cpu, cuda or cuda:N (default: $LLQ_BACKEND, else cpu)"},                   \
      {"arch", OPTION_TEXT, &(common).arch, "NAME",                            \
       "kernels to use: reference, avx2, avx512; sm80, sm90"},                 \
      {"threads", OPTION_INT, &(common).n_threads, "N",                        \
       "CPU threads (default: as many as cores)"},                             \
  {                                                                            \
    "json", OPTION_FLAG, &(common).json, NULL, "print machine-readable output" \
  }

/* Of those that generate. */
#define KV_CACHE_OPTION(g)                                                     \
  {                                                                            \
    "kv-cache", OPTION_TEXT, &(g).kv_cache, "TYPE",                            \
        "compute, fp8 or int8 (default: as the model has scales for)"          \
  }

/* Parses a command's arguments. operands gets n_operands of them, all
   required. Prints the help, or what is wrong, by itself.
   Returns -1 to go on, or the status to exit with. */
int arguments_parse(const struct command *command, const struct option *options,
                    int argc, char **argv, const char **operands,
                    int n_operands);

#endif
