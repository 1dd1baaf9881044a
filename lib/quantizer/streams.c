/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/streams.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "tensor/dtype.h"

/* Rows of a batch, if samples are shorter than that, on the host and on
   others; and positions of a page of its cache. */
#define BATCH_ROWS_HOST 1024
#define BATCH_ROWS 8192
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
  const size_t rows =
      llqi_backend_is_host(s->backend) ? BATCH_ROWS_HOST : BATCH_ROWS;
  size_t longest = 0;
  for (size_t i = 0; i < s->set->n_samples; i++)
    if (length_of(s->set, i) > longest)
      longest = length_of(s->set, i);
  s->n_positions_max = (int)longest;
  s->n_rows_max = (int)(longest > rows ? longest : rows);
}

static size_t row_bytes(const struct llqi_streams *s) {
  return (size_t)s->model->config.hidden_size * llqi_dtype_size(s->compute);
}

static char *rows_at(const struct llqi_streams *s, size_t row) {
  return (char *)s->hidden.data + row * row_bytes(s);
}

static int embed_on_host(struct llqi_streams *s) {
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
    llqi_from_f32(s->compute, values, n, rows_at(s, i));
  }
  llqi_free(values);
  return LLQ_OK;
}

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

/* With the table on the backend for as long as it takes. */
static int embed_there(struct llqi_streams *s) {
  const struct llqi_tensor *tensor = &s->model->embedding;
  const size_t n_ids = s->set->n_ids, step = (size_t)s->n_rows_max;
  llq_view table = {NULL, s->model->config.n_vocab, s->hidden.n_cols,
                    tensor->dtype};
  LLQ_TRY(llqi_memory_alloc(s->backend, tensor->n_bytes, &table.data));
  int status =
      llqi_memory_upload(s->backend, table.data, tensor->data, tensor->n_bytes);
  for (size_t at = 0; at < n_ids && status >= 0; at += step) {
    llq_view rows = {rows_at(s, at), (int64_t)smaller(step, n_ids - at),
                     s->hidden.n_cols, s->compute};
    status = llqi_op_embed(s->backend, &table, s->set->ids + at, &rows);
  }
  llqi_memory_free(s->backend, table.data);
  return status;
}

static int allocate(struct llqi_streams *s, int n_pages, size_t n_segments) {
  s->hidden = (llq_view){NULL, (int64_t)s->set->n_ids,
                         s->model->config.hidden_size, s->compute};
  s->pages = llqi_array((size_t)n_pages, sizeof *s->pages);
  s->segments = llqi_array(n_segments, sizeof *s->segments);
  s->ids = llqi_array((size_t)s->n_rows_max, sizeof *s->ids);
  if (s->pages == NULL || s->segments == NULL || s->ids == NULL)
    return LLQ_ERROR_MEMORY;
  for (int i = 0; i < n_pages; i++)
    s->pages[i] = i;
  return llqi_memory_alloc(s->backend, s->set->n_ids * row_bytes(s),
                           &s->hidden.data);
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
  return llqi_backend_is_host(backend) ? embed_on_host(s) : embed_there(s);
}

void llqi_streams_close(struct llqi_streams *s) {
  if (s->backend != NULL) {
    llqi_memory_free(s->backend, s->cache.keys);
    llqi_memory_free(s->backend, s->cache.values);
    llqi_memory_free(s->backend, s->hidden.data);
  }
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
  s->n_segments = batch.n_segments;
  return batch;
}

