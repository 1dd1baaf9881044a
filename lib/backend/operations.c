/* SPDX-License-Identifier: Apache-2.0 */
/* Operations with their arguments checked, so that no backend need do it. */
#include <math.h>

#include "backend/backend.h"
#include "backend/checks.h"
#include "base/status.h"
#include "tensor/dtype.h"

int llqi_check_view(const llq_view *view, const char *what) {
  LLQ_REQUIRE(view != NULL, "%s: NULL", what);
  LLQ_REQUIRE(view->n_rows >= 0 && view->n_cols > 0, "%s: shape [%lld, %lld]",
              what, (long long)view->n_rows, (long long)view->n_cols);
  LLQ_REQUIRE(view->data != NULL || view->n_rows == 0, "%s: no data", what);
  return LLQ_OK;
}

int llqi_check_values(const llq_view *view, const char *what) {
  LLQ_TRY(llqi_check_view(view, what));
  LLQ_REQUIRE(view->dtype == LLQ_F32 || view->dtype == LLQ_BF16,
              "%s: type %s, expected F32 or BF16", what,
              llqi_dtype_name(view->dtype));
  return LLQ_OK;
}

int llqi_check_shape(const llq_view *view, int64_t n_rows, int64_t n_cols,
                     const char *what) {
  LLQ_REQUIRE(view->n_rows == n_rows && view->n_cols == n_cols,
              "%s: shape [%lld, %lld], expected [%lld, %lld]", what,
              (long long)view->n_rows, (long long)view->n_cols,
              (long long)n_rows, (long long)n_cols);
  return LLQ_OK;
}

int llqi_check_same(const llq_view *view, const llq_view *x, const char *what) {
  LLQ_TRY(llqi_check_values(view, what));
  LLQ_TRY(llqi_check_shape(view, x->n_rows, x->n_cols, what));
  LLQ_REQUIRE(view->dtype == x->dtype, "%s: type %s, expected %s", what,
              llqi_dtype_name(view->dtype), llqi_dtype_name(x->dtype));
  return LLQ_OK;
}

int llqi_check_numbers(const int32_t *numbers, int64_t n, int64_t end,
                       const char *what) {
  LLQ_REQUIRE(numbers != NULL || n == 0, "%s: NULL", what);
  for (int64_t i = 0; i < n; i++)
    LLQ_REQUIRE(numbers[i] >= 0 && numbers[i] < end,
                "%s: number %lld is %d, expected 0 to %lld", what, (long long)i,
                numbers[i], (long long)end - 1);
  return LLQ_OK;
}

static int check_segment(const llq_batch *batch, const llq_segment *segment) {
  LLQ_REQUIRE(segment->first_row >= 0 && segment->n_rows >= 0 &&
                  segment->n_rows <= batch->n_rows - segment->first_row,
              "segment: rows %d to %d of %d", segment->first_row,
              segment->first_row + segment->n_rows, batch->n_rows);
  LLQ_REQUIRE(segment->first_position >= 0 &&
                  segment->first_position <= INT32_MAX - segment->n_rows,
              "segment: first position %d", segment->first_position);
  int64_t end = (int64_t)segment->first_position + segment->n_rows;
  int64_t n_pages = (end + batch->page_size - 1) / batch->page_size;
  LLQ_REQUIRE(segment->first_page >= 0 &&
                  n_pages <= batch->n_pages_listed - segment->first_page,
              "segment: pages %d to %lld of %d listed", segment->first_page,
              (long long)segment->first_page + n_pages, batch->n_pages_listed);
  return LLQ_OK;
}

static int is_scale(float scale) {
  return isfinite(scale) && scale > 0;
}

static int check_cache_type(const llq_kv *cache) {
  const int has_codes = cache->dtype == LLQ_F8_E4M3 || cache->dtype == LLQ_I8;
  LLQ_REQUIRE(cache->dtype == LLQ_F32 || cache->dtype == LLQ_BF16 || has_codes,
              "cache: type %s, expected F32, BF16, F8_E4M3 or I8",
              llqi_dtype_name(cache->dtype));
  LLQ_REQUIRE(!has_codes ||
                  (is_scale(cache->key_scale) && is_scale(cache->value_scale)),
              "cache: scales %g and %g", (double)cache->key_scale,
              (double)cache->value_scale);
  return LLQ_OK;
}

