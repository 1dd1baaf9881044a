/* SPDX-License-Identifier: Apache-2.0 */
#include "quantizer/inputs.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/vector.h"
#include "tensor/dtype.h"

enum llqi_input llqi_input_of(enum llqi_linear linear) {
  switch (linear) {
  case LLQI_O:
    return LLQI_INPUT_O;
  case LLQI_GATE:
  case LLQI_UP:
    return LLQI_INPUT_GATE_UP;
  case LLQI_DOWN:
    return LLQI_INPUT_DOWN;
  default:
    return LLQI_INPUT_QKV;
  }
}

enum llqi_linear llqi_input_example(enum llqi_input input) {
  static const enum llqi_linear examples[LLQI_N_INPUTS] = {
      LLQI_Q, LLQI_O, LLQI_GATE, LLQI_DOWN};
  return examples[input];
}

#define ZEROS_BYTES ((size_t)64 << 20)

/* Zeros on a backend that is not the host, in pieces. */
static int upload_zeros(llq_backend *backend, char *to, size_t n_bytes) {
  const size_t piece = n_bytes < ZEROS_BYTES ? n_bytes : ZEROS_BYTES;
  void *zeros = llqi_calloc(piece, 1);
  int status = zeros != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
  for (size_t at = 0; at < n_bytes && status >= 0; at += piece)
    status = llqi_memory_upload(backend, to + at, zeros,
                                n_bytes - at < piece ? n_bytes - at : piece);
  llqi_free(zeros);
  return status;
}

/* A matrix of zeros on a backend. */
static int open_zeros(llq_backend *backend, int64_t n_rows, int64_t n_cols,
                      llq_view *out) {
  const size_t n_bytes = (size_t)n_rows * (size_t)n_cols * sizeof(float);
  *out = (llq_view){NULL, n_rows, n_cols, LLQ_F32};
  LLQ_TRY(llqi_memory_alloc(backend, n_bytes, &out->data));
  if (llqi_backend_is_host(backend)) {
    memset(out->data, 0, n_bytes);
    return LLQ_OK;
  }
  return upload_zeros(backend, out->data, n_bytes);
}

static int64_t rows_of_sample(const struct llqi_input_sample *sample) {
  return sample->n_total < LLQI_INPUT_ROWS ? sample->n_total : LLQI_INPUT_ROWS;
}

static int open_sample(struct llqi_input_sample *sample, int64_t n,
                       int64_t first, int64_t n_total) {
  sample->first = first;
  sample->n_total = n_total;
  sample->rows = llqi_array((size_t)rows_of_sample(sample),
                            (size_t)n * sizeof *sample->rows);
  return sample->rows != NULL ? LLQ_OK : LLQ_ERROR_MEMORY;
}

int llqi_inputs_open(struct llqi_inputs *inputs, llq_backend *backend,
                     int64_t n, int64_t n_fitted, int64_t n_held_out,
                     enum llqi_gram gram) {
  *inputs = (struct llqi_inputs){.n = n,
                                 .n_fitted = n_fitted,
                                 .backend = backend,
                                 .gram_stays = gram == LLQI_GRAM_STAYS &&
                                               !llqi_backend_is_host(backend)};
  LLQ_TRY(open_sample(&inputs->fitted, n, 0, n_fitted));
  LLQ_TRY(open_sample(&inputs->held_out, n, n_fitted, n_held_out));
  inputs->mean = llqi_array(2 * (size_t)n, sizeof *inputs->mean);
  if (inputs->mean == NULL)
    return LLQ_ERROR_MEMORY;
  inputs->largest = inputs->mean + n;
  if (gram != LLQI_GRAM_NONE)
    LLQ_TRY(open_zeros(backend, n, n, &inputs->gram));
  return open_zeros(backend, 2, n, &inputs->sums);
}

void llqi_inputs_close(struct llqi_inputs *inputs) {
  if (inputs->backend != NULL) {
    if (inputs->h != inputs->gram.data)
      llqi_free(inputs->h);
    llqi_memory_free(inputs->backend, inputs->gram.data);
    llqi_memory_free(inputs->backend, inputs->sums.data);
    llqi_memory_free(inputs->backend, inputs->fitted.device.data);
    llqi_memory_free(inputs->backend, inputs->held_out.device.data);
  }
  llqi_free(inputs->mean);
  llqi_free(inputs->fitted.rows);
  llqi_free(inputs->held_out.rows);
  llqi_free(inputs->staging);
  llqi_free(inputs->blocks);
  *inputs = (struct llqi_inputs){0};
}

