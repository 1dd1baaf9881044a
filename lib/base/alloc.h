/* SPDX-License-Identifier: Apache-2.0 */
/* The library's only way to memory, so that tests can make it run out. */
#ifndef LLQI_BASE_ALLOC_H
#define LLQI_BASE_ALLOC_H

#include <stddef.h>

/* SIMD kernels and weight rows rely on this alignment. */
#define LLQI_ALIGNMENT 64

/* Each returns NULL, with the message set, when memory runs out or n * size
   overflows. A size of 0 gives memory that may be freed. */
void *llqi_alloc(size_t size);
void *llqi_calloc(size_t n, size_t size);               /* zeroed */
void *llqi_array(size_t n, size_t size);                /* not zeroed */
void *llqi_resize(void *memory, size_t n, size_t size); /* NULL: old stays */
char *llqi_strdup(const char *text);
char *llqi_strndup(const char *text, size_t length);

/* Aligned to LLQI_ALIGNMENT, not zeroed; llqi_free frees it too. */
void *llqi_alloc_aligned(size_t n, size_t size);

void llqi_free(void *memory);

/* For tests: the n-th allocation from now on fails (1 = the next), and, with
   `forever`, all after it too. 0 switches this off. */
void llqi_alloc_fail_at(long n, int forever);

/* For tests: how many allocations there were since the last fail_at. */
long llqi_alloc_count(void);

#endif
