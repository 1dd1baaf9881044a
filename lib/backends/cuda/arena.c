/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory for weights, in few large blocks: a model has thousands of
   tensors, and each allocation of its own would cost time and rounding. A block
   is given back when all that was taken from it is. */
#include <stdlib.h>

#include "backends/cuda/cuda.h"

#define BLOCK_SIZE ((size_t)64 << 20)
#define ALIGNMENT 256

struct cuda_block {
  struct cuda_block *next;
  char *memory;
  size_t size, used;
  size_t n_taken; /* still in use */
};

static int add_block(struct cuda_device *device, size_t size) {
  struct cuda_block *block = calloc(1, sizeof *block);
  if (block == NULL)
    return cuda_error(LLQ_ERROR_MEMORY, "cuda: out of host memory");
  block->size = size > BLOCK_SIZE ? size : BLOCK_SIZE;
  void *memory;
  int status = cuda_memory.alloc(device, block->size, &memory);
  if (status < 0) {
    free(block);
    return status;
  }
  block->memory = memory;
  block->next = device->blocks;
  device->blocks = block;
  return LLQ_OK;
}

int cuda_arena_take(struct cuda_device *device, size_t size, void **out) {
  struct cuda_block *block = device->blocks;
  size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  while (block != NULL && block->size - block->used < size)
    block = block->next;
  if (block == NULL) {
    int status = add_block(device, size);
    if (status < 0)
      return status;
    block = device->blocks;
  }
  *out = block->memory + block->used;
  block->used += size;
  block->n_taken++;
  return LLQ_OK;
}

void cuda_arena_give(struct cuda_device *device, void *memory) {
  struct cuda_block **at = &device->blocks;
  if (memory == NULL)
    return;
  while ((char *)memory < (*at)->memory || (char *)memory >= (*at)->memory + (*at)->size)
    at = &(*at)->next;
  struct cuda_block *block = *at;
  if (--block->n_taken > 0)
    return;
  *at = block->next;
  cudaFree(block->memory);
  free(block);
}
