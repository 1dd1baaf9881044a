/* SPDX-License-Identifier: Apache-2.0 */
/* What the device moves: medians of a few rounds over much more memory than its
   caches hold. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/cuda/common/rates.h"
#include "backends/cuda/cuda.h"

#define N_ROUNDS 7
#define SIZE ((size_t)2 << 30)
#define UPLOAD_SIZE ((size_t)256 << 20)

/* Memory and events of a measurement. */
struct bench {
  struct cuda_device *device;
  char *memory; /* 2 * SIZE */
  char *host;   /* UPLOAD_SIZE, pageable */
  cudaEvent_t from, to;
};

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The median time of a piece of work, in seconds, after one round unmeasured. */
static int time_work(struct bench *bench, int (*work)(struct bench *), double *seconds) {
  struct cuda_device *device = bench->device;
  double rounds[N_ROUNDS];
  for (int i = -1; i < N_ROUNDS; i++) {
    float milliseconds;
    CUDA_TRY(device, cudaEventRecord(bench->from, device->stream));
    int status = work(bench);
    if (status < 0)
      return status;
    CUDA_TRY(device, cudaEventRecord(bench->to, device->stream));
    CUDA_TRY(device, cudaEventSynchronize(bench->to));
    CUDA_TRY(device, cudaEventElapsedTime(&milliseconds, bench->from, bench->to));
    if (i >= 0)
      rounds[i] = 1e-3 * (double)milliseconds;
  }
  qsort(rounds, N_ROUNDS, sizeof *rounds, by_value);
  *seconds = rounds[N_ROUNDS / 2];
  return LLQ_OK;
}

static int read_memory(struct bench *bench) {
  struct cuda_device *device = bench->device;
  CUDA_TRY(device, common_read_all(device->stream, device->n_units, bench->memory, 2 * SIZE,
                                   bench->memory));
  return LLQ_OK;
}

static int copy_memory(struct bench *bench) {
  struct cuda_device *device = bench->device;
  CUDA_TRY(device, cudaMemcpyAsync(bench->memory, bench->memory + SIZE, SIZE,
                                   cudaMemcpyDeviceToDevice, device->stream));
  return LLQ_OK;
}

static int upload(struct bench *bench) {
  return cuda_memory.upload(bench->device, bench->memory, bench->host, UPLOAD_SIZE);
}

static int measure_all(struct bench *bench, llq_device_rates *rates) {
  struct cuda_device *device = bench->device;
  double seconds;
  int status = time_work(bench, upload, &seconds);
  if (status < 0)
    return status;
  rates->upload_bytes = (double)UPLOAD_SIZE / seconds;
  CUDA_TRY(device, cudaMemsetAsync(bench->memory, 0x5a, 2 * SIZE, device->stream));
  status = time_work(bench, read_memory, &seconds);
  if (status < 0)
    return status;
  rates->read_bytes = (double)(2 * SIZE) / seconds;
  status = time_work(bench, copy_memory, &seconds);
  if (status < 0)
    return status;
  rates->copy_bytes = (double)(2 * SIZE) / seconds;
  return LLQ_OK;
}

static int open_bench(struct bench *bench) {
  struct cuda_device *device = bench->device;
  void *memory;
  int status = cuda_memory.alloc(device, 2 * SIZE, &memory);
  if (status < 0)
    return status;
  bench->memory = memory;
  bench->host = malloc(UPLOAD_SIZE);
  if (bench->host == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  memset(bench->host, 1, UPLOAD_SIZE);
  CUDA_TRY(device, cudaEventCreate(&bench->from));
  CUDA_TRY(device, cudaEventCreate(&bench->to));
  return LLQ_OK;
}

static int cuda_measure(void *self, llq_device_rates *rates) {
  struct bench bench = {.device = self};
  int status = open_bench(&bench);
  if (status >= 0)
    status = measure_all(&bench, rates);
  if (bench.from != NULL)
    cudaEventDestroy(bench.from);
  if (bench.to != NULL)
    cudaEventDestroy(bench.to);
  cudaFree(bench.memory);
  free(bench.host);
  return status;
}

const llq_backend_tools cuda_tools = {
    .struct_size = sizeof(llq_backend_tools),
    .measure = cuda_measure,
    .profile = cuda_profile_switch,
    .profile_get = cuda_profile_get,
};