/* A sample's pages follow each other in the cache. */
llq_view llqi_streams_cached(const struct llqi_streams *s, int i,
                             int is_value) {
  const llq_segment *segment = &s->segments[i];
  const int64_t n_cols = (int64_t)s->cache.n_kv_heads * s->cache.head_size;
  const size_t slot = (size_t)segment->first_page * PAGE_SIZE;
  char *rows = is_value ? s->cache.values : s->cache.keys;
  return (llq_view){rows + slot * (size_t)n_cols * llqi_dtype_size(s->compute),
                    segment->n_rows, n_cols, s->compute};
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

/* What came out of a batch goes where it came from. */
static int keep(struct llqi_streams *s, size_t first, const llq_view *out) {
  llq_view rows = *out;
  rows.data = rows_at(s, first);
  if (llqi_backend_is_host(s->backend))
    return llqi_memory_download(s->backend, rows.data, out->data,
                                (size_t)out->n_rows * row_bytes(s));
  for (int32_t i = 0; i < (int32_t)out->n_rows; i++)
    s->ids[i] = i;
  return llqi_op_gather(s->backend, out, s->ids, &rows);
}

static int run_batches(struct llqi_streams *s, struct llqi_forward *forward,
                       struct llqi_step *step, int advance) {
  for (size_t at = 0, n; at < s->set->n_samples; at += n) {
    n = batch_size(s, at);
    LLQ_TRY(run_batch(s, forward, step, at, n));
    if (advance)
      LLQ_TRY(keep(s, first_of(s->set, at), llqi_forward_hidden(forward)));
  }
  return LLQ_OK;
}

/* One layer as a model of its own: what came out of the layers before is its
   embedding, and its output matrix is a row that nothing is asked of. */
static void make_shell(const struct llqi_streams *s, struct llqi_layer *layer,
                       llq_model *shell) {
  const struct llqi_tensor *norm = &s->model->final_norm;
  *shell = (llq_model){.config = s->model->config,
                       .final_norm = *norm,
                       .layers = layer,
                       .source = s->model->source};
  shell->config.n_layers = 1;
  shell->config.n_vocab = s->hidden.n_rows;
  shell->output = (llq_weight){.struct_size = sizeof shell->output,
                               .format = LLQ_WEIGHT_DENSE,
                               .dtype = norm->dtype,
                               .n_out = 1,
                               .n_in = s->hidden.n_cols,
                               .group_size = s->hidden.n_cols,
                               .data = norm->data};
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
                                               .has_tap = tap != NULL,
                                               .is_fast = 1,
                                               .embedding = &s->hidden};
  LLQ_TRY(llqi_forward_open(&forward, s->backend, &shell, &options));
  struct llqi_step step = {.caches = &s->cache,
                           .tap = tap,
                           .user = user,
                           .is_for_tap = tap != NULL && !advance};
  int status = run_batches(s, forward, &step, advance);
  llqi_forward_close(forward);
  return status;
}

/* With the norm's weight in the first row of `memory`, and room for n_rows_max
   rows behind. */
static int norm_rows(struct llqi_streams *s, const struct llqi_tensor *norm,
                     char *memory, llqi_tap tap, void *user) {
  const size_t n_rows = (size_t)s->hidden.n_rows, step = (size_t)s->n_rows_max;
  const llq_view weight = {memory, 1, s->hidden.n_cols, s->compute};
  LLQ_TRY(llqi_norm_upload(s->backend, norm, &weight));
  for (size_t at = 0; at < n_rows; at += step) {
    const int64_t n = (int64_t)smaller(step, n_rows - at);
    const llq_view x = {rows_at(s, at), n, s->hidden.n_cols, s->compute};
    llq_view out = {memory + row_bytes(s), n, s->hidden.n_cols, s->compute};
    LLQ_TRY(llqi_op_rms_norm(s->backend, &x, &weight,
                             (float)s->model->config.norm_eps, &out));
    LLQ_TRY(tap(user, 0, LLQI_Q, &out));
  }
  return LLQ_OK;
}

int llqi_streams_norm(struct llqi_streams *s, const struct llqi_tensor *norm,
                      llqi_tap tap, void *user) {
  void *memory;
  LLQ_TRY(llqi_memory_alloc(
      s->backend, ((size_t)s->n_rows_max + 1) * row_bytes(s), &memory));
  int status = norm_rows(s, norm, memory, tap, user);
  llqi_memory_free(s->backend, memory);
  return status;
}
