/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, describing, opening and closing GPUs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/algebra.h"
#include "backends/cuda/cuda.h"
#include "backends/cuda/library.h"

#define SM_OLDEST 80 /* bf16 matrix instructions and cp.async begin there */
#define SM_HOPPER 90 /* sm_90a code runs on this very one */

/* A machine without a driver still has one entry, to say so. */
static int count(void) {
  int n = 0;
  return cudaGetDeviceCount(&n) == cudaSuccess && n > 0 ? n : 1;
}

static void describe_driver(llq_device_info *info) {
  int version = 0;
  if (cudaDriverGetVersion(&version) == cudaSuccess && version > 0)
    snprintf(info->driver, sizeof info->driver, "CUDA %d.%d", version / 1000, version % 1000 / 10);
}

static int describe(int index, llq_device_info *info) {
  struct cudaDeviceProp properties;
  int n = 0;
  info->index = index;
  snprintf(info->backend, sizeof info->backend, "cuda");
  describe_driver(info);
  cudaError_t error = cudaGetDeviceCount(&n);
  if (error == cudaSuccess && index < n)
    error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess || index >= n) {
    snprintf(info->name, sizeof info->name, "NVIDIA GPU");
    snprintf(info->reason, sizeof info->reason, "%s",
             error != cudaSuccess ? cudaGetErrorString(error) : "no such device");
    return LLQ_OK;
  }
  int sm = 10 * properties.major + properties.minor;
  snprintf(info->name, sizeof info->name, "%.*s", (int)sizeof info->name - 1, properties.name);
  snprintf(info->arch, sizeof info->arch, "%s", sm == SM_HOPPER ? "sm90" : "sm80");
  info->memory_bytes = properties.totalGlobalMem;
  info->n_units = properties.multiProcessorCount;
  info->usable = sm >= SM_OLDEST;
  if (!info->usable)
    snprintf(info->reason, sizeof info->reason, "compute capability %d.%d, at least 8.0 is needed",
             properties.major, properties.minor);
  size_t free_bytes, total;
  if (info->usable && cudaSetDevice(index) == cudaSuccess &&
      cudaMemGetInfo(&free_bytes, &total) == cudaSuccess)
    info->memory_free_bytes = free_bytes;
  return LLQ_OK;
}

static int choose_kernels(struct cuda_device *device, const llq_device_info *info,
                          const char *arch) {
  if (arch == NULL)
    arch = info->arch;
  if (strcmp(arch, "sm80") != 0 && strcmp(arch, "sm90") != 0)
    return cuda_error(LLQ_ERROR_ARGUMENT, "cuda: arch '%s' is not known: sm80 and sm90 are", arch);
  if (strcmp(arch, "sm90") == 0 && strcmp(info->arch, "sm90") != 0)
    return cuda_error(LLQ_ERROR_DEVICE, "cuda:%d: %s cannot run the kernels of sm90", device->index,
                      info->name);
  device->sm = strcmp(arch, "sm90") == 0 ? SM_HOPPER : SM_OLDEST;
  device->n_units = info->n_units;
  return LLQ_OK;
}

static void close_device(void *self) {
  struct cuda_device *device = self;
  if (device->stream != NULL)
    cudaStreamDestroy(device->stream);
  cudaFree(device->batch_memory);
  cudaFree(device->counters);
  cudaFree(device->scratch.memory);
  cudaFree(device->inputs.memory);
  cudaFree(device->ordered.memory);
  cudaFree(device->gates.memory);
  cuda_staging_close(device->staging);
  cuda_profile_close(device->profile);
  cuda_library_close(device->library);
  cuda_algebra_close(device->algebra);
  free(device);
}

static int start(struct cuda_device *device, const llq_device_info *info, const char *arch) {
  int status = choose_kernels(device, info, arch);
  if (status < 0)
    return status;
  CUDA_TRY(device, cudaSetDevice(device->index));
  CUDA_TRY(device, cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking));
  size_t size = CUDA_N_COUNTERS * sizeof *device->counters;
  CUDA_TRY(device, cudaMalloc((void **)&device->counters, size));
  CUDA_TRY(device, cudaMemsetAsync(device->counters, 0, size, device->stream));
  return cuda_library_open(&device->library, device, 0);
}

static int open_device(void **self, int index, const llq_backend_options *options) {
  llq_device_info info = LLQ_DEVICE_INFO_INIT;
  describe(index, &info);
  if (!info.usable)
    return cuda_error(LLQ_ERROR_DEVICE, "cuda:%d: %s", index, info.reason);
  struct cuda_device *device = calloc(1, sizeof *device);
  if (device == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  device->index = index;
  int status = start(device, &info, options != NULL ? options->arch : NULL);
  if (status < 0) {
    close_device(device);
    return status;
  }
  *self = device;
  return LLQ_OK;
}

const llq_backend_registry cuda_registry = {
    .struct_size = sizeof(llq_backend_registry),
    .name = "cuda",
    .count = count,
    .describe = describe,
    .open = open_device,
    .close = close_device,
};
