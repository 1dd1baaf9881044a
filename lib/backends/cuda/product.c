/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernels run a product, y = x W^T with what surrounds it:

   up to four rows of int4, dependence allowed      fixed
   few rows                                         stream
   many rows, codes for bf16 activations            mixed; very many on sm_80 cuBLASLt
   many rows, others                                cuBLASLt (library.c)
   many rows, no dependence wanted: w8a8-int        cuBLASLt, whose sums are exact
                             all others, on sm_90   mixed, in shares
                                        on sm_80    stream
   anything that these do not take                  plain kernels

   Inputs that are made for a kernel (normalized, or in another order) lie in
   memory of their own, since kernels use the scratch memory themselves. */
#include "backends/cuda/common/order.h"
#include "backends/cuda/common/quantize.h"
#include "backends/cuda/cuda.h"
#include "backends/cuda/library.h"
#include "backends/cuda/sm80/fixed.h"
#include "backends/cuda/sm80/mixed.h"
#include "backends/cuda/sm80/stream.h"
#include "backends/cuda/sm90/fixed.h"
#include "backends/cuda/sm90/mixed.h"
#include "backends/cuda/sm90/stream.h"

static size_t bf16_size(int64_t n_rows, int64_t n_cols) {
  size_t size = (size_t)(n_rows * n_cols) * 2;
  return (size + 255) / 256 * 256;
}

/* x normalized into `out`; any_order: as in struct cuda_rows. */
static int normalize(struct cuda_device *device, const struct cuda_product *product, int any_order,
                     void *out) {
  const struct cuda_rows rows = {.x = product->x,
                                 .norm = product->norm,
                                 .eps = product->eps,
                                 .out = out,
                                 .any_order = any_order,
                                 .n_rows = product->n_rows,
                                 .n_cols = product->linear->n_in};
  struct cuda_launch launch;
  int status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  if (common_rows_takes(&rows))
    CUDA_TRY(device, common_rows(&launch, &rows));
  else
    CUDA_TRY(device, any_rms_norm(device->stream, product->x, product->norm, product->eps,
                                  product->n_rows, product->linear->n_in, out, LLQ_BF16));
  return LLQ_OK;
}

/* The product of plain kernels, then what comes behind it. */
static int run_plain_product(struct cuda_device *device, const struct cuda_product *product,
                             const void *x, void *y) {
  const struct cuda_linear *linear = product->linear;
  const int64_t n_rows = product->n_rows, n_out = linear->n_out;
  CUDA_TRY(device, any_linear(device->stream, linear, x, n_rows, LLQ_BF16, y, product->out_dtype));
  if (product->swiglu)
    CUDA_TRY(device,
             any_swiglu_halves(device->stream, y, n_rows, n_out / 2, product->out, LLQ_BF16));
  if (product->residual != NULL)
    CUDA_TRY(device, any_add(device->stream, product->out, y, n_rows * n_out, LLQ_BF16));
  return LLQ_OK;
}

static int run_plainly(struct cuda_device *device, const struct cuda_product *product) {
  const struct cuda_linear *linear = product->linear;
  const int is_direct = !product->swiglu && product->residual == NULL;
  const size_t x_size = bf16_size(product->n_rows, linear->n_in);
  const size_t y_size = is_direct ? 0 : bf16_size(product->n_rows, linear->n_out);
  char *inputs;
  int status = cuda_inputs_on(device, x_size + y_size, (void **)&inputs);
  if (status >= 0 && product->norm != NULL)
    status = normalize(device, product, 0, inputs);
  if (status < 0)
    return status;
  return run_plain_product(device, product, product->norm != NULL ? inputs : product->x,
                           is_direct ? product->out : inputs + x_size);
}

static int stream_takes(const struct cuda_device *device, const struct cuda_product *product) {
  return device->sm >= 90 ? sm90_stream_takes(product) : sm80_stream_takes(product);
}

