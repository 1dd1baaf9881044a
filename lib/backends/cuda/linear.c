/* SPDX-License-Identifier: Apache-2.0 */
/* Weights on the device, in the layout of the checkpoint. */
#include <stdlib.h>

#include "backends/cuda/common/quantize.h"
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

void cuda_linear_free(void *self, void *memory) {
  struct cuda_linear *linear = memory;
  if (linear == NULL)
    return;
  cuda_arena_give(self, linear->data);
  cuda_arena_give(self, linear->scale);
  cuda_arena_give(self, linear->scale_f32);
  cuda_arena_give(self, linear->zero);
  cuda_arena_give(self, linear->group_index);
  cuda_arena_give(self, linear->order);
  free(linear);
}

/* Copies a part of every weight, one behind the other. */
static int place_joined(struct cuda_device *device, const llq_weight *const *weights, int n,
                        const void *(*part)(const llq_weight *), size_t (*size)(const llq_weight *),
                        void **to) {
  size_t total = 0, at = 0;
  *to = NULL;
  if (part(weights[0]) == NULL)
    return LLQ_OK;
  for (int i = 0; i < n; i++)
    total += size(weights[i]);
  int status = cuda_arena_take(device, total, to);
  for (int i = 0; i < n && status >= 0; i++) {
    status = cuda_memory.upload(device, (char *)*to + at, part(weights[i]), size(weights[i]));
    at += size(weights[i]);
  }
  return status;
}

static int64_t n_groups(const llq_weight *weight) {
  return weight->group_size > 0 ? weight->n_in / weight->group_size : 1;
}

static const void *data_of(const llq_weight *weight) {
  return weight->data;
}

static const void *scale_of(const llq_weight *weight) {
  return weight->scale;
}

static const void *zero_of(const llq_weight *weight) {
  return weight->zero;
}

static const void *index_of(const llq_weight *weight) {
  return weight->group_index;
}

static size_t zero_size(const llq_weight *weight) {
  return (size_t)(weight->n_out * n_groups(weight));
}

static size_t scale_size(const llq_weight *weight) {
  return zero_size(weight) * element_size(weight->dtype);
}

static size_t index_size(const llq_weight *weight) {
  return (size_t)weight->n_in * sizeof(int32_t);
}

static int place_all(struct cuda_device *device, const llq_weight *const *weights, int n,
                     struct cuda_linear *linear) {
  void *zero = NULL, *group_index = NULL;
  int status = place_joined(device, weights, n, data_of, data_size, &linear->data);
  if (status >= 0)
    status = place_joined(device, weights, n, scale_of, scale_size, &linear->scale);
  if (status >= 0)
    status = place_joined(device, weights, n, zero_of, zero_size, &zero);
  linear->zero = zero;
  if (status >= 0) /* only a weight by itself has an order */
    status = place_joined(device, weights, 1, index_of, index_size, &group_index);
  linear->group_index = group_index;
  return status;
}

/* Scales as floats, which cuBLASLt and the ends of products of codes take. */
static int convert_scales(struct cuda_device *device, struct cuda_linear *linear) {
  if (linear->activation == LLQ_ACTIVATION_NONE || linear->n_groups != 1)
    return LLQ_OK;
  struct cuda_launch launch;
  void *floats;
  int status = cuda_arena_take(device, (size_t)linear->n_out * sizeof(float), &floats);
  if (status < 0)
    return status;
  linear->scale_f32 = floats;
  status = cuda_launch_on(device, 0, &launch);
  if (status < 0)
    return status;
  CUDA_TRY(device, common_to_floats(&launch, linear->scale, linear->dtype, linear->n_out, floats));
  return LLQ_OK;
}

static int join(struct cuda_device *device, const llq_weight *const *weights, int n, int compute,
                void **out) {
  const llq_weight *weight = weights[0];
  struct cuda_linear *linear = calloc(1, sizeof *linear);
  if (linear == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  linear->format = weight->format;
  linear->dtype = weight->dtype;
  linear->activation = weight->activation;
  linear->n_in = weight->n_in;
  linear->group_size = weight->group_size;
  linear->n_groups = n_groups(weight);
  for (int i = 0; i < n; i++)
    linear->n_out += weights[i]->n_out;
  int is_tiled = compute == LLQ_BF16 && cuda_tiled_takes(linear, weight);
  int status = is_tiled ? cuda_tiled_place(device, linear, weights, n)
                        : place_all(device, weights, n, linear);
  if (status >= 0)
    status = convert_scales(device, linear);
  if (status < 0) {
    cuda_linear_free(device, linear);
    return status;
  }
  *out = linear;
  return LLQ_OK;
}

int cuda_linear_upload(void *self, const llq_weight *weight, int compute, void **out) {
  return join(self, &weight, 1, compute, out);
}

int cuda_linear_join(void *self, const llq_weight *const *weights, int n, void **out) {
  return join(self, weights, n, LLQ_BF16, out);
}
