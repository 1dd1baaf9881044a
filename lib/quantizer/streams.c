/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/streams.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* Rows of a batch, if samples are shorter than that; and positions of a page
   of its cache. */
#define BATCH_ROWS 1024
#define PAGE_SIZE 64

static size_t first_of(const struct llqi_calibration *set, size_t sample) {
  return sample > 0 ? set->ends[sample - 1] : 0;
}

static size_t length_of(const struct llqi_calibration *set, size_t sample) {
  return set->ends[sample] - first_of(set, sample);
}

static int pages_of(size_t n_tokens) {
  return (int)((n_tokens + PAGE_SIZE - 1) / PAGE_SIZE);
}

/* How many samples from `sample` on make a batch. */
static size_t batch_size(const struct llqi_streams *s, size_t sample) {
  const size_t first = first_of(s->set, sample);
  size_t n = 1;
  while (sample + n < s->set->n_samples &&
         s->set->ends[sample + n] - first <= (size_t)s->n_rows_max)
    n++;
  return n;
}

static void measure(struct llqi_streams *s) {
  size_t longest = 0;
  for (size_t i = 0; i < s->set->n_samples; i++)
    if (length_of(s->set, i) > longest)
      longest = length_of(s->set, i);
  s->n_positions_max = (int)longest;
  s->n_rows_max = longest > BATCH_ROWS ? (int)longest : BATCH_ROWS;
}

static size_t row_bytes(const struct llqi_streams *s) {
  return (size_t)s->model->config.hidden_size * llqi_dtype_size(s->compute);
}