static int run_stream(struct cuda_device *device, const struct cuda_product *product) {
  struct cuda_launch launch;
  int is_sm90 = device->sm >= 90;
  size_t size = is_sm90 ? sm90_stream_scratch(product, device->n_units)
                        : sm80_stream_scratch(product, device->n_units);
  int status = cuda_launch_on(device, size, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, is_sm90 ? sm90_stream(&launch, product) : sm80_stream(&launch, product));
  return LLQ_OK;
}

static int fixed_takes(const struct cuda_device *device, const struct cuda_product *product) {
  return device->sm >= 90 ? sm90_fixed_takes(product) : sm80_fixed_takes(product);
}

static int run_fixed(struct cuda_device *device, const struct cuda_product *product) {
  struct cuda_launch launch;
  int status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, device->sm >= 90 ? sm90_fixed(&launch, product) : sm80_fixed(&launch, product));
  return LLQ_OK;
}

/* Codes for bf16 activations. */
static int is_weight_only(const struct cuda_linear *linear) {
  return linear->activation == LLQ_ACTIVATION_NONE && linear->format != LLQ_WEIGHT_DENSE;
}

/* Rows from which on kernels for many are faster (see doc/performance_gpu.md). */
int cuda_product_is_many(const struct cuda_device *device, const struct cuda_product *product,
                         int is_fast) {
  int from_17 = device->sm >= 90 ? product->linear->format == LLQ_WEIGHT_INT4
                                 : !is_weight_only(product->linear);
  return product->n_rows > (is_fast && from_17 ? 16 : 32);
}

/* The product of x as it is made for the kernel. */
static struct cuda_product product_of(const struct cuda_product *product, const void *x) {
  struct cuda_product inner = *product;
  inner.norm = NULL;
  inner.x = x;
  return inner;
}

/* Not fast: with the sums of the stream kernels. */
static int sm90_takes(const struct cuda_device *device, const struct cuda_product *product,
                      int is_fast) {
  const struct cuda_product inner = product_of(product, product->x);
  return device->sm >= 90 && sm90_mixed_takes(&inner, !is_fast) &&
         (is_fast || sm90_stream_takes(product));
}

/* Rows up to which codes as they are beat weights that become bf16 in memory, for
   cuBLASLt (see doc/performance_gpu.md). */
#define CODES_ROWS 128

/* On sm_90 these kernels are for int8 in groups. */
static int sm80_is_faster(const struct cuda_device *device, const struct cuda_product *product) {
  const struct cuda_linear *linear = product->linear;
  if (device->sm >= 90 && linear->format != LLQ_WEIGHT_INT8)
    return 0;
  return !is_weight_only(linear) || product->n_rows <= CODES_ROWS;
}

static int sm80_takes(const struct cuda_device *device, const struct cuda_product *product,
                      int is_fast) {
  const struct cuda_product inner = product_of(product, product->x);
  return is_fast && sm80_mixed_takes(&inner) &&
         (sm80_is_faster(device, product) || !cuda_library_takes(device->library, product));
}

/* x normalized with the sums of the stream kernels. */
static int normalize_in_order(struct cuda_device *device, const struct cuda_product *product,
                              void *out) {
  struct cuda_launch launch;
  int status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, device->sm >= 90 ? sm90_stream_norm(&launch, product, out)
                                    : sm80_stream_norm(&launch, product, out));
  return LLQ_OK;
}

/* x and its rows' scales as the kernels of sm_90 take them. */
static int prepare(struct cuda_device *device, const struct cuda_product *product,
                   struct cuda_product *inner) {
  const size_t size = bf16_size(product->n_rows, product->linear->n_in);
  struct cuda_launch launch;
  char *inputs;
  int status =
      cuda_inputs_on(device, size + (size_t)product->n_rows * sizeof(float), (void **)&inputs);
  if (status >= 0)
    status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  *inner = product_of(product, inputs);
  inner->row_scale = (float *)(inputs + size);
  CUDA_TRY(device, sm90_stream_prepare(&launch, product, inputs, (float *)(inputs + size)));
  return LLQ_OK;
}

