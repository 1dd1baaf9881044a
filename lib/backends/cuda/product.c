/* SPDX-License-Identifier: Apache-2.0 */
/* Which kernels run a product: y = x W^T with what surrounds it. */
#include "backends/cuda/cuda.h"

/* Sizes in bytes of bf16 [n_rows, n_cols]. */
static size_t bf16_size(int64_t n_rows, int64_t n_cols) {
  size_t size = (size_t)(n_rows * n_cols) * 2;
  return (size + 255) / 256 * 256;
}

static int run_around(struct cuda_device *device, const struct cuda_product *product,
                      const void *y) {
  const int64_t n_rows = product->n_rows;
  const int64_t n_cols = product->linear->n_out / (product->swiglu ? 2 : 1);
  if (product->swiglu)
    CUDA_TRY(device, any_swiglu_halves(device->stream, y, n_rows, n_cols, product->out, LLQ_BF16));
  if (product->residual != NULL)
    CUDA_TRY(device, any_add(device->stream, product->out, y, n_rows * n_cols, LLQ_BF16));
  return LLQ_OK;
}

/* Norm, product and the rest one after the other, through scratch memory. */
static int run_plainly(struct cuda_device *device, const struct cuda_product *product) {
  const struct cuda_linear *linear = product->linear;
  const int64_t n_rows = product->n_rows;
  const size_t x_size = product->norm != NULL ? bf16_size(n_rows, linear->n_in) : 0;
  const int is_direct = !product->swiglu && product->residual == NULL;
  struct cuda_launch launch;
  int status =
      cuda_launch_on(device, x_size + (is_direct ? 0 : bf16_size(n_rows, linear->n_out)), &launch);
  if (status < 0)
    return status;
  const void *x = product->x;
  void *y = is_direct ? product->out : (char *)launch.scratch + x_size;
  if (product->norm != NULL) {
    CUDA_TRY(device, any_rms_norm(device->stream, x, product->norm, product->eps, n_rows,
                                  linear->n_in, launch.scratch, LLQ_BF16));
    x = launch.scratch;
  }
  CUDA_TRY(device, any_linear(device->stream, linear, x, n_rows, LLQ_BF16, y, product->out_dtype));
  return is_direct ? LLQ_OK : run_around(device, product, y);
}

int cuda_product_run(struct cuda_device *device, const struct cuda_product *product, int is_fast) {
  if (product->n_rows == 0)
    return LLQ_OK;
  return run_plainly(device, product);
}
