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

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_max_threads() 1
#endif

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

/* Each thread takes a run of rows, so that the first fault is the same for any
   number of threads. */
static struct fault quantize_all(const struct job *job, int n_threads,
                                 float *values) {
  struct fault first = no_fault;
  int64_t n_out = job->from->n_out;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int t = 0; t < n_threads; t++) {
    struct fault fault =
        quantize_rows(job, n_out * t / n_threads, n_out * (t + 1) / n_threads,
                      values + (size_t)t * n_scratch(job));
#pragma omp critical(llqi_rtn_fault)
    if (fault.row >= 0 && (first.row < 0 || fault.row < first.row))
      first = fault;
  }
  return first;
}

int llqi_rtn(const llq_weight *from, const struct llqi_quantized *to) {
  const struct llqi_format *target = llqi_format_of(to->weight.format);
  struct job job = {
      from,
      to,
      llqi_format_of(from->format),
      target,
      {from->dtype, target->q_min, target->q_max, to->zero != NULL}};
  int n_threads = omp_get_max_threads();
  if (n_threads > from->n_out)
    n_threads = (int)from->n_out;
  float *values =
      llqi_array((size_t)n_threads, n_scratch(&job) * sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  struct fault fault = quantize_all(&job, n_threads, values);
  llqi_free(values);
  if (fault.row < 0)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT, "%s at [%lld, %lld]", fault.what,
                   (long long)fault.row, (long long)fault.column);
}
