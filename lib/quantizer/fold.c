/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/fold.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "quantizer/matrix.h"
#include "tensor/dtype.h"

#define SCALE_MIN 1e-5f

/* ---- Which inputs are scaled ---- */

/* An input is scaled by a method that all its linears have. */
static enum llqi_folding folding_of(const struct llqi_layer_job *job,
                                    enum llqi_input input) {
  enum llqi_folding folding =
      job->choices[llqi_input_example(input)].method->folding;
  for (int i = 0; i < job->n_linears; i++)
    if (llqi_input_of(i) == input &&
        (job->choices[i].method->folding != folding ||
         job->choices[i].target.format == LLQ_WEIGHT_DENSE))
      return LLQI_FOLD_NOTHING;
  if (folding == LLQI_FOLD_SMOOTHQUANT && job->settings->strength[input] == 0)
    return LLQI_FOLD_NOTHING;
  return folding;
}

/* ---- Sizes of weights ---- */

/* The largest |w| of each column so far. */
static void take_largest(const float *w, int64_t n_out, int64_t n_in,
                         float *sizes) {
  for (int64_t r = 0; r < n_out; r++, w += n_in)
    for (int64_t i = 0; i < n_in; i++)
      sizes[i] = fmaxf(sizes[i], fabsf(w[i]));
}

/* Adds |w| of each column, as parts of the largest in its group. */
static void add_parts(const float *w, int64_t n_out, int64_t n_in,
                      int64_t width, float *sizes) {
  for (int64_t r = 0; r < n_out; r++, w += n_in)
    for (int64_t g = 0; g < n_in; g += width) {
      float largest = 1e-6f;
      for (int64_t i = g; i < g + width; i++)
        largest = fmaxf(largest, fabsf(w[i]));
      for (int64_t i = g; i < g + width; i++)
        sizes[i] += fabsf(w[i]) / largest;
    }
}

static int size_weights(const struct llqi_layer_job *job, enum llqi_input input,
                        enum llqi_folding folding, float *sizes) {
  int64_t n_rows = 0;
  const int64_t n = job->inputs[input].n;
  memset(sizes, 0, (size_t)n * sizeof *sizes);
  for (int i = 0; i < job->n_linears; i++) {
    const llq_weight *from = &job->from->linears[i];
    const int64_t width = job->choices[i].target.group_size;
    const struct llqi_fold none = {NULL, NULL};
    if (llqi_input_of(i) != input)
      continue;
    float *w = llqi_array((size_t)from->n_out, (size_t)n * sizeof *w);
    if (w == NULL)
      return LLQ_ERROR_MEMORY;
    llqi_matrix_load(from, &none, job->threads, w);
    if (folding == LLQI_FOLD_SMOOTHQUANT)
      take_largest(w, from->n_out, n, sizes);
    else
      add_parts(w, from->n_out, n, width > 0 ? width : n, sizes);
    n_rows += from->n_out;
    llqi_free(w);
  }
  for (int64_t i = 0; i < n && folding == LLQI_FOLD_AWQ; i++)
    sizes[i] /= (float)n_rows;
  return LLQ_OK;
}

/* ---- The input of o ---- */

/* Heads that share keys and values share their scales: their sizes become the
   mean or the largest of them. */
static void tie_heads(const struct llqi_config *config,
                      enum llqi_folding folding, float *sizes) {
  const int64_t width = config->head_size;
  const int64_t n = config->n_heads / config->n_kv_heads;
  for (int64_t kv = 0; kv < config->n_kv_heads; kv++)
    for (int64_t i = 0; i < width; i++) {
      float *first = sizes + kv * n * width + i, sum = 0, largest = 0;
      for (int64_t h = 0; h < n; h++) {
        sum += first[h * width];
        largest = fmaxf(largest, first[h * width]);
      }
      for (int64_t h = 0; h < n; h++)
        first[h * width] = folding == LLQI_FOLD_AWQ ? sum / (float)n : largest;
    }
}

/* The same scales as v's rows have them: once for each head of v. */
static int spread(struct llqi_layer_job *job, const float *scale) {
  const int64_t width = job->config->head_size;
  const int64_t n = job->config->n_heads / job->config->n_kv_heads;
  const int64_t n_rows = job->config->n_kv_heads * width;
  job->spread = llqi_array((size_t)n_rows, sizeof *job->spread);
  if (job->spread == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t r = 0; r < n_rows; r++)
    job->spread[r] = scale[r / width * n * width + r % width];
  return LLQ_OK;
}

/* ---- Norms ---- */

/* Divides a norm's values by the scales, rounded to the norm's type, and makes
   the scales what that really divides by: nothing is lost then. */
