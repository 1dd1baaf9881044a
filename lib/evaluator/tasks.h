/* SPDX-License-Identifier: Apache-2.0 */
/* Task sets: JSONL in HumanEval's and HumanEval+'s formats. */
#ifndef LLQI_EVALUATOR_TASKS_H
#define LLQI_EVALUATOR_TASKS_H

#include <stddef.h>

#include "base/hash.h"

/* Texts are NUL-terminated UTF-8. */
struct llqi_task {
  char *task_id;
  char *prompt;
  char *entry_point;        /* a Python identifier */
  char *canonical_solution; /* "" if the file has none */
  char *test;               /* defines check(candidate) */

  /* HumanEval+; NULL and 0 in other sets. The inputs stay JSON text, since
     they hold integers of any size. */
  char *contract;
  char *base_input;
  char *plus_input;
  double atol;
};

struct llqi_task_set {
  char *path;
  char hash[LLQI_HASH_TEXT_SIZE]; /* SHA-256 of the file as it is on disk */
  struct llqi_task *tasks;        /* in the file's order, ids all different */
  size_t n_tasks;
};

/* Reads a task set: "llq-micro", the set that comes with libllq, or a path,
   plain or gzip. n_limit > 0 keeps the first n_limit tasks.
   Fails naming file and line. */
int llqi_task_set_open(struct llqi_task_set **out, const char *path_or_name,
                       size_t n_limit);
void llqi_task_set_close(struct llqi_task_set *set);

/* The task with this id, or NULL. */
const struct llqi_task *llqi_task_find(const struct llqi_task_set *set,
                                       const char *task_id);

#endif
