/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels are launched with: the stream, and working memory that grows to
   what operations have needed. */
#include "backends/cuda/cuda.h"

static int grow(struct cuda_device *device, struct cuda_buffer *buffer, size_t size) {
  enum cudaStreamCaptureStatus status;
  CUDA_TRY(device, cudaStreamIsCapturing(device->stream, &status));
  if (status != cudaStreamCaptureStatusNone)
    return cuda_error(LLQ_ERROR_STATE,
                      "cuda:%d: a recorded step needs %zu bytes of working "
                      "memory, %zu when it ran first",
                      device->index, size, buffer->size);
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  cudaFree(buffer->memory);
  *buffer = (struct cuda_buffer){NULL, 0};
  device->n_moves++;
  int result = cuda_memory.alloc(device, size, &buffer->memory);
  if (result >= 0)
    buffer->size = size;
  return result;
}

static int make_room(struct cuda_device *device, struct cuda_buffer *buffer, size_t size,
                     void **memory) {
  int status = size > buffer->size ? grow(device, buffer, size) : (int)LLQ_OK;
  *memory = buffer->memory;
  return status;
}

int cuda_launch_on(struct cuda_device *device, size_t scratch_size, struct cuda_launch *launch) {
  void *scratch;
  int status = make_room(device, &device->scratch, scratch_size, &scratch);
  *launch = (struct cuda_launch){.stream = device->stream,
                                 .n_units = device->n_units,
                                 .overlaps = device->sm >= 90,
                                 .scratch = scratch,
                                 .scratch_size = device->scratch.size,
                                 .counters = device->counters};
  return status;
}

int cuda_inputs_on(struct cuda_device *device, size_t size, void **memory) {
  return make_room(device, &device->inputs, size, memory);
}

int cuda_ordered_on(struct cuda_device *device, size_t size, void **memory) {
  return make_room(device, &device->ordered, size, memory);
}

int cuda_gates_on(struct cuda_device *device, size_t size, void **memory) {
  return make_room(device, &device->gates, size, memory);
}
