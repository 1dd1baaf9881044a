/* SPDX-License-Identifier: Apache-2.0 */
/* Options structs of callers that may be older or newer than the library. */
#ifndef LLQI_BASE_OPTIONS_H
#define LLQI_BASE_OPTIONS_H

#include <stddef.h>

/* Copies a caller's struct (whose first field is its size_t struct_size) over
   `ours`, which is zeroed first. `theirs` may be NULL: all defaults. Fields
   that a newer caller has and this library lacks must be zero. */
int llqi_options_copy(void *ours, size_t size, const void *theirs,
                      const char *name);

/* Copies as much of our filled-in struct to the caller's as its struct_size
   (already set there) has room for. */
int llqi_struct_return(void *theirs, const void *ours, size_t size,
                       const char *name);

#endif
