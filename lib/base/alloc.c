/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static atomic_long n_allocations;
static atomic_long failing; /* 0: none */
static atomic_int failing_forever;

void llqi_alloc_fail_at(long n, int forever) {
  atomic_store(&n_allocations, 0);
  atomic_store(&failing, n);
  atomic_store(&failing_forever, forever);
}

long llqi_alloc_count(void) {
  return atomic_load(&n_allocations);
}

static int must_fail(void) {
  long nth = atomic_fetch_add(&n_allocations, 1) + 1;
  long first = atomic_load(&failing);
  return first > 0 &&
         (nth == first || (nth > first && atomic_load(&failing_forever)));
}

static void *out_of_memory(size_t size) {
  llqi_fail(LLQ_ERROR_MEMORY, "out of memory: %zu bytes wanted", size);
  return NULL;
}

static int product(size_t n, size_t size, size_t *bytes) {
  return !__builtin_mul_overflow(n, size, bytes) && *bytes <= PTRDIFF_MAX;
}

void *llqi_alloc(size_t size) {
  void *memory = must_fail() ? NULL : malloc(size > 0 ? size : 1);
  return memory != NULL ? memory : out_of_memory(size);
}

void *llqi_array(size_t n, size_t size) {
  size_t bytes;
  return product(n, size, &bytes) ? llqi_alloc(bytes) : out_of_memory(SIZE_MAX);
}

void *llqi_calloc(size_t n, size_t size) {
  size_t bytes;
  if (!product(n, size, &bytes))
    return out_of_memory(SIZE_MAX);
  void *memory = must_fail() ? NULL : calloc(bytes > 0 ? bytes : 1, 1);
  return memory != NULL ? memory : out_of_memory(bytes);
}

void *llqi_resize(void *memory, size_t n, size_t size) {
  size_t bytes;
  if (!product(n, size, &bytes))
    return out_of_memory(SIZE_MAX);
  void *grown = must_fail() ? NULL : realloc(memory, bytes > 0 ? bytes : 1);
  return grown != NULL ? grown : out_of_memory(bytes);
}

void *llqi_alloc_aligned(size_t n, size_t size) {
  size_t bytes;
  if (!product(n, size, &bytes) || bytes > PTRDIFF_MAX - LLQI_ALIGNMENT)
    return out_of_memory(SIZE_MAX);
  size_t rounded = (bytes + LLQI_ALIGNMENT - 1) / LLQI_ALIGNMENT;
  rounded = (rounded > 0 ? rounded : 1) * LLQI_ALIGNMENT;
  void *memory = must_fail() ? NULL : aligned_alloc(LLQI_ALIGNMENT, rounded);
  return memory != NULL ? memory : out_of_memory(bytes);
}

char *llqi_strndup(const char *text, size_t length) {
  char *copy = llqi_alloc(length + 1);
  if (copy == NULL)
    return NULL;
  memcpy(copy, text, length);
  copy[length] = '\0';
  return copy;
}

char *llqi_strdup(const char *text) {
  return llqi_strndup(text, strlen(text));
}

void llqi_free(void *memory) {
  free(memory);
}

void llq_free(void *memory) {
  llqi_free(memory);
}
