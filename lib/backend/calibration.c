/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of calibration with their arguments checked. */
#include <stddef.h>

#include "backend/backend.h"
#include "backend/checks.h"
#include "base/status.h"

static const llq_backend_calibration *table_of(const llq_backend *backend) {
  return backend->table->calibration;
}

int llqi_has_calibration(const llq_backend *backend) {
  return table_of(backend) != NULL;
}

/* Has the table an entry that an older plugin's may be too short for? */
#define HAS(table, entry)                                                      \
  ((table)->struct_size >=                                                     \
       offsetof(llq_backend_calibration, entry) + sizeof(table)->entry &&      \
   (table)->entry != NULL)

int llqi_calibration_start(llq_backend *backend) {
  const llq_backend_calibration *table = table_of(backend);
  return HAS(table, start) ? table->start(backend->self) : LLQ_OK;
}

static int check_matrix(const llq_view *view, int64_t n_rows, int64_t n_cols,
                        const char *what) {
  LLQ_REQUIRE(view != NULL && view->data != NULL, "%s: no memory", what);
  LLQ_REQUIRE(view->dtype == LLQ_F32, "%s: not F32", what);
  LLQ_REQUIRE(view->n_rows == n_rows && view->n_cols == n_cols,
              "%s: shape [%lld, %lld], expected [%lld, %lld]", what,
              (long long)view->n_rows, (long long)view->n_cols,
              (long long)n_rows, (long long)n_cols);
  return LLQ_OK;
}

static int check_inputs(const llq_view *x) {
  LLQ_REQUIRE(x != NULL && x->data != NULL && x->n_rows > 0 && x->n_cols > 0 &&
                  (x->dtype == LLQ_F32 || x->dtype == LLQ_BF16),
              "x: expected rows of F32 or BF16");
  return LLQ_OK;
}

int llqi_op_gram(llq_backend *backend, const llq_view *x, llq_view *h) {
  LLQ_TRY(check_inputs(x));
  LLQ_TRY(check_matrix(h, x->n_cols, x->n_cols, "h"));
  return table_of(backend)->gram(backend->self, x, h);
}

int llqi_op_magnitudes(llq_backend *backend, const llq_view *x, llq_view *out) {
  LLQ_TRY(check_inputs(x));
  LLQ_TRY(check_matrix(out, 2, x->n_cols, "magnitudes"));
  return table_of(backend)->magnitudes(backend->self, x, out);
}

int llqi_op_factor(llq_backend *backend, llq_view *h, int *definite) {
  LLQ_TRY(check_matrix(h, h->n_rows, h->n_rows, "h"));
  return table_of(backend)->factor(backend->self, h, definite);
}

static int check_groups(const llq_encoding *encoding) {
  for (int64_t i = 0; i < encoding->n; i++)
    LLQ_REQUIRE(encoding->groups[i] >= 0 &&
                    encoding->groups[i] < encoding->scale->n_cols,
                "groups[%lld] is %d", (long long)i, encoding->groups[i]);
  return LLQ_OK;
}

int llqi_op_encode(llq_backend *backend, const llq_encoding *encoding,
                   const llq_view *factor, llq_view *w, llq_view *errors) {
  LLQ_TRY(check_matrix(w, w->n_rows, w->n_cols, "w"));
  LLQ_TRY(check_matrix(factor, w->n_cols, w->n_cols, "factor"));
  LLQ_TRY(check_matrix(errors, w->n_rows, encoding->n, "errors"));
  LLQ_TRY(check_matrix(encoding->scale, w->n_rows, encoding->scale->n_cols,
                       "scale"));
  LLQ_TRY(
      check_matrix(encoding->zero, w->n_rows, encoding->scale->n_cols, "zero"));
  LLQ_REQUIRE(encoding->first >= 0 && encoding->n > 0 &&
                  encoding->first + encoding->n <= w->n_cols,
              "columns %lld to %lld of %lld", (long long)encoding->first,
              (long long)(encoding->first + encoding->n), (long long)w->n_cols);
  LLQ_TRY(check_groups(encoding));
  return table_of(backend)->encode(backend->self, encoding, factor, w, errors);
}

int llqi_op_update(llq_backend *backend, int64_t first, const llq_view *errors,
                   const llq_view *factor, llq_view *w) {
  LLQ_TRY(check_matrix(w, w->n_rows, w->n_cols, "w"));
  LLQ_TRY(check_matrix(factor, w->n_cols, w->n_cols, "factor"));
  LLQ_TRY(check_matrix(errors, w->n_rows, errors->n_cols, "errors"));
  LLQ_REQUIRE(first >= 0 && first + errors->n_cols <= w->n_cols,
              "block at %lld of %lld columns", (long long)first,
              (long long)w->n_cols);
  return table_of(backend)->update(backend->self, first, errors, factor, w);
}

int llqi_has_arrange(const llq_backend *backend) {
  const llq_backend_calibration *table = table_of(backend);
  return table != NULL && HAS(table, arrange);
}

int llqi_op_arrange(llq_backend *backend, const llq_view *h,
                    const int32_t *columns, float by, const float *diagonal,
                    llq_view *out) {
  LLQ_TRY(check_matrix(h, h->n_rows, h->n_rows, "h"));
  LLQ_TRY(check_matrix(out, h->n_rows, h->n_rows, "out"));
  LLQ_TRY(llqi_check_numbers(columns, h->n_rows, h->n_rows, "columns"));
  return table_of(backend)->arrange(backend->self, h, columns, by, diagonal,
                                    out);
}
