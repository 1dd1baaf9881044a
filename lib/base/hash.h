/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, to name the exact files that a result came from. */
#ifndef LLQI_BASE_HASH_H
#define LLQI_BASE_HASH_H

#include <stddef.h>

#define LLQI_HASH_TEXT_SIZE 65 /* 64 hexadecimal digits and a NUL */

void llqi_hash_bytes(const void *bytes, size_t n,
                     char out[LLQI_HASH_TEXT_SIZE]);
int llqi_hash_file(const char *path, char out[LLQI_HASH_TEXT_SIZE]);

#endif
