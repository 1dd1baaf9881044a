/* SPDX-License-Identifier: Apache-2.0 */
#include "generator/batch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

int llqi_batch_open(struct llqi_batch *batch, int n_rows_max,
                    int n_segments_max, int n_pages_max) {
  *batch = (struct llqi_batch){.n_rows_max = n_rows_max,
                               .n_segments_max = n_segments_max,
                               .n_pages_max = n_pages_max};
  size_t n_rows = (size_t)n_rows_max, n_segments = (size_t)n_segments_max;
  batch->ids = llqi_array(n_rows, sizeof *batch->ids);
  batch->logit_rows = llqi_array(n_rows, sizeof *batch->logit_rows);
  batch->segments = llqi_array(n_segments, sizeof *batch->segments);
  batch->owners = llqi_array(n_segments, sizeof *batch->owners);
  batch->pages = llqi_array((size_t)n_pages_max, sizeof *batch->pages);
  if (batch->ids == NULL || batch->logit_rows == NULL ||
      batch->segments == NULL || batch->owners == NULL || batch->pages == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_batch_clear(batch);
  return LLQ_OK;
}

void llqi_batch_close(struct llqi_batch *batch) {
  llqi_free(batch->ids);
  llqi_free(batch->logit_rows);
  llqi_free(batch->segments);
  llqi_free(batch->owners);
  llqi_free(batch->pages);
  *batch = (struct llqi_batch){0};
}

void llqi_batch_clear(struct llqi_batch *batch) {
  batch->view = (llq_batch){.segments = batch->segments,
                            .pages = batch->pages,
                            .page_size = LLQI_PAGE_SIZE};
  batch->n_logit_rows = 0;
}

void llqi_batch_add(struct llqi_batch *batch, const int32_t *ids, int n,
                    int32_t position, const struct llqi_page_table *table) {
  llq_batch *view = &batch->view;
  int n_pages = llqi_pages_for(position + n);
  batch->segments[view->n_segments++] =
      (llq_segment){.first_row = view->n_rows,
                    .n_rows = n,
                    .first_position = position,
                    .first_page = view->n_pages_listed};
  memcpy(batch->ids + view->n_rows, ids, (size_t)n * sizeof *ids);
  memcpy(batch->pages + view->n_pages_listed, table->pages,
         (size_t)n_pages * sizeof *table->pages);
  view->n_rows += n;
  view->n_pages_listed += n_pages;
}

void llqi_batch_own(struct llqi_batch *batch, struct llqi_sequence *sequence,
                    struct llqi_request *request, int wanted) {
  int segment = batch->view.n_segments - 1;
  int logit_row = wanted ? batch->n_logit_rows++ : -1;
  if (wanted)
    batch->logit_rows[logit_row] = batch->view.n_rows - 1;
  batch->owners[segment] = (struct llqi_owner){sequence, request, logit_row};
}

void llqi_batch_want_all(struct llqi_batch *batch) {
  batch->n_logit_rows = batch->view.n_rows;
  for (int i = 0; i < batch->n_logit_rows; i++)
    batch->logit_rows[i] = i;
}

int llqi_batch_run(struct llqi_batch *batch, struct llqi_forward *forward,
                   struct llqi_kv_cache *cache, float *logits, llq_draw *draws,
                   int n_draws) {
  struct llqi_step step = {.batch = &batch->view,
                           .ids = batch->ids,
                           .caches = cache->layers,
                           .logit_rows = batch->logit_rows,
                           .n_logit_rows = batch->n_logit_rows,
                           .logits = logits,
                           .draws = draws,
                           .n_draws = n_draws};
  return llqi_forward_run(forward, &step);
}