int llqi_check_cache(const llq_kv *cache) {
  LLQ_REQUIRE(cache != NULL && cache->keys != NULL && cache->values != NULL,
              "cache: no memory");
  LLQ_TRY(check_cache_type(cache));
  LLQ_REQUIRE(cache->n_pages > 0 && cache->page_size > 0 &&
                  cache->n_kv_heads > 0 && cache->head_size > 0 &&
                  cache->head_size % 2 == 0,
              "cache: %d pages of %d positions, %d heads of %d", cache->n_pages,
              cache->page_size, cache->n_kv_heads, cache->head_size);
  return LLQ_OK;
}

int llqi_check_batch(const llq_batch *batch, const llq_kv *cache) {
  LLQ_TRY(llqi_check_cache(cache));
  LLQ_REQUIRE(batch != NULL && batch->n_segments >= 0 &&
                  (batch->segments != NULL || batch->n_segments == 0),
              "batch: no segments");
  LLQ_REQUIRE(batch->page_size == cache->page_size,
              "batch: pages of %d positions, the cache's have %d",
              batch->page_size, cache->page_size);
  LLQ_TRY(llqi_check_numbers(batch->pages, batch->n_pages_listed,
                             cache->n_pages, "pages"));
  for (int s = 0; s < batch->n_segments; s++)
    LLQ_TRY(check_segment(batch, &batch->segments[s]));
  return LLQ_OK;
}

int llqi_check_positions(const llq_view *cos_sin, const llq_batch *batch,
                         const llq_kv *cache) {
  LLQ_TRY(llqi_check_view(cos_sin, "cos_sin"));
  LLQ_REQUIRE(cos_sin->dtype == LLQ_F32 && cos_sin->n_cols == cache->head_size,
              "cos_sin of type %s, %lld columns",
              llqi_dtype_name(cos_sin->dtype), (long long)cos_sin->n_cols);
  for (int s = 0; s < batch->n_segments; s++) {
    const llq_segment *segment = &batch->segments[s];
    LLQ_REQUIRE((int64_t)segment->first_position + segment->n_rows <=
                    cos_sin->n_rows,
                "rope: position %d of %lld",
                segment->first_position + segment->n_rows - 1,
                (long long)cos_sin->n_rows);
  }
  return LLQ_OK;
}

/* Rows of heads that belong to this cache. */
static int check_heads(const llq_view *x, const llq_batch *batch,
                       const llq_kv *cache, const char *what) {
  LLQ_TRY(llqi_check_values(x, what));
  int64_t n_kv_cols = (int64_t)cache->n_kv_heads * cache->head_size;
  LLQ_REQUIRE(x->n_rows == batch->n_rows && x->n_cols % n_kv_cols == 0,
              "%s: shape [%lld, %lld] for %d rows of %d KV heads of %d", what,
              (long long)x->n_rows, (long long)x->n_cols, batch->n_rows,
              cache->n_kv_heads, cache->head_size);
  return LLQ_OK;
}

int llqi_op_embed(llq_backend *backend, const llq_view *table,
                  const int32_t *ids, llq_view *out) {
  LLQ_TRY(llqi_check_view(table, "embed: table"));
  LLQ_REQUIRE(table->dtype == LLQ_F32 || table->dtype == LLQ_F16 ||
                  table->dtype == LLQ_BF16,
              "embed: table of type %s", llqi_dtype_name(table->dtype));
  LLQ_TRY(llqi_check_values(out, "embed: out"));
  LLQ_TRY(llqi_check_shape(out, out->n_rows, table->n_cols, "embed: out"));
  LLQ_TRY(llqi_check_numbers(ids, out->n_rows, table->n_rows, "embed: ids"));
  return backend->table->ops->embed(backend->self, table, ids, out);
}

int llqi_op_rms_norm(llq_backend *backend, const llq_view *x,
                     const llq_view *weight, float eps, llq_view *out) {
  LLQ_TRY(llqi_check_values(x, "rms_norm: x"));
  LLQ_TRY(llqi_check_values(weight, "rms_norm: weight"));
  LLQ_TRY(llqi_check_shape(weight, 1, x->n_cols, "rms_norm: weight"));
  LLQ_TRY(llqi_check_same(out, x, "rms_norm: out"));
  LLQ_REQUIRE(weight->dtype == x->dtype, "rms_norm: weight of type %s",
              llqi_dtype_name(weight->dtype));
  LLQ_REQUIRE(eps >= 0, "rms_norm: eps %g", (double)eps);
  return backend->table->ops->rms_norm(backend->self, x, weight, eps, out);
}

