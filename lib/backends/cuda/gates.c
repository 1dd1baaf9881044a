/* SPDX-License-Identifier: Apache-2.0 */
/* SwiGLU left to the next operation of a fused step: where gate and up are a
   w8a8-fp product of many rows, and so is the product that takes what becomes of
   them, that is quantized as it is made and never stored. */
#include "backends/cuda/common/quantize.h"
#include "backends/cuda/cuda.h"
#include "backends/cuda/library.h"

static int is_fp8(const struct cuda_product *product) {
  return product->linear->activation == LLQ_ACTIVATION_FP8;
}

int cuda_gates_leave(struct cuda_device *device, const struct cuda_product *product, int *is_left) {
  struct cuda_product gate_up = *product;
  void *memory;
  *is_left = 0;
  gate_up.swiglu = 0;
  gate_up.out = device->gates.memory;
  if (!product->swiglu || !is_fp8(product) || !cuda_library_takes(device->library, &gate_up))
    return LLQ_OK;
  int64_t n_out = product->linear->n_out;
  int status = cuda_gates_on(device, (size_t)(product->n_rows * n_out) * 2, &memory);
  gate_up.out = memory;
  if (status >= 0)
    status = cuda_library_run(device, &gate_up, 0);
  if (status < 0)
    return status;
  device->left = (struct cuda_left){product->out, product->n_rows, n_out / 2};
  *is_left = 1;
  return LLQ_OK;
}

int cuda_gates_finish(struct cuda_device *device) {
  struct cuda_left left = device->left;
  const struct cuda_rows rows = {.x = device->gates.memory,
                                 .swiglu = 1,
                                 .out = left.out,
                                 .n_rows = left.n_rows,
                                 .n_cols = left.n_cols};
  struct cuda_launch launch;
  if (left.out == NULL)
    return LLQ_OK;
  device->left = (struct cuda_left){0};
  int status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, common_rows(&launch, &rows));
  return LLQ_OK;
}

int cuda_gates_take(struct cuda_device *device, const struct cuda_product *product, int *is_taken) {
  const struct cuda_left left = device->left;
  struct cuda_product of_gates = *product;
  *is_taken = left.out != NULL && product->x == left.out && product->n_rows == left.n_rows &&
              product->linear->n_in == left.n_cols && product->norm == NULL && is_fp8(product) &&
              cuda_library_takes(device->library, product);
  if (!*is_taken)
    return cuda_gates_finish(device);
  device->left = (struct cuda_left){0};
  of_gates.x = device->gates.memory;
  return cuda_library_run(device, &of_gates, 1);
}