/* x normalized, if the product has a norm. */
static int prepare_norm(struct cuda_device *device, const struct cuda_product *product, int is_fast,
                        struct cuda_product *inner) {
  void *inputs;
  *inner = *product;
  if (product->norm == NULL)
    return LLQ_OK;
  int status = cuda_inputs_on(device, bf16_size(product->n_rows, product->linear->n_in), &inputs);
  if (status < 0)
    return status;
  *inner = product_of(product, inputs);
  return is_fast ? normalize(device, product, 1, inputs)
                 : normalize_in_order(device, product, inputs);
}

static int run_sm90(struct cuda_device *device, const struct cuda_product *product, int is_fast) {
  struct cuda_launch launch;
  struct cuda_product inner;
  int status = sm90_mixed_wants_prepared(product->linear)
                   ? prepare(device, product, &inner)
                   : prepare_norm(device, product, is_fast, &inner);
  if (status >= 0)
    status = cuda_launch_on(device, sm90_mixed_scratch(&inner, device->n_units, !is_fast), &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, sm90_mixed(&launch, &inner, !is_fast));
  return LLQ_OK;
}

static int run_sm80(struct cuda_device *device, const struct cuda_product *product) {
  struct cuda_launch launch;
  struct cuda_product inner;
  int status = prepare_norm(device, product, 1, &inner);
  if (status >= 0)
    status = cuda_launch_on(device, sm80_mixed_scratch(&inner, device->n_units), &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, sm80_mixed(&launch, &inner));
  return LLQ_OK;
}

int cuda_library_run(struct cuda_device *device, const struct cuda_product *product, int of_gates) {
  struct cuda_launch launch;
  int status = cuda_launch_on(device, cuda_library_scratch(product), &launch);
  return status < 0 ? status : cuda_library_product(device->library, &launch, product, of_gates);
}

/* Sums of integers are exact, in whatever order: then the rest decides. */
static int run_exactly(struct cuda_device *device, const struct cuda_product *product) {
  struct cuda_product inner;
  int status = prepare_norm(device, product, 0, &inner);
  return status < 0 ? status : cuda_library_run(device, &inner, 0);
}

static int is_exact(const struct cuda_device *device, const struct cuda_product *product) {
  return product->linear->activation == LLQ_ACTIVATION_INT8 && stream_takes(device, product);
}

/* With activation order the kernels see inputs in the weight's order. */
static int run_ordered(struct cuda_device *device, const struct cuda_product *product,
                       int is_fast) {
  const struct cuda_linear *linear = product->linear;
  const int64_t n_rows = product->n_rows;
  const size_t size = bf16_size(n_rows, linear->n_in);
  struct cuda_linear sorted = *linear;
  struct cuda_product inner = *product;
  char *inputs;
  int status = cuda_ordered_on(device, 2 * size, (void **)&inputs);
  if (status >= 0 && product->norm != NULL)
    status = normalize(device, product, is_fast, inputs + size);
  if (status < 0)
    return status;
  CUDA_TRY(device,
           common_order_inputs(device->stream, product->norm != NULL ? inputs + size : product->x,
                               n_rows, linear->n_in, linear->order, inputs));
  sorted.order = NULL;
  inner.linear = &sorted;
  inner.norm = NULL;
  inner.x = inputs;
  return cuda_product_run(device, &inner, is_fast);
}

int cuda_product_run(struct cuda_device *device, const struct cuda_product *product, int is_fast) {
  if (product->n_rows == 0)
    return LLQ_OK;
  if (product->linear->order != NULL)
    return run_ordered(device, product, is_fast);
  if (cuda_product_is_many(device, product, is_fast)) {
    if (sm90_takes(device, product, is_fast))
      return run_sm90(device, product, is_fast);
    if (sm80_takes(device, product, is_fast))
      return run_sm80(device, product);
    if ((is_fast || is_exact(device, product)) && cuda_library_takes(device->library, product))
      return is_fast ? cuda_library_run(device, product, 0) : run_exactly(device, product);
  }
  if (is_fast && fixed_takes(device, product))
    return run_fixed(device, product);
  if (stream_takes(device, product))
    return run_stream(device, product);
  return run_plainly(device, product);
}
