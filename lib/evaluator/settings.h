/* SPDX-License-Identifier: Apache-2.0 */
/* An evaluation's options, checked, with the protocol's defaults filled in. */
#ifndef LLQI_EVALUATOR_SETTINGS_H
#define LLQI_EVALUATOR_SETTINGS_H

#include <llq/evaluator.h>

#include "base/hash.h"
#include "evaluator/protocol.h"
#include "evaluator/tasks.h"

struct llqi_settings {
  const struct llqi_protocol *protocol;  /* NULL: samples that exist */
  char *task, *directory, *samples;      /* samples: NULL when generating */
  char *sandbox, *check;                 /* names */
  const char *compute;                   /* "f32", "bf16" */
  const char *kv_cache;                  /* "compute", "fp8", "int8" */
  char task_sha256[LLQI_HASH_TEXT_SIZE]; /* of what the tasks say */
  char samples_sha256[LLQI_HASH_TEXT_SIZE];
  int64_t n_tasks;     /* in the set that is used */
  int32_t n_samples;   /* a task; 0: as many as there are */
  int32_t n_tasks_max; /* 0: all */
  int32_t n_tokens_max, n_sequences, n_workers, n_context;
  double temperature, top_p;
  uint64_t seed;
  double cpu_seconds;    /* 0: the task's default */
  uint64_t memory_bytes; /* 0: the sandbox's default */
};

/* Copies and checks a caller's options, for a model or for `samples` only. */
int llqi_settings_make(struct llqi_settings *out,
                       const llq_evaluator_options *options,
                       const llq_backend *backend, const llq_model *model);
void llqi_settings_free(struct llqi_settings *settings);

/* Notes what the task set is. */
int llqi_settings_set_tasks(struct llqi_settings *settings,
                            const struct llqi_task_set *set);

#endif
