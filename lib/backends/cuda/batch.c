/* SPDX-License-Identifier: Apache-2.0 */
/* A batch's segments, one entry for each row, in device memory. */
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/cuda.h"

void cuda_batch_rows(const llq_batch *batch, struct cuda_row *rows) {
  for (int s = 0; s < batch->n_segments; s++) {
    const llq_segment *segment = &batch->segments[s];
    for (int i = 0; i < segment->n_rows; i++)
      rows[segment->first_row + i] =
          (struct cuda_row){segment->first_page, segment->first_position + i};
  }
}

static int grow(struct cuda_device *device, size_t size) {
  if (size <= device->batch_capacity)
    return LLQ_OK;
  CUDA_TRY(device, cudaStreamSynchronize(device->stream));
  cudaFree(device->batch_memory);
  device->batch_memory = NULL;
  device->batch_capacity = 0;
  CUDA_TRY(device, cudaMalloc(&device->batch_memory, size));
  device->batch_capacity = size;
  return LLQ_OK;
}

int cuda_batch_upload(struct cuda_device *device, const llq_batch *batch, struct cuda_batch *out) {
  size_t rows_size = (size_t)batch->n_rows * sizeof(struct cuda_row);
  size_t pages_size = (size_t)batch->n_pages_listed * sizeof(int32_t);
  int status = grow(device, rows_size + pages_size);
  if (status < 0)
    return status;
  char *staging = malloc(rows_size + pages_size + 1);
  if (staging == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  cuda_batch_rows(batch, (struct cuda_row *)staging);
  memcpy(staging + rows_size, batch->pages, pages_size);
  /* Pageable memory: the copy has read it when the call returns. */
  cudaError_t error = cudaMemcpyAsync(device->batch_memory, staging, rows_size + pages_size,
                                      cudaMemcpyHostToDevice, device->stream);
  free(staging);
  CUDA_TRY(device, error);
  *out = (struct cuda_batch){.rows = device->batch_memory,
                             .pages = (const int32_t *)((char *)device->batch_memory + rows_size),
                             .n_rows = batch->n_rows,
                             .page_size = batch->page_size};
  return LLQ_OK;
}
