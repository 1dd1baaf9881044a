/* SPDX-License-Identifier: Apache-2.0 */
/* Weights on the device, in the layout of the checkpoint. */
#include <stdlib.h>

#include "backends/cuda/cuda.h"

static size_t element_size(int dtype) {
  return dtype == LLQ_F32 ? 4 : 2;
}

static size_t data_size(const llq_weight *weight) {
  size_t n = (size_t)(weight->n_out * weight->n_in);
  switch (weight->format) {
  case LLQ_WEIGHT_DENSE:
    return n * element_size(weight->dtype);
  case LLQ_WEIGHT_INT4:
    return n / 2;
  default:
    return n;
  }
}

/* Copies n bytes to memory of their own; NULL stays NULL. */
static int place(struct cuda_device *device, const void *from, size_t n,
                 void **to) {
  *to = NULL;
  if (from == NULL)
    return LLQ_OK;
  int status = cuda_memory.alloc(device, n, to);
  return status < 0 ? status : cuda_memory.upload(device, *to, from, n);
}

void cuda_linear_free(void *self, void *memory) {
  struct cuda_linear *linear = memory;
  if (linear == NULL)
    return;
  cudaFree(linear->data);
  cudaFree(linear->scale);
  cudaFree(linear->zero);
  cudaFree(linear->group_index);
  free(linear);
}

static int place_all(struct cuda_device *device, const llq_weight *weight,
                     struct cuda_linear *linear) {
  size_t n_scales = (size_t)(linear->n_out * linear->n_groups);
  void *zero = NULL, *group_index = NULL;
  int status = place(device, weight->data, data_size(weight), &linear->data);
  if (status >= 0)
    status = place(device, weight->scale,
                   n_scales * element_size(weight->dtype), &linear->scale);
  if (status >= 0)
    status = place(device, weight->zero, n_scales, &zero);
  linear->zero = zero;
  if (status >= 0)
    status = place(device, weight->group_index,
                   (size_t)weight->n_in * sizeof(int32_t), &group_index);
  linear->group_index = group_index;
  return status;
}

int cuda_linear_upload(void *self, const llq_weight *weight, int compute,
                       void **out) {
  struct cuda_linear *linear = calloc(1, sizeof *linear);
  if (linear == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  linear->format = weight->format;
  linear->dtype = weight->dtype;
  linear->activation = weight->activation;
  linear->n_out = weight->n_out;
  linear->n_in = weight->n_in;
  linear->group_size = weight->group_size;
  linear->n_groups =
      weight->group_size > 0 ? weight->n_in / weight->group_size : 1;
  int status = place_all(self, weight, linear);
  if (status < 0) {
    cuda_linear_free(self, linear);
    return status;
  }
  *out = linear;
  return LLQ_OK;
}
