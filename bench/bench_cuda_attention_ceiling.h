/* SPDX-License-Identifier: Apache-2.0 */
/* What bench_cuda_attention.cu holds times against: the rates of reading memory
   and of cuBLASLt's bf16 product, measured in the same run. */
#include <cublasLt.h>

#include "backends/cuda/common/rates.h"

struct ceilings {
  double bytes, operations; /* a second */
};

/* Seconds of a piece of work in the default stream, the median of nine. */
template <typename function> static double median_time(function work) {
  std::vector<float> times;
  cudaEvent_t start, end;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&end));
  for (int i = 0; i < 10; i++) {
    float milliseconds;
    CHECK(cudaEventRecord(start));
    work();
    CHECK(cudaEventRecord(end));
    CHECK(cudaEventSynchronize(end));
    CHECK(cudaEventElapsedTime(&milliseconds, start, end));
    if (i > 0)
      times.push_back(1e-3f * milliseconds);
  }
  CHECK(cudaEventDestroy(start));
  CHECK(cudaEventDestroy(end));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

static double measure_reading() {
  const size_t size = static_cast<size_t>(2) << 30;
  device_array<char> memory(size);
  CHECK(cudaMemset(memory.data, 0x5a, size));
  return static_cast<double>(size) /
         median_time([&] { CHECK(common_read_all(0, 132, memory.data, size, memory.data)); });
}

/* Of two square matrices; 0 if cuBLASLt has nothing for them. */
static double measure_multiplying() {
  const uint64_t n = 8192;
  const float one = 1, zero = 0;
  device_array<bf16> a(n * n), b(n * n), c(n * n);
  device_array<char> workspace(static_cast<size_t>(32) << 20);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t operation;
  cublasLtMatrixLayout_t layout;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t found;
  cublasOperation_t transposed = CUBLAS_OP_T;
  int n_found = 0;
  fill_random<<<1024, 256>>>(reinterpret_cast<uint32_t *>(a.data), a.n / 2, 4);
  fill_random<<<1024, 256>>>(reinterpret_cast<uint32_t *>(b.data), b.n / 2, 5);
  cublasLtCreate(&handle);
  cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                 sizeof transposed);
  cublasLtMatrixLayoutCreate(&layout, CUDA_R_16BF, n, n, static_cast<int64_t>(n));
  cublasLtMatmulPreferenceCreate(&preference);
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                       &workspace.n, sizeof workspace.n);
  cublasLtMatmulAlgoGetHeuristic(handle, operation, layout, layout, layout, layout, preference, 1,
                                 &found, &n_found);
  double seconds = n_found == 0 ? INFINITY : median_time([&] {
    for (int i = 0; i < 4; i++)
      cublasLtMatmul(handle, operation, &one, a.data, layout, b.data, layout, &zero, c.data, layout,
                     c.data, layout, &found.algo, workspace.data, workspace.n, 0);
  });
  CHECK(cudaDeviceSynchronize());
  cublasLtMatmulPreferenceDestroy(preference);
  cublasLtMatrixLayoutDestroy(layout);
  cublasLtMatmulDescDestroy(operation);
  cublasLtDestroy(handle);
  return 4 * 2.0 * static_cast<double>(n * n * n) / seconds;
}

static ceilings measure_ceilings() {
  ceilings c = {measure_reading(), measure_multiplying()};
  printf("ceilings: %.2f TB/s read, %.0f TFLOP/s by cuBLASLt's bf16 8192^3\n", 1e-12 * c.bytes,
         1e-12 * c.operations);
  return c;
}
