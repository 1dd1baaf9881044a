/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory, and copies in the order of the device's stream. */
#include "backends/cuda/cuda.h"

static int alloc(void *self, size_t size, void **memory) {
  struct cuda_device *device = self;
  CUDA_TRY(device, cudaSetDevice(device->index));
  cudaError_t error = cudaMalloc(memory, size > 0 ? size : 1);
  if (error == cudaErrorMemoryAllocation) {
    size_t free_bytes = 0, total = 0;
    cudaGetLastError(); /* a refused allocation leaves the device usable */
    cudaMemGetInfo(&free_bytes, &total);
    return cuda_error(LLQ_ERROR_MEMORY, "cuda:%d: %zu bytes wanted, %zu of %zu free", device->index,
                      size, free_bytes, total);
  }
  CUDA_TRY(device, error);
  return LLQ_OK;
}

static void release(void *self, void *memory) {
  cudaFree(memory);
}

static int upload(void *self, void *to, const void *from, size_t size) {
  return cuda_staging_upload(self, to, from, size);
}

#define LARGE ((size_t)4 << 20) /* worth several threads */

static int download(void *self, void *to, const void *from, size_t size) {
  struct cuda_device *device = self;
  if (size >= LARGE)
    return cuda_staging_download(device, to, from, size);
  CUDA_TRY(device, cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToHost, device->stream));
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  return LLQ_OK;
}

static int synchronize(void *self) {
  struct cuda_device *device = self;
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  return LLQ_OK;
}

const llq_backend_memory cuda_memory = {
    .struct_size = sizeof(llq_backend_memory),
    .alloc = alloc,
    .free = release,
    .upload = upload,
    .download = download,
    .synchronize = synchronize,
};
