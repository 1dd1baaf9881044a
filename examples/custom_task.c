/* SPDX-License-Identifier: Apache-2.0 */
/* A task set of one's own, and the verdicts of programs written by hand: what
 * the sandbox makes of a right one, a wrong one, and one that never ends.
 *
 *   cc custom_task.c $(pkg-config --cflags --libs llq) -o custom_task
 *   ./custom_task DIRECTORY
 */
#include <llq/llq.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* HumanEval's format: the prompt, a completion, then check(entry_point). */
static const char tasks[] =
    "{\"task_id\": \"mine/0\", \"entry_point\": \"double\","
    " \"prompt\": \"def double(x):\\n\","
    " \"canonical_solution\": \"    return 2 * x\\n\","
    " \"test\": \"def check(candidate):\\n"
    "    assert candidate(2) == 4\\n"
    "    assert candidate('ab') == 'abab'\\n\"}\n";

static const char samples[] =
    "{\"task_id\": \"mine/0\", \"completion\": \"    return x + x\\n\"}\n"
    "{\"task_id\": \"mine/0\", \"completion\": \"    return x * x\\n\"}\n"
    "{\"task_id\": \"mine/0\", \"completion\":"
    " \"    while True:\\n        pass\\n\"}\n";

static void need(int status) {
  if (status < 0) {
    fprintf(stderr, "%s\n", llq_error_message());
    exit(1);
  }
}

/* Writes a file in a directory, and its path to `path`. */
static void write_file(char *path, size_t size, const char *directory,
                       const char *name, const char *text) {
  snprintf(path, size, "%s/%s", directory, name);
  FILE *file = fopen(path, "w");
  if (file == NULL || fputs(text, file) == EOF || fclose(file) != 0) {
    perror(path);
    exit(1);
  }
}

int main(int argc, char **argv) {
  char task[4096], sample[4096], run[4096];
  if (argc != 2) {
    fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  mkdir(argv[1], 0777);
  write_file(task, sizeof task, argv[1], "tasks.jsonl", tasks);
  write_file(sample, sizeof sample, argv[1], "programs.jsonl", samples);
  snprintf(run, sizeof run, "%s/run", argv[1]);

  llq_evaluator *evaluator;
  llq_evaluator_options options = LLQ_EVALUATOR_OPTIONS_INIT;
  options.task = task;
  options.samples = sample;
  options.directory = run;
  options.cpu_seconds = 1;
  const char *result;
  need(llq_evaluator_open_samples(&evaluator, &options));
  need(llq_evaluator_run(evaluator));
  need(llq_evaluator_result(evaluator, &result));
  puts(result); /* pass@1 is one third; samples.jsonl says why */
  llq_evaluator_close(evaluator);
  return 0;
}