/* Which of all rows is the sample's row i. */
static int64_t row_of_sample(const struct llqi_input_sample *sample,
                             int64_t i) {
  const int64_t n = sample->n_total;
  return sample->first + (n < LLQI_INPUT_ROWS ? i : n * i / LLQI_INPUT_ROWS);
}

/* Finds the next row of the sample among those of x; 0 if it is not there. */
static int find_row(const struct llqi_inputs *inputs,
                    const struct llqi_input_sample *sample, const llq_view *x,
                    int64_t *row) {
  *row = row_of_sample(sample, sample->n_rows) - inputs->n_seen;
  return sample->n_rows < rows_of_sample(sample) && *row < x->n_rows;
}

/* Keeps those of the rows on the host that the sample has. */
static void sample_rows(const struct llqi_inputs *inputs,
                        struct llqi_input_sample *sample, const llq_view *x) {
  const size_t n = (size_t)inputs->n;
  for (int64_t row; find_row(inputs, sample, x, &row); sample->n_rows++)
    llqi_to_f32(x->dtype,
                (const char *)x->data +
                    (size_t)row * n * llqi_dtype_size(x->dtype),
                n, sample->rows + sample->n_rows * inputs->n);
}

/* The same where the rows are, until llqi_inputs_finish(). */
static int sample_there(const struct llqi_inputs *inputs,
                        struct llqi_input_sample *sample, const llq_view *x) {
  int32_t rows[LLQI_INPUT_ROWS];
  const size_t row_bytes = (size_t)inputs->n * llqi_dtype_size(x->dtype);
  const int64_t before = sample->n_rows;
  for (int64_t row; find_row(inputs, sample, x, &row); sample->n_rows++)
    rows[sample->n_rows - before] = (int32_t)row;
  if (sample->n_rows == before)
    return LLQ_OK;
  if (sample->device.data == NULL) {
    sample->device = (llq_view){NULL, LLQI_INPUT_ROWS, inputs->n, x->dtype};
    LLQ_TRY(llqi_memory_alloc(inputs->backend, LLQI_INPUT_ROWS * row_bytes,
                              &sample->device.data));
  }
  llq_view out = sample->device;
  out.data = (char *)out.data + (size_t)before * row_bytes;
  out.n_rows = sample->n_rows - before;
  return llqi_op_gather(inputs->backend, x, rows, &out);
}

/* Rows in host memory: where they are, or copied there. */
static int bring(struct llqi_inputs *inputs, llq_backend *source,
                 const llq_view *x, llq_view *out) {
  const size_t n_bytes =
      (size_t)x->n_rows * (size_t)x->n_cols * llqi_dtype_size(x->dtype);
  *out = *x;
  if (llqi_backend_is_host(source))
    return LLQ_OK;
  if (n_bytes > inputs->n_staged) {
    llqi_free(inputs->staging);
    inputs->n_staged = 0;
    inputs->staging = llqi_alloc_aligned(n_bytes, 1);
    if (inputs->staging == NULL)
      return LLQ_ERROR_MEMORY;
    inputs->n_staged = n_bytes;
  }
  out->data = inputs->staging;
  return llqi_memory_download(source, out->data, x->data, n_bytes);
}

/* Rows of calibration go into the sums. */
static int add(struct llqi_inputs *inputs, const llq_view *x) {
  const int64_t left = inputs->n_fitted - inputs->n_seen;
  llq_view part = *x;
  part.n_rows = part.n_rows < left ? part.n_rows : left;
  if (part.n_rows <= 0)
    return LLQ_OK;
  LLQ_TRY(llqi_op_magnitudes(inputs->backend, &part, &inputs->sums));
  return inputs->gram.data != NULL
             ? llqi_op_gram(inputs->backend, &part, &inputs->gram)
             : LLQ_OK;
}

int llqi_inputs_add(struct llqi_inputs *inputs, llq_backend *source,
                    const llq_view *x) {
  llq_view on_host;
  if (inputs->backend == source && !llqi_backend_is_host(source)) {
    LLQ_TRY(add(inputs, x));
    LLQ_TRY(sample_there(inputs, &inputs->fitted, x));
    LLQ_TRY(sample_there(inputs, &inputs->held_out, x));
  } else {
    LLQ_TRY(bring(inputs, source, x, &on_host));
    LLQ_TRY(add(inputs, &on_host));
    sample_rows(inputs, &inputs->fitted, &on_host);
    sample_rows(inputs, &inputs->held_out, &on_host);
  }
  inputs->n_seen += x->n_rows;
  return LLQ_OK;
}

