/* SPDX-License-Identifier: Apache-2.0 */
/* Launching kernels that overlap with the one before (programmatic dependent
   launch, sm_90).

   The rule that makes a chain of them correct: every thread block calls
   dependency_wait() before it reads or writes anything that another kernel of
   the chain writes or reads, and at the latest before it ends; until then it
   may read only constants (weights, norms, tables). dependency_wait() returns
   when all kernels before this one have ended and their writes are visible.
   dependency_release() lets the next kernel start early, to fetch its own
   constants; it promises nothing about this kernel's writes. */
#ifndef LLQ_CUDA_LAUNCH_CUH
#define LLQ_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

#include "backends/cuda/kernels.h"

__device__ __forceinline__ void dependency_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void dependency_release() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* Kernels of a chain divide a multiprocessor's memory alike: it must be idle to
   be divided otherwise, and then a kernel could not start beside the one before. */
template <class Kernel> cudaError_t divide_alike(const cuda_launch *launch, Kernel kernel) {
  return launch->overlaps
             ? cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                    cudaSharedmemCarveoutMaxShared)
             : cudaSuccess;
}

template <typename... Parameters, typename... Arguments>
cudaError_t launch_kernel(const cuda_launch *launch, void (*kernel)(Parameters...), dim3 grid,
                          dim3 block, size_t shared_size, Arguments &&...arguments) {
  cudaError_t error = divide_alike(launch, kernel);
  if (error != cudaSuccess)
    return error;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_size;
  config.stream = launch->stream;
  config.attrs = &attribute;
  config.numAttrs = launch->overlaps ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

#endif
