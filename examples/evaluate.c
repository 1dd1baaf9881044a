/* SPDX-License-Identifier: Apache-2.0 */
/* Scores two models on the same tasks, and compares them task by task.
 *
 *   cc evaluate.c $(pkg-config --cflags --libs llq) -o evaluate
 *   ./evaluate llq-micro llq-micro-W4A16 llq-micro RUNS
 */
#include <llq/llq.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int need(int status) {
  if (status < 0) {
    fprintf(stderr, "%s\n", llq_error_message());
    exit(1);
  }
  return status;
}

/* Runs to the end in a directory; if it holds a part, continues that. */
static void evaluate(llq_backend *backend, const char *source, const char *task,
                     const char *directory) {
  llq_model *model;
  llq_evaluator *evaluator;
  llq_evaluator_options options = LLQ_EVALUATOR_OPTIONS_INIT;
  options.task = task;
  options.directory = directory;
  options.n_tasks = 8;
  need(llq_model_open(&model, source, NULL));
  need(llq_evaluator_open(&evaluator, backend, model, &options));
  need(llq_evaluator_run(evaluator));
  llq_evaluator_close(evaluator);
  llq_model_close(model);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: %s BASE MODEL TASK RUNS\n", argv[0]);
    return 2;
  }
  char runs[2][4096];
  mkdir(argv[4], 0777);
  for (int i = 0; i < 2; i++)
    snprintf(runs[i], sizeof runs[i], "%s/%s", argv[4], i == 0 ? "a" : "b");

  llq_backend *backend;
  char *comparison;
  need(llq_backend_open(&backend, NULL, NULL));
  evaluate(backend, argv[1], argv[3], runs[0]);
  evaluate(backend, argv[2], argv[3], runs[1]);
  need(llq_compare(runs[0], runs[1], &comparison));
  puts(comparison); /* JSON: doc/schemas/comparison.json */
  llq_free(comparison);
  llq_backend_close(backend);
  return 0;
}
