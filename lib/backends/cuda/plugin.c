/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's one exported symbol, and its errors. */
#include <stdarg.h>
#include <stdio.h>

#include "backends/cuda/cuda.h"

const llq_host *llq_cuda_host;

int cuda_error(int status, const char *format, ...) {
  char message[900];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return llq_cuda_host->fail(status, message);
}

int cuda_fail(const struct cuda_device *device, cudaError_t error, const char *what) {
  int status = error == cudaErrorMemoryAllocation ? LLQ_ERROR_MEMORY : LLQ_ERROR_DEVICE;
  return cuda_error(status, "cuda:%d: %s: %s (%s)", device->index, what, cudaGetErrorName(error),
                    cudaGetErrorString(error));
}

__attribute__((visibility("default"))) const llq_backend_table *
llq_backend_entry(const llq_host *host, uint32_t abi) {
  static const llq_backend_table table = {
      .abi = LLQ_BACKEND_ABI,
      .keeps_weight = 0,
      .registry = &cuda_registry,
      .memory = &cuda_memory,
      .ops = &cuda_ops,
      .fused = &cuda_fused,
      .calibration = &cuda_calibration,
      .tools = &cuda_tools,
  };
  if (abi != LLQ_BACKEND_ABI)
    return NULL;
  llq_cuda_host = host;
  return &table;
}
