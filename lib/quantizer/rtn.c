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

LLQI_VECTOR
static int all_finite(const float *values, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t magnitude = llqi_f32_bits(values[i]) & 0x7fffffff;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest < 0x7f800000;
}

static struct fault find_fault(const float *values, int64_t row) {
  struct fault fault = {row, 0, NULL};
  while (isfinite(values[fault.column]))
    fault.column++;
  fault.what = isnan(values[fault.column]) ? "NaN" : "infinity";
  return fault;
}

/* Turns a row of weights into codes and stores their scales. */
static void scale_row(const struct job *job, int64_t row, float *values,
                      struct fault *fault) {
  const struct llqi_quantized *to = job->to;
  size_t width = (size_t)to->weight.group_size;
  int64_t n_groups = llqi_weight_n_groups(&to->weight);
  size_t scale_size = llqi_dtype_size(to->weight.dtype);
  for (int64_t g = 0; g < n_groups; g++) {
    float *group = values + (size_t)g * width;
    size_t at = (size_t)(row * n_groups + g);
    struct llqi_grid grid = llqi_observe(&job->rule, group, width);
    if (isinf(grid.scale) && fault->row < 0)
      *fault = (struct fault){row, g * (int64_t)width, "range too wide"};
    llqi_from_f32(to->weight.dtype, &grid.scale, 1,
                  (char *)to->scale + at * scale_size);
    if (to->zero != NULL)
      to->zero[at] = (int8_t)grid.zero;
    llqi_to_codes(&job->rule, grid, group, width);
  }
}

/* Rows [first, end), up to the first bad one. */
static struct fault quantize_rows(const struct job *job, int64_t first,
                                  int64_t end, float *values) {
  struct fault fault = {-1, 0, NULL};
  for (int64_t row = first; row < end && fault.row < 0; row++) {
    job->source->unpack(job->from, row, values);
    if (!all_finite(values, (size_t)job->from->n_in))
      return find_fault(values, row);
    if (job->to->weight.format != LLQ_WEIGHT_DENSE)
      scale_row(job, row, values, &fault);
    job->target->pack(&job->to->weight, values, row, job->to->data);
  }
  return fault;
}

/* Each thread takes a run of rows, so that the first fault is the same for any
   number of threads. */
static struct fault quantize_all(const struct job *job, int n_threads,
                                 float *values) {
  struct fault first = {-1, 0, NULL};
  int64_t n_out = job->from->n_out, n_in = job->from->n_in;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int t = 0; t < n_threads; t++) {
    struct fault fault =
        quantize_rows(job, n_out * t / n_threads, n_out * (t + 1) / n_threads,
                      values + (size_t)t * (size_t)n_in);
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
      llqi_array((size_t)n_threads, (size_t)from->n_in * sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  struct fault fault = quantize_all(&job, n_threads, values);
  llqi_free(values);
  if (fault.row < 0)
    return LLQ_OK;
  return llqi_fail(LLQ_ERROR_FORMAT, "%s at [%lld, %lld]", fault.what,
                   (long long)fault.row, (long long)fault.column);
}
