/* SPDX-License-Identifier: Apache-2.0 */
/* The options that eval, score and sweep share. */
#ifndef LLQ_SRC_EVALUATE_H
#define LLQ_SRC_EVALUATE_H

#include "arguments.h"

/* What is run, and how it is isolated. */
#define EVALUATION_OPTIONS(e)                                                  \
  {"task", OPTION_TEXT, &(e).task, "NAME|FILE",                                \
   "llq-micro, or JSONL in HumanEval's format, plain or gzip (required)"},     \
      {"output", OPTION_TEXT, &(e).directory, "DIR",                           \
       "the results' directory, also -o (required)"},                          \
      {"limit", OPTION_INT, &(e).n_tasks, "N", "only the first N tasks"},      \
      {"sandbox", OPTION_TEXT, &(e).sandbox, "NAME",                           \
       "bwrap (default), or rlimit: limits without isolation"},                \
      {"check", OPTION_TEXT, &(e).check, "NAME",                               \
       "isolated (default), or in-process as the original harness"},           \
      {"workers", OPTION_INT, &(e).n_workers, "N",                             \
       "programs run at once (default: as many as cores)"},                    \
  {                                                                            \
    "cpu-seconds", OPTION_REAL, &(e).cpu_seconds, "S",                         \
        "CPU time of one program (default 3)"                                  \
  }

/* How programs are generated. */
#define GENERATION_OPTIONS(e)                                                  \
  {"protocol", OPTION_TEXT, &(e).protocol, "NAME",                             \
   "humaneval (default), evalplus or study"},                                  \
      {"samples", OPTION_INT, &(e).n_samples, "N",                             \
       "samples a task (default: the protocol's)"},                            \
      {"max-tokens", OPTION_INT, &(e).n_tokens_max, "N",                       \
       "tokens a sample (default: the protocol's)"},                           \
      {"temperature", OPTION_REAL, &(e).temperature, "T",                      \
       "default: the protocol's; below 0 = greedy"},                           \
      {"top-p", OPTION_REAL, &(e).top_p, "P", "default: the protocol's"},      \
      {"seed", OPTION_SEED, &(e).seed, "S", "of the draws (default 0)"},       \
      {"batch", OPTION_INT, &(e).n_sequences, "N",                             \
       "sequences generated at once (default 16)"},                            \
      {"compute", OPTION_TEXT, &(e).compute, "TYPE", "f32 or bf16"},           \
      KV_CACHE_OPTION(e)

/* Prints llq_compare()'s JSON of the runs a and b for people. */
int print_comparison(const struct command *command, const char *a,
                     const char *b, const char *text);

#endif
