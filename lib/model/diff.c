/* SPDX-License-Identifier: Apache-2.0 */
/* Two checkpoints, linear by linear. */
#include <llq/model.h>

#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/status.h"
#include "model/model.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"

/* A difference of so many times the root mean square is an outlier: of a normal
   distribution, two in a billion. */
#define OUTLIER 6

/* The same row of both. */
struct rows {
  const llq_weight *a, *b;
  float *x, *y; /* n_in values each */
};

static void read_row(const struct rows *rows, int64_t out) {
  llqi_weight_row(rows->a, out, rows->x);
  llqi_weight_row(rows->b, out, rows->y);
}

static void measure(const struct rows *rows, llq_linear_diff *diff,
                    double *rms) {
  const int64_t n_out = rows->a->n_out, n_in = rows->a->n_in;
  double squares = 0, errors = 0;
  for (int64_t o = 0; o < n_out; o++) {
    read_row(rows, o);
    for (int64_t i = 0; i < n_in; i++) {
      const double x = rows->x[i], error = fabs(x - rows->y[i]);
      squares += x * x;
      errors += error * error;
      if (!(error > diff->max_error))
        continue;
      diff->max_error = error;
      diff->max_out = o;
      diff->max_in = i;
    }
  }
  diff->relative_error = errors == 0 ? 0 : sqrt(errors / squares);
  *rms = sqrt(errors / ((double)n_out * (double)n_in));
}

static uint64_t count_outliers(const struct rows *rows, double limit) {
  uint64_t n = 0;
  for (int64_t o = 0; o < rows->a->n_out; o++) {
    read_row(rows, o);
    for (int64_t i = 0; i < rows->a->n_in; i++)
      n += fabs((double)rows->x[i] - rows->y[i]) > limit;
  }
  return n;
}

static void describe_scales(const llq_weight *w, llq_scale_statistics *out) {
  const size_t n = (size_t)(w->n_out * llqi_weight_n_groups(w));
  double sum = 0;
  if (w->format == LLQ_WEIGHT_DENSE)
    return;
  out->n = n;
  for (size_t i = 0; i < n; i++) {
    const double scale = llqi_load_f32(w->dtype, w->scale, i);
    out->least = i == 0 ? scale : fmin(out->least, scale);
    out->largest = i == 0 ? scale : fmax(out->largest, scale);
    sum += scale;
  }
  out->mean = sum / (double)n;
}

static int compare(const llq_weight *a, const llq_weight *b,
                   llq_linear_diff *diff) {
  double rms;
  float *values = llqi_array(2 * (size_t)a->n_in, sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  const struct rows rows = {a, b, values, values + a->n_in};
  measure(&rows, diff, &rms);
  diff->n_outliers = rms > 0 ? count_outliers(&rows, OUTLIER * rms) : 0;
  llqi_free(values);
  describe_scales(a, &diff->scales_a);
  describe_scales(b, &diff->scales_b);
  snprintf(diff->scheme_a, sizeof diff->scheme_a, "%s", llqi_weight_scheme(a));
  snprintf(diff->scheme_b, sizeof diff->scheme_b, "%s", llqi_weight_scheme(b));
  return LLQ_OK;
}

int llq_model_diff(const llq_model *a, const llq_model *b, int32_t index,
                   llq_linear_diff *diff) {
  llqi_error_clear();
  LLQ_REQUIRE(a != NULL && b != NULL && diff != NULL,
              "llq_model_diff: a, b and diff must not be NULL");
  const int64_t last = a->config.n_layers * LLQI_N_LINEARS;
  LLQ_REQUIRE(index >= 0 && index <= last,
              "llq_model_diff: linear %d, expected 0 to %lld", (int)index,
              (long long)last);
  llq_linear_diff ours = {.struct_size = sizeof ours};
  llqi_linear_name(a->config.n_layers, index, ours.name, sizeof ours.name);
  LLQ_REQUIRE(a->config.n_layers == b->config.n_layers,
              "%s has %lld layers, %s %lld", a->source,
              (long long)a->config.n_layers, b->source,
              (long long)b->config.n_layers);
  const llq_weight *x = llqi_linear_at(a, index);
  const llq_weight *y = llqi_linear_at(b, index);
  LLQ_REQUIRE(x->n_out == y->n_out && x->n_in == y->n_in,
              "%s: %s: shape %lldx%lld, in %s %lldx%lld", a->source, ours.name,
              (long long)x->n_out, (long long)x->n_in, b->source,
              (long long)y->n_out, (long long)y->n_in);
  LLQ_TRY(compare(x, y, &ours));
  LLQ_TRY(llqi_struct_return(diff, &ours, sizeof ours, "llq_linear_diff"));
  return index < last ? LLQ_MORE : LLQ_OK;
}
