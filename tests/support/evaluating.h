/* SPDX-License-Identifier: Apache-2.0 */
/* A model that writes text, tasks for it, and runs of them. */
#ifndef LLQ_TEST_EVALUATING_H
#define LLQ_TEST_EVALUATING_H

#include <jansson.h>
#include <llq/llq.h>

#define N_SMALL_TASKS 6

/* A random Llama that writes bytes: its tokenizer is that of
   small_tokenizer.h. Its files are in test_directory(). */
llq_model *writing_model(void);

/* A task set whose prompts end within a comment: a program passes unless the
   model writes a newline, or what Python refuses in a comment. */
const char *write_small_tasks(void);

/* Options for a run in test_path(name): 4 samples a task, at temperature 1. */
llq_evaluator_options small_evaluation(const char *name);

/* Runs to the end. */
void evaluate(llq_backend *backend, llq_model *model,
              const llq_evaluator_options *options);

/* DIRECTORY/result.json without what takes its time. */
json_t *read_result(const char *directory);

/* A line of DIRECTORY/samples.jsonl, by task and sample. */
json_t *read_sample(const char *directory, const char *task_id, int sample);

#endif
