/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from pageable host memory, such as a mapped checkpoint, and to it: a
   few threads copy pieces into pinned memory, from where the device fetches
   them while the next are copied; or the other way round. One thread alone
   would copy at a fraction of what PCIe carries. Uploads of one piece need no
   other thread: they take the lanes' places in turn, and wait only for a place
   that the device has not fetched yet. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cuda/cuda.h"

#define N_LANES 12
#define PIECE ((size_t)2 << 20)

struct cuda_staging {
  char *pinned; /* N_LANES pieces */
  cudaEvent_t fetched[N_LANES];
  int next; /* the lane whose place the next upload of one piece takes */
};

/* A thread's share of a copy: pieces number, number + N_LANES, ... */
struct lane {
  struct cuda_device *device;
  int number;
  char *to;
  const char *from;
  size_t size;
  cudaError_t (*copy)(struct lane *lane, size_t at); /* a piece */
  cudaError_t error;
};

static cudaError_t upload_piece(struct lane *lane, size_t at) {
  struct cuda_staging *staging = lane->device->staging;
  char *pinned = staging->pinned + (size_t)lane->number * PIECE;
  cudaEvent_t fetched = staging->fetched[lane->number];
  size_t n = lane->size - at < PIECE ? lane->size - at : PIECE;
  cudaError_t error = cudaEventSynchronize(fetched);
  if (error != cudaSuccess)
    return error;
  memcpy(pinned, lane->from + at, n);
  error = cudaMemcpyAsync(lane->to + at, pinned, n, cudaMemcpyHostToDevice, lane->device->stream);
  return error != cudaSuccess ? error : cudaEventRecord(fetched, lane->device->stream);
}

/* What was uploaded from the same place before, has left it by then. */
static cudaError_t download_piece(struct lane *lane, size_t at) {
  struct cuda_staging *staging = lane->device->staging;
  char *pinned = staging->pinned + (size_t)lane->number * PIECE;
  cudaEvent_t fetched = staging->fetched[lane->number];
  cudaStream_t stream = lane->device->stream;
  size_t n = lane->size - at < PIECE ? lane->size - at : PIECE;
  cudaError_t error = cudaMemcpyAsync(pinned, lane->from + at, n, cudaMemcpyDeviceToHost, stream);
  if (error == cudaSuccess)
    error = cudaEventRecord(fetched, stream);
  if (error == cudaSuccess)
    error = cudaEventSynchronize(fetched);
  if (error == cudaSuccess)
    memcpy(lane->to + at, pinned, n);
  return error;
}

static void *run_lane(void *argument) {
  struct lane *lane = argument;
  lane->error = cudaSetDevice(lane->device->index);
  for (size_t at = (size_t)lane->number * PIECE; at < lane->size && lane->error == cudaSuccess;
       at += N_LANES * PIECE)
    lane->error = lane->copy(lane, at);
  return NULL;
}

void cuda_staging_close(struct cuda_staging *staging) {
  if (staging == NULL)
    return;
  for (int i = 0; i < N_LANES; i++)
    if (staging->fetched[i] != NULL)
      cudaEventDestroy(staging->fetched[i]);
  cudaFreeHost(staging->pinned);
  free(staging);
}

static int open_staging(struct cuda_device *device) {
  if (device->staging != NULL)
    return LLQ_OK;
  struct cuda_staging *staging = calloc(1, sizeof *staging);
  if (staging == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  cudaError_t error = cudaMallocHost((void **)&staging->pinned, N_LANES * PIECE);
  for (int i = 0; i < N_LANES && error == cudaSuccess; i++)
    error = cudaEventCreateWithFlags(&staging->fetched[i], cudaEventDisableTiming);
  if (error != cudaSuccess) {
    cuda_staging_close(staging);
    return cuda_fail(device, error, "pinned memory for copies");
  }
  device->staging = staging;
  return LLQ_OK;
}

static int copy(struct cuda_device *device, void *to, const void *from, size_t size,
                cudaError_t (*copy_piece)(struct lane *lane, size_t at)) {
  struct lane lanes[N_LANES];
  pthread_t threads[N_LANES];
  int is_thread[N_LANES];
  int status = open_staging(device);
  if (status < 0)
    return status;
  for (int i = 0; i < N_LANES; i++) {
    lanes[i] = (struct lane){device, i, to, from, size, copy_piece, cudaSuccess};
    is_thread[i] = pthread_create(&threads[i], NULL, run_lane, &lanes[i]) == 0;
    if (!is_thread[i])
      run_lane(&lanes[i]);
  }
  for (int i = 0; i < N_LANES; i++)
    if (is_thread[i])
      pthread_join(threads[i], NULL);
  for (int i = 0; i < N_LANES; i++)
    CUDA_TRY(device, lanes[i].error);
  return LLQ_OK;
}

static int upload_small(struct cuda_device *device, void *to, const void *from, size_t size) {
  int status = open_staging(device);
  if (status < 0)
    return status;
  int *next = &device->staging->next;
  struct lane lane = {.device = device, .number = *next, .to = to, .from = from, .size = size};
  *next = (*next + 1) % N_LANES;
  CUDA_TRY(device, upload_piece(&lane, 0));
  return LLQ_OK;
}

int cuda_staging_upload(struct cuda_device *device, void *to, const void *from, size_t size) {
  if (size <= PIECE)
    return upload_small(device, to, from, size);
  return copy(device, to, from, size, upload_piece);
}

int cuda_staging_download(struct cuda_device *device, void *to, const void *from, size_t size) {
  return copy(device, to, from, size, download_piece);
}
