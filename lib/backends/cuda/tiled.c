/* SPDX-License-Identifier: Apache-2.0 */
/* Int4 weights to CUDA_LAYOUT_TILED: inputs sorted by group, codes as operands
   of matrix instructions, on the device. */
#include <stdlib.h>

#include "backends/cuda/common/order.h"
#include "backends/cuda/common/repack.h"
#include "backends/cuda/cuda.h"

/* Has every group its share of the inputs? */
static int is_even(const struct cuda_linear *linear, const int32_t *group_index) {
  int64_t *n = calloc((size_t)linear->n_groups, sizeof *n);
  int even = n != NULL;
  for (int64_t i = 0; i < linear->n_in && even; i++)
    even = ++n[group_index[i]] <= linear->group_size;
  free(n);
  return even;
}

int cuda_tiled_takes(const struct cuda_linear *linear, const llq_weight *weight) {
  return linear->format == LLQ_WEIGHT_INT4 && linear->dtype == LLQ_BF16 &&
         linear->n_out % 16 == 0 && linear->n_in % 64 == 0 && linear->group_size % 64 == 0 &&
         (weight->group_index == NULL || is_even(linear, weight->group_index));
}

/* The inputs, group by group. next: [n_groups], where each continues. */
static void sort_inputs(const struct cuda_linear *linear, const int32_t *group_index, int64_t *next,
                        int32_t *order) {
  for (int64_t g = 0; g < linear->n_groups; g++)
    next[g] = g * linear->group_size;
  for (int64_t i = 0; i < linear->n_in; i++)
    order[next[group_index[i]]++] = (int32_t)i;
}

static int place_order(struct cuda_device *device, struct cuda_linear *linear,
                       const int32_t *group_index) {
  size_t size = (size_t)linear->n_in * sizeof(int32_t);
  int32_t *order = malloc(size);
  int64_t *next = malloc((size_t)linear->n_groups * sizeof *next);
  void *placed;
  int status = order != NULL && next != NULL
                   ? cuda_arena_take(device, size, &placed)
                   : cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  if (status >= 0) {
    linear->order = placed;
    sort_inputs(linear, group_index, next, order);
    status = cuda_memory.upload(device, placed, order, size);
  }
  free(order);
  free(next);
  return status;
}

/* The codes go through two places of scratch memory: as they come, and
   sorted. */
static int repack_codes(struct cuda_device *device, struct cuda_linear *linear,
                        const llq_weight *const *weights, int n) {
  size_t size = (size_t)(linear->n_out * linear->n_in) / 2, at = 0;
  struct cuda_launch launch;
  int status = cuda_launch_on(device, (linear->order != NULL ? 2 : 1) * size, &launch);
  if (status >= 0)
    status = cuda_arena_take(device, size, &linear->data);
  for (int i = 0; i < n && status >= 0; i++) {
    size_t part = (size_t)(weights[i]->n_out * weights[i]->n_in) / 2;
    status = cuda_memory.upload(device, (char *)launch.scratch + at, weights[i]->data, part);
    at += part;
  }
  if (status < 0)
    return status;
  void *codes = launch.scratch;
  if (linear->order != NULL) {
    CUDA_TRY(device, common_order_codes(device->stream, codes, linear->n_out, linear->n_in,
                                        linear->order, (char *)codes + size));
    codes = (char *)codes + size;
  }
  CUDA_TRY(device,
           cuda_repack_int4(device->stream, codes, linear->n_out, linear->n_in, linear->data));
  return LLQ_OK;
}

/* Scales, or zero points, of all weights, one behind the other in scratch. */
static int gather_parts(struct cuda_device *device, const llq_weight *const *weights, int n,
                        int64_t n_groups, int is_zero, void *to) {
  size_t element = is_zero ? 1 : 2, at = 0;
  for (int i = 0; i < n; i++) {
    size_t size = (size_t)(weights[i]->n_out * n_groups) * element;
    const void *from = is_zero ? weights[i]->zero : weights[i]->scale;
    int status = cuda_memory.upload(device, (char *)to + at, from, size);
    if (status < 0)
      return status;
    at += size;
  }
  return LLQ_OK;
}

static int repack_part(struct cuda_device *device, struct cuda_linear *linear,
                       const llq_weight *const *weights, int n, int is_zero, void **out) {
  size_t size = (size_t)(linear->n_out * linear->n_groups) * 2;
  struct cuda_launch launch;
  int status = cuda_launch_on(device, size, &launch);
  if (status >= 0)
    status = cuda_arena_take(device, size, out);
  if (status >= 0)
    status = gather_parts(device, weights, n, linear->n_groups, is_zero, launch.scratch);
  if (status < 0)
    return status;
  if (is_zero)
    CUDA_TRY(device, cuda_repack_zeros(device->stream, launch.scratch, linear->n_out,
                                       linear->n_groups, *out));
  else
    CUDA_TRY(device, cuda_repack_scales(device->stream, launch.scratch, linear->n_out,
                                        linear->n_groups, *out));
  return LLQ_OK;
}

int cuda_tiled_place(struct cuda_device *device, struct cuda_linear *linear,
                     const llq_weight *const *weights, int n) {
  void *zero = NULL;
  int status = LLQ_OK;
  if (weights[0]->group_index != NULL)
    status = place_order(device, linear, weights[0]->group_index);
  if (status < 0)
    return status;
  linear->layout = CUDA_LAYOUT_TILED;
  status = repack_codes(device, linear, weights, n);
  if (status >= 0)
    status = repack_part(device, linear, weights, n, 0, &linear->scale);
  if (status >= 0 && weights[0]->zero != NULL)
    status = repack_part(device, linear, weights, n, 1, &zero);
  linear->zero = zero;
  return status;
}
