/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA plugin's own state, and how its functions fail. */
#ifndef LLQ_CUDA_H
#define LLQ_CUDA_H

#include <cuda_runtime_api.h>
#include <llq/backend.h>

#include "backends/cuda/kernels.h"

/* A device that a backend was opened on. */
struct cuda_device {
  int index;
  int sm; /* 10 * major + minor of the kernels in use */
  cudaStream_t stream;
  const struct cuda_kernels *kernels;

  /* A batch's description in device memory, grown as needed. */
  void *batch_memory;
  size_t batch_capacity;
};

extern const llq_host *llq_cuda_host;

/* The one exported symbol: an llq_backend_entry_fn. */
const llq_backend_table *llq_backend_entry(const llq_host *host, uint32_t abi);

/* Fails with "<what> (<device>): <CUDA's text>". */
int cuda_fail(const struct cuda_device *device, cudaError_t error,
              const char *what);

/* Fails with a formatted message of the plugin's own. */
int cuda_error(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define CUDA_TRY(device, call)                                                 \
  do {                                                                         \
    cudaError_t cuda_try_error = (call);                                       \
    if (cuda_try_error != cudaSuccess)                                         \
      return cuda_fail(device, cuda_try_error, #call);                         \
  } while (0)

/* The tables of llq_backend_table. */
extern const llq_backend_registry cuda_registry;
extern const llq_backend_memory cuda_memory;
extern const llq_backend_ops cuda_ops;

/* Weights on the device. */
int cuda_linear_upload(void *self, const llq_weight *weight, int compute,
                       void **linear);
void cuda_linear_free(void *self, void *linear);

/* Copies a batch's rows and pages to the device, for kernels that need them. */
int cuda_batch_upload(struct cuda_device *device, const llq_batch *batch,
                      struct cuda_batch *out);

#endif
