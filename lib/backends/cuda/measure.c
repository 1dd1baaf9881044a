/* SPDX-License-Identifier: Apache-2.0 */
/* What the device moves and multiplies: medians of a few rounds, over much more
   memory than its caches hold, and of large square products by cuBLASLt. */
#include <stdint.h>
#include <stdlib.h>

#include "backends/cuda/common/rates.h"
#include "backends/cuda/library.h"

#define N_ROUNDS 7
#define SIZE ((size_t)2 << 30)
#define UPLOAD_SIZE ((size_t)256 << 20)
#define PRODUCT_SIZE 8192
/* Products of a round: a chip that has just been idle is not yet at its clock. */
#define N_PRODUCTS 8

/* Memory and events of a measurement. */
struct bench {
  struct cuda_device *device;
  struct cuda_library *library; /* takes the fastest algorithm it knows */
  char *memory;                 /* 2 * SIZE */
  char *host;                   /* UPLOAD_SIZE, pageable */
  enum cuda_library_type type;  /* of the product that is timed */
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

/* Operands are the uploaded bytes, which mean small numbers in every type. */
static struct cuda_matmul product_of(const struct bench *bench) {
  return (struct cuda_matmul){
      .type = bench->type,
      .n_rows = PRODUCT_SIZE,
      .n_out = PRODUCT_SIZE,
      .n_in = PRODUCT_SIZE,
      .out_stride = PRODUCT_SIZE,
      .x = bench->memory,
      .w = bench->memory + UPLOAD_SIZE / 2,
      .out = bench->memory + SIZE,
  };
}

static int multiply(struct bench *bench) {
  const struct cuda_matmul product = product_of(bench);
  for (int i = 0; i < N_PRODUCTS; i++)
    CUDA_PASS(cuda_library_matmul(bench->library, bench->device->stream, &product));
  return LLQ_OK;
}

/* *rate is 0 if cuBLASLt cannot. */
static int measure_products(struct bench *bench, enum cuda_library_type type, double *rate) {
  const double n = PRODUCT_SIZE;
  double seconds;
  bench->type = type;
  *rate = 0;
  const struct cuda_matmul product = product_of(bench);
  if (!cuda_library_has(bench->library, &product))
    return LLQ_OK;
  CUDA_PASS(time_work(bench, multiply, &seconds));
  *rate = N_PRODUCTS * 2 * n * n * n / seconds;
  return LLQ_OK;
}

static int measure_all(struct bench *bench, llq_device_rates *rates) {
  struct cuda_device *device = bench->device;
  double seconds;
  int status = time_work(bench, upload, &seconds);
  if (status < 0)
    return status;
  rates->upload_bytes = (double)UPLOAD_SIZE / seconds;
  CUDA_PASS(measure_products(bench, CUDA_LIBRARY_BF16, &rates->bf16_operations));
  CUDA_PASS(measure_products(bench, CUDA_LIBRARY_FP8_SUMS, &rates->fp8_operations));
  CUDA_PASS(measure_products(bench, CUDA_LIBRARY_INT8_SUMS, &rates->int8_operations));
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

/* Bytes from xorshift with bit 6 cleared: below 2 as E4M3 and as the upper half
   of a BF16. Equal bytes would need less power, and clocks would be too high. */
static void fill(char *bytes) {
  uint64_t state = 0x9e3779b97f4a7c15u, *words = (uint64_t *)(void *)bytes;
  for (size_t i = 0; i < UPLOAD_SIZE / sizeof *words; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    words[i] = state & 0xbfbfbfbfbfbfbfbfu;
  }
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
  fill(bench->host);
  CUDA_TRY(device, cudaEventCreate(&bench->from));
  CUDA_TRY(device, cudaEventCreate(&bench->to));
  return cuda_library_open(&bench->library, device, CUDA_LIBRARY_TUNES | CUDA_LIBRARY_FAST_SUMS);
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
  cuda_library_close(bench.library);
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
