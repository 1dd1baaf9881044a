/* SPDX-License-Identifier: Apache-2.0 */
/* llq_backend_calibration: products by algebra.c, the rest by kernels. */
#include "backends/cuda/common/calibration.h"

#include "backends/cuda/algebra.h"
#include "backends/cuda/cuda.h"
#include "backends/cuda/library.h"

/* A grid of thread blocks has no more rows, and cuSOLVER counts in ints. */
#define SIDE_MAX 46340

static int start(void *self) {
  return cuda_algebra_open(self);
}

static int gram(void *self, const llq_view *x, llq_view *h) {
  struct cuda_device *device = self;
  CUDA_PASS(cuda_algebra_open(device));
  CUDA_PASS(cuda_begin(device, "gram"));
  return cuda_end(device, cuda_algebra_gram(device, x, h));
}

static int magnitudes(void *self, const llq_view *x, llq_view *out) {
  struct cuda_device *device = self;
  CUDA_PASS(cuda_begin(device, "magnitudes"));
  CUDA_TRY(device,
           common_magnitudes(device->stream, x->data, x->dtype, x->n_rows, x->n_cols, out->data));
  return cuda_end(device, LLQ_OK);
}

static int check_side(const struct cuda_device *device, int64_t n) {
  return n <= SIDE_MAX ? (int)LLQ_OK
                       : cuda_error(LLQ_ERROR_UNSUPPORTED,
                                    "cuda:%d: second moments of %lld inputs, at most %d",
                                    device->index, (long long)n, SIDE_MAX);
}

/* Working memory of a factorization, one part behind the other. */
struct factoring {
  int n, work_size;
  float *root, *inverse, *work;
  int *info;
};

static int place(struct cuda_device *device, llq_view *h, struct factoring *to) {
  struct cuda_launch launch;
  const int n = to->n = (int)h->n_cols;
  const size_t n_values = (size_t)n * (size_t)n;
  CUDA_PASS(cuda_algebra_root_size(device, h->data, n, &to->work_size));
  const size_t n_floats = 2 * n_values + (size_t)to->work_size + 64;
  CUDA_PASS(cuda_launch_on(device, n_floats * sizeof(float), &launch));
  to->info = launch.scratch;
  to->root = (float *)launch.scratch + 64;
  to->inverse = to->root + n_values;
  to->work = to->inverse + n_values;
  return LLQ_OK;
}

static int is_definite(struct cuda_device *device, const int *info, int *definite) {
  int value;
  CUDA_TRY(device,
           cudaMemcpyAsync(&value, info, sizeof value, cudaMemcpyDeviceToHost, device->stream));
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  *definite = value == 0;
  return value >= 0 ? (int)LLQ_OK
                    : cuda_error(LLQ_ERROR_INTERNAL, "cuda:%d: cusolverDnSpotrf: parameter %d",
                                 device->index, -value);
}

/* As on the CPU: with J the turned identity, J h J = L L^T, and U = J L^-1 J. */
static int factor_turned(struct cuda_device *device, llq_view *h, int *definite) {
  struct factoring f;
  CUDA_PASS(place(device, h, &f));
  CUDA_TRY(device, common_turn(device->stream, h->data, f.n, f.root));
  CUDA_PASS(cuda_algebra_root(device, f.root, f.n, f.work, f.work_size, f.info));
  CUDA_PASS(is_definite(device, f.info, definite));
  if (!*definite)
    return LLQ_OK;
  CUDA_TRY(device, common_identity(device->stream, f.n, f.inverse));
  CUDA_PASS(cuda_algebra_invert(device, f.root, f.n, f.inverse));
  CUDA_TRY(device, common_turn_upper(device->stream, f.inverse, f.n, h->data));
  return LLQ_OK;
}

static int factor(void *self, llq_view *h, int *definite) {
  struct cuda_device *device = self;
  CUDA_PASS(check_side(device, h->n_cols));
  CUDA_PASS(cuda_algebra_open(device));
  CUDA_PASS(cuda_begin(device, "factor"));
  return cuda_end(device, factor_turned(device, h, definite));
}

/* Numbers of the host where the next kernel reads them. */
static int place_numbers(struct cuda_device *device, const void *from, int64_t n, void *to) {
  CUDA_TRY(device,
           cudaMemcpyAsync(to, from, (size_t)n * 4, cudaMemcpyHostToDevice, device->stream));
  return LLQ_OK;
}

static int encode(void *self, const llq_encoding *encoding, const llq_view *factor, llq_view *w,
                  llq_view *errors) {
  struct cuda_device *device = self;
  const int is_int4 = encoding->format == LLQ_WEIGHT_INT4;
  void *groups;
  if (encoding->n > CUDA_ENCODE_WIDTH_MAX)
    return cuda_error(LLQ_ERROR_ARGUMENT, "cuda: a block of %lld columns, at most %d",
                      (long long)encoding->n, CUDA_ENCODE_WIDTH_MAX);
  CUDA_PASS(cuda_inputs_on(device, CUDA_ENCODE_WIDTH_MAX * 4, &groups));
  CUDA_PASS(place_numbers(device, encoding->groups, encoding->n, groups));
  const struct cuda_encoding ours = {.format = encoding->format,
                                     .dtype = encoding->dtype,
                                     .q_min = is_int4 ? -8 : -128,
                                     .q_max = is_int4 ? 7 : 127,
                                     .first = encoding->first,
                                     .n = encoding->n,
                                     .n_rows = w->n_rows,
                                     .n_in = w->n_cols,
                                     .n_groups = encoding->scale->n_cols,
                                     .groups = groups,
                                     .scale = encoding->scale->data,
                                     .zero = encoding->zero->data,
                                     .factor = factor->data,
                                     .w = w->data,
                                     .errors = errors->data};
  CUDA_PASS(cuda_begin(device, "encode"));
  CUDA_TRY(device, common_encode(device->stream, &ours));
  return cuda_end(device, LLQ_OK);
}

static int update(void *self, int64_t first, const llq_view *errors, const llq_view *factor,
                  llq_view *w) {
  struct cuda_device *device = self;
  CUDA_PASS(cuda_algebra_open(device));
  CUDA_PASS(cuda_begin(device, "update"));
  return cuda_end(device, cuda_algebra_update(device, first, errors, factor, w));
}

static int arrange(void *self, const llq_view *h, const int32_t *columns, float by,
                   const float *diagonal, llq_view *out) {
  struct cuda_device *device = self;
  const int64_t n = h->n_cols;
  void *numbers;
  CUDA_PASS(check_side(device, n));
  CUDA_PASS(cuda_inputs_on(device, (size_t)n * 8, &numbers));
  float *placed = (float *)numbers + n;
  CUDA_PASS(place_numbers(device, columns, n, numbers));
  CUDA_PASS(place_numbers(device, diagonal, n, placed));
  const struct cuda_arrangement arrangement = {
      .h = h->data, .n = n, .columns = numbers, .diagonal = placed, .factor = by, .out = out->data};
  CUDA_PASS(cuda_begin(device, "arrange"));
  CUDA_TRY(device, common_arrange(device->stream, &arrangement));
  return cuda_end(device, LLQ_OK);
}

const llq_backend_calibration cuda_calibration = {
    .struct_size = sizeof(llq_backend_calibration),
    .gram = gram,
    .magnitudes = magnitudes,
    .factor = factor,
    .encode = encode,
    .update = update,
    .start = start,
    .arrange = arrange,
};
