/* SPDX-License-Identifier: Apache-2.0 */
/* llq: the command over libllq's public interface. */
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct command commands[] = {
    {"devices", "", "List backends and devices, with what each can do.",
     run_devices},
    {"info", "MODEL",
     "Show a model's shape, parameters, bytes in each scheme, memory needed.",
     run_info},
    {"tokenize", "MODEL",
     "Turn standard input into token ids, printed as a JSON array.",
     run_tokenize},
    {"detokenize", "MODEL",
     "Turn a JSON array of token ids on standard input into text.",
     run_detokenize},
    {"logits", "MODEL",
     "Write the logits after each token, as float32 [n_tokens, vocab].",
     run_logits},
    {"generate", "MODEL", "Continue a prompt.", run_generate},
    {"quantize", "MODEL OUT", "Quantize a model and save it as a directory.",
     run_quantize},
    {"convert", "MODEL OUT", "Save a model in another checkpoint format.",
     run_convert},
    {"diff", "MODEL_A MODEL_B", "Compare two models' weights.", run_diff},
    {"perplexity", "MODEL",
     "Measure how well a model predicts a text, alone or against another.",
     run_perplexity},
    {"eval", "MODEL",
     "Generate programs for a task set, run them in the sandbox, score them.",
     run_eval},
    {"score", "", "Score programs that exist already.", run_score},
    {"compare", "DIR_A DIR_B", "Compare two runs, task by task.", run_compare},
    {"bench", "MODEL",
     "Time prompts and decoding, beside what the device allows.", run_bench},
    {"sweep", "MODEL",
     "Quantize, evaluate and compare a model in several formats.", run_sweep},
    {"report", "DIR", "Write report.md and report.html from a sweep.",
     run_report},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_usage(FILE *to) {
  fprintf(to, "usage: llq COMMAND ...\n\ncommands:\n");
  for (size_t i = 0; i < N_COMMANDS; i++)
    fprintf(to, "  %-11s %s\n", commands[i].name, commands[i].summary);
  fprintf(to, "\nMODEL is a directory in Hugging Face layout, a .gguf file, "
              "llq-micro, or random:CONFIG.\nllq COMMAND --help lists a "
              "command's options.\n");
}

static void print_log(void *user, int level, const char *line) {
  (void)user;
  fprintf(stderr, "llq: %s%s\n", level == LLQ_LOG_WARNING ? "warning: " : "",
          line);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    print_usage(stderr);
    return EXIT_USAGE;
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
    print_usage(stdout);
    return EXIT_DONE;
  }
  if (strcmp(argv[1], "--version") == 0) {
    printf("llq %s\n", llq_version());
    return EXIT_DONE;
  }
  llq_log_set(print_log, NULL, LLQ_LOG_WARNING);
  for (size_t i = 0; i < N_COMMANDS; i++)
    if (strcmp(argv[1], commands[i].name) == 0)
      return commands[i].run(&commands[i], argc - 1, argv + 1);
  fprintf(stderr, "llq: unknown command '%s'; llq --help lists them\n",
          argv[1]);
  return EXIT_USAGE;
}