/* The lower triangle becomes the upper one's mirror image, and all a mean. In
   squares that fit into the cache. */
static void mirror(float *h, int64_t n, float factor) {
  const int64_t side = 64;
  for (int64_t bi = 0; bi < n; bi += side)
    for (int64_t bj = bi; bj < n; bj += side)
      for (int64_t i = bi; i < bi + side && i < n; i++)
        for (int64_t j = bj > i ? bj : i; j < bj + side && j < n; j++) {
          h[i * n + j] *= factor;
          h[j * n + i] = h[i * n + j];
        }
}

static int bring_sample(const struct llqi_inputs *inputs,
                        struct llqi_input_sample *sample) {
  if (sample->device.data == NULL)
    return LLQ_OK;
  const size_t n = (size_t)(sample->n_rows * inputs->n);
  const size_t n_bytes = n * llqi_dtype_size(sample->device.dtype);
  void *values = llqi_alloc_aligned(n_bytes, 1);
  if (values == NULL)
    return LLQ_ERROR_MEMORY;
  int status = llqi_memory_download(inputs->backend, values,
                                    sample->device.data, n_bytes);
  if (status >= 0)
    llqi_to_f32(sample->device.dtype, values, n, sample->rows);
  llqi_free(values);
  return status;
}

static int bring_gram(struct llqi_inputs *inputs) {
  const size_t n = (size_t)inputs->n, n_bytes = n * n * sizeof(float);
  inputs->h = inputs->gram.data;
  if (!llqi_backend_is_host(inputs->backend)) {
    inputs->h = llqi_array(n * n, sizeof *inputs->h);
    if (inputs->h == NULL)
      return LLQ_ERROR_MEMORY;
    LLQ_TRY(llqi_memory_download(inputs->backend, inputs->h, inputs->gram.data,
                                 n_bytes));
  }
  mirror(inputs->h, inputs->n, 1 / (float)inputs->n_fitted);
  return LLQ_OK;
}

int llqi_inputs_finish(struct llqi_inputs *inputs) {
  const int64_t n = inputs->n;
  LLQ_TRY(bring_sample(inputs, &inputs->fitted));
  LLQ_TRY(bring_sample(inputs, &inputs->held_out));
  if (inputs->n_fitted == 0)
    return LLQ_OK;
  LLQ_TRY(llqi_memory_download(inputs->backend, inputs->mean, inputs->sums.data,
                               2 * (size_t)n * sizeof *inputs->mean));
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(inputs->mean[i]))
      return llqi_fail(LLQ_ERROR_FORMAT,
                       "calibration: input %lld is NaN or infinite",
                       (long long)i);
    inputs->mean[i] /= (float)inputs->n_fitted;
  }
  return inputs->gram.data != NULL && !inputs->gram_stays ? bring_gram(inputs)
                                                          : LLQ_OK;
}

LLQI_VECTOR
static void divide(float *values, const float *scale, int64_t n, float by) {
  for (int64_t i = 0; i < n; i++)
    values[i] /= scale[i] * by;
}

static void fold_sample(struct llqi_input_sample *sample, int64_t n,
                        const float *scale) {
  for (int64_t r = 0; r < sample->n_rows; r++)
    divide(sample->rows + r * n, scale, n, 1);
}

const struct llqi_input_sample *
llqi_inputs_measured(const struct llqi_inputs *inputs) {
  return inputs->held_out.n_total > 0 ? &inputs->held_out : &inputs->fitted;
}

void llqi_inputs_fold(struct llqi_inputs *inputs, const float *scale) {
  const int64_t n = inputs->n;
  divide(inputs->mean, scale, n, 1);
  divide(inputs->largest, scale, n, 1);
  fold_sample(&inputs->fitted, n, scale);
  fold_sample(&inputs->held_out, n, scale);
  for (int64_t i = 0; i < n && inputs->h != NULL; i++)
    divide(inputs->h + i * n, scale, n, scale[i]);
}

int llqi_inputs_cut_blocks(struct llqi_inputs *inputs, int64_t size) {
  const int64_t n = inputs->n;
  inputs->block_size = size;
  inputs->blocks = llqi_array((size_t)n, (size_t)size * sizeof *inputs->blocks);
  if (inputs->blocks == NULL)
    return LLQ_ERROR_MEMORY;
  for (int64_t i = 0; i < n; i++)
    memcpy(inputs->blocks + i * size, inputs->h + i * n + i / size * size,
           (size_t)size * sizeof *inputs->blocks);
  return LLQ_OK;
}
