/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/rtn.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/vector.h"
#include "quantizer/observer.h"
#include "tensor/dtype.h"
#include "tensor/format.h"
#include "tensor/weight.h"

struct job {
  const llq_weight *from;
  const struct llqi_quantized *to;
  const struct llqi_format *source, *target;
  struct llqi_rule rule;
};

/* Where a thread's first bad weight is; row -1: nowhere. */
struct fault {
  int64_t row, column;
  const char *what;
};

static const struct fault no_fault = {-1, 0, NULL};

LLQI_VECTOR
static int all_finite(const float *values, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t magnitude = llqi_f32_bits(values[i]) & 0x7fffffff;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest < 0x7f800000;
}

/* What is wrong with the n values of a row from a column on. */
static struct fault find_fault(const float *values, size_t n, int64_t row,
                               size_t column) {
  for (size_t i = column; i < column + n; i++)
    if (!isfinite(values[i]))
      return (struct fault){row, (int64_t)i,
                            isnan(values[i]) ? "NaN" : "infinity"};
  return (struct fault){row, (int64_t)column, "range too wide"};
}

/* Turns a row of weights into codes and stores their grids. */
static struct fault scale_row(const struct job *job, int64_t row, float *values,
                              const struct llqi_grids *grids) {
  const struct llqi_quantized *to = job->to;
  size_t n = grids->n, first = (size_t)row * n;
  llqi_observe(&job->rule, values, grids);
  for (size_t g = 0; g < n; g++)
    if (isinf(grids->scale[g]))
      return find_fault(values, grids->width, row, g * grids->width);
  size_t scale_size = llqi_dtype_size(to->weight.dtype);
  llqi_from_f32(to->weight.dtype, grids->scale, n,
                (char *)to->scale + first * scale_size);
  for (size_t g = 0; g < n && to->zero != NULL; g++)
    to->zero[first + g] = (int8_t)grids->zero[g];
  llqi_to_codes(&job->rule, grids, values);
  return no_fault;
}

/* A thread's working memory: a row, and its scales and zero points. */
static size_t n_scratch(const struct job *job) {
  return (size_t)(job->from->n_in + 2 * llqi_weight_n_groups(&job->to->weight));
}

/* Rows [first, end), up to the first bad one. */
static struct fault quantize_rows(const struct job *job, int64_t first,
                                  int64_t end, float *values) {
  size_t n_in = (size_t)job->from->n_in;
  size_t n_groups = (size_t)llqi_weight_n_groups(&job->to->weight);
  struct llqi_grids grids = {n_groups, n_in / n_groups, values + n_in,
                             values + n_in + n_groups};
  for (int64_t row = first; row < end; row++) {
    struct fault fault = no_fault;
    job->source->unpack(job->from, row, values);
    if (job->to->weight.format != LLQ_WEIGHT_DENSE)
      fault = scale_row(job, row, values, &grids);
    else if (!all_finite(values, n_in))
      fault = find_fault(values, n_in, row, 0);
    if (fault.row >= 0)
      return fault;
    job->target->pack(&job->to->weight, values, row, job->to->data);
  }
  return no_fault;
}

/* A weight's rows, a run of them for each thread. */
struct rows {
  const struct job *job;
  float *values;        /* [n_runs, n_scratch()] */
  struct fault *faults; /* [n_runs] */
  int64_t n_runs;
};

static void quantize_run(void *user, uint32_t run, int thread) {
  const struct rows *rows = user;
  int64_t n_out = rows->job->from->n_out;
  rows->faults[run] = quantize_rows(rows->job, n_out * run / rows->n_runs,
                                    n_out * (run + 1) / rows->n_runs,
                                    rows->values + run * n_scratch(rows->job));
}

/* The first fault by place is the same for any number of threads. */
static struct fault first_fault(const struct rows *rows) {
  for (int64_t i = 0; i < rows->n_runs; i++)
    if (rows->faults[i].row >= 0)
      return rows->faults[i];
  return no_fault;
}

static int quantize_all(const struct job *job, struct llqi_threads *threads,
                        struct fault *fault) {
  struct rows rows = {.job = job, .n_runs = llqi_threads_count(threads)};
  size_t n = (size_t)rows.n_runs;
  rows.values = llqi_array(n, n_scratch(job) * sizeof *rows.values);
  rows.faults = llqi_array(n, sizeof *rows.faults);
  int status =
      rows.values != NULL && rows.faults != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  if (status == LLQ_OK) {
    llqi_threads_run(threads, 0, (uint32_t)n, quantize_run, &rows);
    *fault = first_fault(&rows);
  }
  llqi_free(rows.values);
  llqi_free(rows.faults);
  return status;
}

int llqi_rtn(const llq_weight *from, struct llqi_threads *threads,
             const struct llqi_quantized *to) {
  const struct llqi_format *target = llqi_format_of(to->weight.format);
  struct job job = {
      from,
      to,
      llqi_format_of(from->format),
      target,
      {from->dtype, target->q_min, target->q_max, to->zero != NULL}};
  struct fault fault = no_fault;
  LLQ_TRY(quantize_all(&job, threads, &fault));
  if (fault.row < 0)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT, "%s at [%lld, %lld]", fault.what,
                   (long long)fault.row, (long long)fault.column);
}