int llqi_op_linear(llq_backend *backend,
                   const struct llqi_linear_handle *linear, const llq_view *x,
                   llq_view *out) {
  LLQ_REQUIRE(linear != NULL && linear->linear != NULL, "linear: no weight");
  LLQ_TRY(llqi_check_values(x, "linear: x"));
  LLQ_TRY(llqi_check_values(out, "linear: out"));
  LLQ_TRY(llqi_check_shape(x, x->n_rows, linear->n_in, "linear: x"));
  LLQ_TRY(llqi_check_shape(out, x->n_rows, linear->n_out, "linear: out"));
  LLQ_REQUIRE(out->dtype == LLQ_F32 || x->dtype == LLQ_BF16,
              "linear: out of type BF16 from x of type F32");
  return backend->table->ops->linear(backend->self, linear->linear, x, out);
}

int llqi_op_rope_append(llq_backend *backend, const llq_batch *batch,
                        const llq_view *cos_sin, llq_view *q, llq_view *k,
                        const llq_view *v, llq_kv *cache) {
  LLQ_TRY(llqi_check_batch(batch, cache));
  LLQ_TRY(check_heads(q, batch, cache, "rope_append: q"));
  LLQ_TRY(check_heads(k, batch, cache, "rope_append: k"));
  LLQ_TRY(llqi_check_shape(k, k->n_rows,
                           (int64_t)cache->n_kv_heads * cache->head_size,
                           "rope_append: k"));
  LLQ_TRY(llqi_check_same(v, k, "rope_append: v"));
  LLQ_TRY(llqi_check_positions(cos_sin, batch, cache));
  return backend->table->ops->rope_append(backend->self, batch, cos_sin, q, k,
                                          v, cache);
}

int llqi_op_attention(llq_backend *backend, const llq_batch *batch,
                      const llq_view *q, const llq_kv *cache, float scale,
                      llq_view *out) {
  LLQ_TRY(llqi_check_batch(batch, cache));
  LLQ_TRY(check_heads(q, batch, cache, "attention: q"));
  LLQ_TRY(llqi_check_same(out, q, "attention: out"));
  return backend->table->ops->attention(backend->self, batch, q, cache, scale,
                                        out);
}

int llqi_op_swiglu(llq_backend *backend, const llq_view *gate,
                   const llq_view *up, llq_view *out) {
  LLQ_TRY(llqi_check_values(gate, "swiglu: gate"));
  LLQ_TRY(llqi_check_same(up, gate, "swiglu: up"));
  LLQ_TRY(llqi_check_same(out, gate, "swiglu: out"));
  return backend->table->ops->swiglu(backend->self, gate, up, out);
}

int llqi_op_add(llq_backend *backend, llq_view *x, const llq_view *y) {
  LLQ_TRY(llqi_check_values(x, "add: x"));
  LLQ_TRY(llqi_check_same(y, x, "add: y"));
  return backend->table->ops->add(backend->self, x, y);
}

int llqi_op_gather(llq_backend *backend, const llq_view *x, const int32_t *rows,
                   llq_view *out) {
  LLQ_TRY(llqi_check_values(x, "gather: x"));
  LLQ_TRY(llqi_check_values(out, "gather: out"));
  LLQ_TRY(llqi_check_shape(out, out->n_rows, x->n_cols, "gather: out"));
  LLQ_REQUIRE(out->dtype == x->dtype, "gather: out of type %s",
              llqi_dtype_name(out->dtype));
  LLQ_TRY(llqi_check_numbers(rows, out->n_rows, x->n_rows, "gather: rows"));
  return backend->table->ops->gather(backend->self, x, rows, out);
}

int llqi_op_page_copy(llq_backend *backend, llq_kv *cache, int from, int to) {
  LLQ_TRY(llqi_check_cache(cache));
  const int32_t pages[2] = {from, to};
  LLQ_TRY(llqi_check_numbers(pages, 2, cache->n_pages, "page_copy"));
  return backend->table->ops->page_copy(backend->self, cache, from, to);
}
