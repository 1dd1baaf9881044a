/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernels run a product, y = x W^T with what surrounds it:

   up to four rows of int4, dependence allowed      fixed
   few rows, or no dependence between rows wanted   stream
   many rows, int4                                  mixed; in shares if no
                                                    dependence is wanted (sm_90)
   many rows, others                                cuBLASLt (library.c)
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

/* Of products of many rows int4 has kernels of sm_90's, all formats some of sm_80's. */
static int mixed_is_sm90(const struct cuda_device *device, const struct cuda_product *product) {
  return device->sm >= 90 && product->linear->format == LLQ_WEIGHT_INT4;
}

/* Rows from which on kernels for many are faster (see doc/performance_gpu.md). */
int cuda_product_is_many(const struct cuda_device *device, const struct cuda_product *product,
                         int is_fast) {
  const struct cuda_linear *linear = product->linear;
  int is_mixed = linear->activation == LLQ_ACTIVATION_NONE && linear->format != LLQ_WEIGHT_DENSE;
  int is_wgmma = mixed_is_sm90(device, product);
  return product->n_rows > (is_mixed && !(is_fast && is_wgmma) ? 32 : 16);
}

/* The product without its norm, which the mixed kernels do not do. */
static struct cuda_product without_norm(const struct cuda_product *product, const void *x) {
  struct cuda_product inner = *product;
  inner.norm = NULL;
  inner.x = x;
  return inner;
}

/* On sm_90 int8 of more rows is faster as bf16 in memory, for cuBLASLt. */
#define INT8_MIXED_ROWS 128

static int mixed_takes(const struct cuda_device *device, const struct cuda_product *product,
                       int is_fast) {
  const struct cuda_product inner = without_norm(product, product->x);
  const struct cuda_linear *linear = product->linear;
  if (mixed_is_sm90(device, product))
    return sm90_mixed_takes(&inner);
  if (device->sm >= 90 &&
      (linear->format != LLQ_WEIGHT_INT8 || linear->activation != LLQ_ACTIVATION_NONE ||
       product->n_rows > INT8_MIXED_ROWS))
    return 0;
  return is_fast && sm80_mixed_takes(&inner);
}

/* Not fast: with the sums of the stream kernels. */
static int normalize_for_mixed(struct cuda_device *device, const struct cuda_product *product,
                               int is_fast, void *out) {
  struct cuda_launch launch;
  if (is_fast)
    return normalize(device, product, 1, out);
  int status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, sm90_stream_norm(&launch, product, out));
  return LLQ_OK;
}

static int run_mixed(struct cuda_device *device, const struct cuda_product *product, int is_fast) {
  const int is_sm90 = mixed_is_sm90(device, product);
  const void *x = product->x;
  struct cuda_launch launch;
  void *inputs;
  int status = LLQ_OK;
  if (product->norm != NULL) {
    status = cuda_inputs_on(device, bf16_size(product->n_rows, product->linear->n_in), &inputs);
    if (status >= 0)
      status = normalize_for_mixed(device, product, is_fast, inputs);
    x = inputs;
  }
  if (status < 0)
    return status;
  const struct cuda_product inner = without_norm(product, x);
  status = cuda_launch_on(device,
                          is_sm90 ? sm90_mixed_scratch(&inner, device->n_units, !is_fast)
                                  : sm80_mixed_scratch(&inner, device->n_units),
                          &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, is_sm90 ? sm90_mixed(&launch, &inner, !is_fast) : sm80_mixed(&launch, &inner));
  return LLQ_OK;
}

int cuda_library_run(struct cuda_device *device, const struct cuda_product *product, int of_gates) {
  struct cuda_launch launch;
  int status = cuda_launch_on(device, cuda_library_scratch(product), &launch);
  return status < 0 ? status : cuda_library_product(device->library, &launch, product, of_gates);
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
    if (mixed_takes(device, product, is_fast))
      return run_mixed(device, product, is_fast);
    if (is_fast && cuda_library_takes(device->library, product))
      return cuda_library_run(device, product, 0);
  }
  if (is_fast && fixed_takes(device, product))
    return run_fixed(device, product);
  if (stream_takes(device, product))
    return run_stream(device, product);
  return run_plainly(device, product);
}
