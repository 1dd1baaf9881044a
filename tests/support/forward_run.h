/* SPDX-License-Identifier: Apache-2.0 */
/* One sequence through a model's forward pass, for tests and measurements
   below the generator. */
#ifndef LLQ_TEST_FORWARD_RUN_H
#define LLQ_TEST_FORWARD_RUN_H

#include "model/forward.h"

struct forward_run {
  llq_backend *backend;
  llq_model *model;
  struct llqi_forward *forward;
  llq_kv *caches;
  int32_t *pages;
  int n_pages;
};

/* Pages are listed in descending order, so that a position is not its slot. The
   cache is of the type that the model has scales for, if it has. */
int forward_run_open(struct forward_run *run, llq_backend *backend,
                     llq_model *model, int compute, int n_rows_max,
                     int n_positions_max);
int forward_run_open_with(struct forward_run *run, llq_backend *backend,
                          llq_model *model,
                          const struct llqi_forward_options *options);
void forward_run_close(struct forward_run *run);

/* Runs n tokens at positions first .. first + n - 1, and gives the logits of
   the last n_logits of them. */
int forward_run_tokens(struct forward_run *run, const int32_t *ids, int n,
                       int first, int n_logits, float *logits);

#endif
