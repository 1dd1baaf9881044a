/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels of the fast tables are launched with. */
#include "backends/cuda/cuda.h"

static int grow(struct cuda_device *device, size_t size) {
  enum cudaStreamCaptureStatus status;
  CUDA_TRY(device, cudaStreamIsCapturing(device->stream, &status));
  if (status != cudaStreamCaptureStatusNone)
    return cuda_error(LLQ_ERROR_STATE,
                      "cuda:%d: a recorded step needs %zu bytes of scratch, "
                      "%zu when it ran first",
                      device->index, size, device->scratch_size);
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  cudaFree(device->scratch);
  device->scratch = NULL;
  device->scratch_size = 0;
  device->n_scratch_moves++;
  CUDA_TRY(device, cudaMalloc(&device->scratch, size));
  device->scratch_size = size;
  return LLQ_OK;
}

int cuda_launch_on(struct cuda_device *device, size_t scratch_size, struct cuda_launch *launch) {
  if (scratch_size > device->scratch_size) {
    int status = grow(device, scratch_size);
    if (status < 0)
      return status;
  }
  *launch = (struct cuda_launch){.stream = device->stream,
                                 .n_units = device->n_units,
                                 .overlaps = device->sm >= 90,
                                 .scratch = device->scratch,
                                 .scratch_size = device->scratch_size};
  return LLQ_OK;
}
