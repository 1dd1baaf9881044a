/* SPDX-License-Identifier: Apache-2.0 */
/* Bulk copies of boxes of matrices to shared memory (TMA), and the barriers that
   count their bytes. Shared memory is addressed by the 32 bits that PTX takes. */
#ifndef LLQ_CUDA_TMA_CUH
#define LLQ_CUDA_TMA_CUH

#include <cuda.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "backends/cuda/common/instructions.cuh"

__device__ __forceinline__ void barrier_init(uint32_t barrier, uint32_t n_arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(n_arrivals));
}

/* After barrier_init(), before copies arrive. */
__device__ __forceinline__ void barrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/* Arrives, and makes the phase last until n more bytes were copied. */
__device__ __forceinline__ void barrier_expect(uint32_t barrier, uint32_t n_bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(n_bytes)
               : "memory");
}

/* Waits until the phase of this parity is over; a new barrier counts as if a
   phase of parity 1 had just ended. */
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
  asm volatile("{\n.reg .pred done;\nAGAIN:\n"
               "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
               "@done bra READY;\nbra AGAIN;\nREADY:\n}" ::"r"(barrier),
               "r"(parity)
               : "memory");
}

/* Between a thread's own use of shared memory and copies to the same place. */
__device__ __forceinline__ void copies_follow() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Has a map at hand for the copies to come. */
__device__ __forceinline__ void tma_prefetch(const CUtensorMap *map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* Copies the map's box at (column, row); elements outside become zeros. */
__device__ __forceinline__ void tma_load(uint32_t to, const CUtensorMap *map, int column, int row,
                                         uint32_t barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
               "l"(map), "r"(column), "r"(row), "r"(barrier)
               : "memory");
}

/* The same of what is read once. */
__device__ __forceinline__ void tma_load_once(uint32_t to, const CUtensorMap *map, int column,
                                              int row, uint32_t barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
               ".L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(to),
               "l"(map), "r"(column), "r"(row), "r"(barrier), "l"(read_once)
               : "memory");
}

/* A row-major matrix and the box of it that one copy takes. */
struct tma_matrix {
  const void *data; /* at a multiple of 16 bytes */
  CUtensorMapDataType type;
  int element_size;
  int64_t n_rows, n_cols; /* a row's bytes are a multiple of 16 */
  int box_rows, box_cols; /* at most 256 each */
  CUtensorMapSwizzle swizzle;
  /* What L2 fetches around what it lacks. */
  CUtensorMapL2promotion fetch = CU_TENSOR_MAP_L2_PROMOTION_L2_256B;
};

/* Describes a matrix for tma_load(). The driver's function is asked for by name:
   the plugin does not link libcuda. */
inline cudaError_t tma_describe(CUtensorMap *map, const tma_matrix &m) {
  using encode_function = decltype(&cuTensorMapEncodeTiled);
  static encode_function encode = nullptr;
  if (encode == nullptr) {
    void *found = nullptr;
    cudaDriverEntryPointQueryResult result;
    cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                         cudaEnableDefault, &result);
    if (error != cudaSuccess)
      return error;
    if (found == nullptr)
      return cudaErrorNotSupported;
    encode = reinterpret_cast<encode_function>(found);
  }
  cuuint64_t sizes[2] = {static_cast<cuuint64_t>(m.n_cols), static_cast<cuuint64_t>(m.n_rows)};
  cuuint64_t strides[1] = {static_cast<cuuint64_t>(m.n_cols * m.element_size)};
  cuuint32_t box[2] = {static_cast<cuuint32_t>(m.box_cols), static_cast<cuuint32_t>(m.box_rows)};
  cuuint32_t steps[2] = {1, 1};
  CUresult result =
      encode(map, m.type, 2, const_cast<void *>(m.data), sizes, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, m.swizzle, m.fetch, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

#endif
