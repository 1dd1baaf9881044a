/* SPDX-License-Identifier: Apache-2.0 */
/* From the outcomes of samples to the numbers of result.json. */
#ifndef LLQI_EVALUATOR_METRICS_H
#define LLQI_EVALUATOR_METRICS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* What of one sample its run's summary needs. */
struct llqi_outcome {
  uint32_t task, sample;
  int passed;
  int passed_raw;     /* before post-processing; -1: there is none */
  int passed_base;    /* HumanEval's own test of HumanEval+; -1: the same */
  char verdict[24];   /* "passed", ... */
  char stop[12];      /* why generation stopped; "": it was not generated */
  uint64_t n_tokens;  /* generated */
  double seconds;     /* its share of the time that generation took */
  double cpu_seconds; /* of the program */
  double min_margin;  /* see llq_generation; infinite if unknown */
};

struct llqi_outcomes {
  struct llqi_outcome *items;
  size_t n, capacity;
};

int llqi_outcomes_add(struct llqi_outcomes *outcomes,
                      const struct llqi_outcome *outcome);
void llqi_outcomes_free(struct llqi_outcomes *outcomes);

/* Sets "metrics", "per_task", "verdicts", "stops" and "performance" in a
   result. Each of the tasks has a sample at least. */
int llqi_metrics_summarize(const struct llqi_outcomes *outcomes,
                           const char *const *task_ids, size_t n_tasks,
                           json_t *result);

/* The paired statistics of two results, which must be of the same tasks. */
int llqi_compare_results(const json_t *a, const json_t *b, json_t **out);

/* A number; null where JSON has none for it. NULL: out of memory. */
json_t *llqi_json_number(double value);

#endif