static void divide_norm(int dtype, const float *values, size_t n, float *scale,
                        float *folded) {
  for (size_t i = 0; i < n; i++)
    folded[i] = values[i] / scale[i];
  llqi_round_f32(dtype, folded, n);
  for (size_t i = 0; i < n; i++) {
    scale[i] = values[i] / folded[i];
    if (!isnormal(scale[i]) || !isfinite(folded[i])) {
      folded[i] = values[i];
      scale[i] = 1;
    }
  }
}

int llqi_fold_settle(const struct llqi_layer_job *job, enum llqi_input input,
                     float *scale) {
  if (input != LLQI_INPUT_QKV && input != LLQI_INPUT_GATE_UP)
    return LLQ_OK;
  const struct llqi_tensor *norm = input == LLQI_INPUT_QKV
                                       ? &job->from->input_norm
                                       : &job->from->post_attention_norm;
  const size_t n = (size_t)norm->shape[0];
  float *values = llqi_array(2 * n, sizeof *values);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  llqi_to_f32(norm->dtype, norm->data, n, values);
  divide_norm(norm->dtype, values, n, scale, values + n);
  llqi_free(values);
  return LLQ_OK;
}

static int fold_norm(struct llqi_layer_job *job, float *scale,
                     struct llqi_tensor *norm) {
  const size_t n = (size_t)norm->shape[0];
  void *data = llqi_alloc_aligned(n, llqi_dtype_size(norm->dtype));
  float *values = llqi_array(2 * n, sizeof *values), *folded = values + n;
  if (data == NULL || values == NULL) {
    llqi_free(data);
    llqi_free(values);
    return LLQ_ERROR_MEMORY;
  }
  llqi_to_f32(norm->dtype, norm->data, n, values);
  divide_norm(norm->dtype, values, n, scale, folded);
  llqi_from_f32(norm->dtype, folded, n, data);
  llqi_free(values);
  norm->data = data;
  return llqi_model_own(job->owner, data);
}

/* ---- One input ---- */

static void smooth(const float *sizes, const float *w_sizes, double strength,
                   int64_t n, float *scale) {
  for (int64_t i = 0; i < n; i++) {
    const double x = fmax(sizes[i], SCALE_MIN), w = fmax(w_sizes[i], SCALE_MIN);
    scale[i] = (float)fmax(pow(x, strength) / pow(w, 1 - strength), SCALE_MIN);
  }
}

static int find_scale(struct llqi_layer_job *job, enum llqi_input input,
                      enum llqi_folding folding, float *scale) {
  const struct llqi_inputs *inputs = &job->inputs[input];
  const size_t n = (size_t)inputs->n;
  float *sizes = llqi_array(2 * n, sizeof *sizes), *w_sizes = sizes + n;
  if (sizes == NULL)
    return LLQ_ERROR_MEMORY;
  memcpy(sizes, folding == LLQI_FOLD_AWQ ? inputs->mean : inputs->largest,
         n * sizeof *sizes);
  int status = size_weights(job, input, folding, w_sizes);
  if (status >= 0 && input == LLQI_INPUT_O) {
    tie_heads(job->config, folding, sizes);
    tie_heads(job->config, folding, w_sizes);
  }
  if (status >= 0 && folding == LLQI_FOLD_AWQ)
    status = llqi_awq_search(job, input, sizes, w_sizes, scale);
  else if (status >= 0)
    smooth(sizes, w_sizes, job->settings->strength[input], inputs->n, scale);
  llqi_free(sizes);
  return status;
}

static int fold_into_source(struct llqi_layer_job *job, enum llqi_input input) {
  float *scale = job->scales[input];
  if (input == LLQI_INPUT_QKV)
    return fold_norm(job, scale, &job->to->input_norm);
  if (input == LLQI_INPUT_GATE_UP)
    return fold_norm(job, scale, &job->to->post_attention_norm);
  return input == LLQI_INPUT_O ? spread(job, scale) : LLQ_OK;
}

static int fold_input(struct llqi_layer_job *job, enum llqi_input input) {
  const enum llqi_folding folding = folding_of(job, input);
  if (folding == LLQI_FOLD_NOTHING)
    return LLQ_OK;
  const size_t n = (size_t)job->inputs[input].n;
  float *scale = llqi_array(n, sizeof *scale);
  if (scale == NULL)
    return LLQ_ERROR_MEMORY;
  int status = find_scale(job, input, folding, scale);
  if (status < 0) {
    llqi_free(scale);
    return status;
  }
  job->scales[input] = scale;
  LLQ_TRY(fold_into_source(job, input));
  llqi_inputs_fold(&job->inputs[input], scale);
  return LLQ_OK;
}

/* From the last input to the first, since what the last is divided by is folded
   into linears of those before: a search then sees the rows that it will get. */
int llqi_fold_layer(struct llqi_layer_job *job) {
  for (int i = llqi_layer_n_inputs(job) - 1; i >= 0; i--)
    LLQ_TRY(fold_input(job, i));
  return LLQ_OK;
}