static int embed(struct llqi_streams *s) {
  const struct llqi_tensor *table = &s->model->embedding;
  const size_t n = (size_t)s->model->config.hidden_size;
  const size_t table_bytes = n * llqi_dtype_size(table->dtype);
  float *values = llqi_array(n, sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  for (size_t i = 0; i < s->set->n_ids; i++) {
    llqi_to_f32(table->dtype,
                (const char *)table->data +
                    (size_t)s->set->ids[i] * table_bytes,
                n, values);
    llqi_from_f32(s->compute, values, n, s->hidden + i * row_bytes(s));
  }
  llqi_free(values);
  return LLQ_OK;
}

static int allocate(struct llqi_streams *s, int n_pages, size_t n_segments) {
  s->hidden = llqi_alloc_aligned(s->set->n_ids, row_bytes(s));
  s->pages = llqi_array((size_t)n_pages, sizeof *s->pages);
  s->segments = llqi_array(n_segments, sizeof *s->segments);
  s->ids = llqi_array((size_t)s->n_rows_max, sizeof *s->ids);
  if (s->hidden == NULL || s->pages == NULL || s->segments == NULL ||
      s->ids == NULL)
    return LLQ_ERROR_MEMORY;
  for (int i = 0; i < n_pages; i++)
    s->pages[i] = i;
  return LLQ_OK;
}

static int open_cache(struct llqi_streams *s, int n_pages) {
  const struct llqi_config *config = &s->model->config;
  s->cache = (llq_kv){.dtype = s->compute,
                      .n_pages = n_pages,
                      .page_size = PAGE_SIZE,
                      .n_kv_heads = (int32_t)config->n_kv_heads,
                      .head_size = (int32_t)config->head_size};
  const size_t n_bytes = (size_t)n_pages * PAGE_SIZE *
                         (size_t)(config->n_kv_heads * config->head_size) *
                         llqi_dtype_size(s->compute);
  LLQ_TRY(llqi_memory_alloc(s->backend, n_bytes, &s->cache.keys));
  return llqi_memory_alloc(s->backend, n_bytes, &s->cache.values);
}

int llqi_streams_open(struct llqi_streams *s, llq_backend *backend,
                      const llq_model *model,
                      const struct llqi_calibration *set, int compute) {
  *s = (struct llqi_streams){
      .backend = backend, .model = model, .set = set, .compute = compute};
  measure(s);
  int n_pages = 0;
  size_t n_segments = 0;
  for (size_t at = 0, n; at < set->n_samples; at += n) {
    int n_here = 0;
    n = batch_size(s, at);
    for (size_t i = at; i < at + n; i++)
      n_here += pages_of(length_of(set, i));
    n_pages = n_here > n_pages ? n_here : n_pages;
    n_segments = n > n_segments ? n : n_segments;
  }
  LLQ_TRY(allocate(s, n_pages, n_segments));
  LLQ_TRY(open_cache(s, n_pages));
  return embed(s);
}

void llqi_streams_close(struct llqi_streams *s) {
  if (s->backend != NULL) {
    llqi_memory_free(s->backend, s->cache.keys);
    llqi_memory_free(s->backend, s->cache.values);
  }
  llqi_free(s->hidden);
  llqi_free(s->pages);
  llqi_free(s->segments);
  llqi_free(s->ids);
  *s = (struct llqi_streams){0};
}

/* Samples [sample, sample + n) as a batch. */
static llq_batch make_batch(struct llqi_streams *s, size_t sample, size_t n) {
  llq_batch batch = {.segments = s->segments,
                     .pages = s->pages,
                     .n_segments = (int32_t)n,
                     .page_size = PAGE_SIZE};
  for (size_t i = 0; i < n; i++) {
    const size_t length = length_of(s->set, sample + i);
    s->segments[i] = (llq_segment){.first_row = batch.n_rows,
                                   .n_rows = (int32_t)length,
                                   .first_page = batch.n_pages_listed};
    batch.n_rows += (int32_t)length;
    batch.n_pages_listed += pages_of(length);
  }
  return batch;
}

static int run_batch(struct llqi_streams *s, struct llqi_forward *forward,
                     struct llqi_step *step, size_t sample, size_t n) {
  const size_t first = first_of(s->set, sample);
  llq_batch batch = make_batch(s, sample, n);
  for (int32_t i = 0; i < batch.n_rows; i++)
    s->ids[i] = (int32_t)first + i;
  step->batch = &batch;
  step->ids = s->ids;
  return llqi_forward_run(forward, step);
}

static int run_batches(struct llqi_streams *s, struct llqi_forward *forward,
                       struct llqi_step *step, int advance) {
  for (size_t at = 0, n; at < s->set->n_samples; at += n) {
    n = batch_size(s, at);
    LLQ_TRY(run_batch(s, forward, step, at, n));
    const llq_view *out = llqi_forward_hidden(forward);
    const size_t first = first_of(s->set, at) * row_bytes(s);
    if (advance)
      LLQ_TRY(llqi_memory_download(s->backend, s->hidden + first, out->data,
                                   (size_t)out->n_rows * row_bytes(s)));
  }
  return LLQ_OK;
}

/* One layer as a model of its own: what came out of the layers before is its
   embedding, and its output matrix is a row that nothing is asked of. */
static void make_shell(const struct llqi_streams *s, struct llqi_layer *layer,
                       llq_model *shell) {
  const int64_t hidden = s->model->config.hidden_size;
  *shell = (llq_model){.config = s->model->config,
                       .final_norm = s->model->final_norm,
                       .layers = layer,
                       .source = s->model->source};
  shell->config.n_layers = 1;
  shell->config.n_vocab = (int64_t)s->set->n_ids;
  shell->embedding =
      (struct llqi_tensor){.name = "hidden",
                           .where = s->model->source,
                           .dtype = s->compute,
                           .n_dims = 2,
                           .shape = {shell->config.n_vocab, hidden},
                           .data = s->hidden};
  shell->embedding.n_bytes = s->set->n_ids * row_bytes(s);
  shell->output = (llq_weight){.struct_size = sizeof shell->output,
                               .format = LLQ_WEIGHT_DENSE,
                               .dtype = s->compute,
                               .n_out = 1,
                               .n_in = hidden,
                               .group_size = hidden,
                               .data = s->hidden};
}

int llqi_streams_run(struct llqi_streams *s, const struct llqi_layer *layer,
                     llqi_tap tap, void *user, int advance) {
  struct llqi_layer ours = *layer;
  struct llqi_forward *forward;
  llq_model shell;
  make_shell(s, &ours, &shell);
  const struct llqi_forward_options options = {.compute = s->compute,
                                               .n_rows_max = s->n_rows_max,
                                               .n_positions_max =
                                                   s->n_positions_max,
                                               .n_logit_rows_max = 1,
                                               .is_plain = 1};
  LLQ_TRY(llqi_forward_open(&forward, s->backend, &shell, &options));
  struct llqi_step step = {.caches = &s->cache, .tap = tap, .user = user};
  int status = run_batches(s, forward, &step, advance);
  llqi_forward_close(forward);
  return status;
}
