/* SPDX-License-Identifier: Apache-2.0 */
/* Where libllq's own files are, though it may have been moved since it was
   installed. */
#ifndef LLQI_BASE_PLACE_H
#define LLQI_BASE_PLACE_H

#include <stddef.h>

/* The directory that this code was loaded from; 0 if unknown. */
int llqi_own_directory(char *out, size_t size);

/* The directory of llq-micro: $LLQ_DATA, else the share/libllq that goes with
   libllq.so's lib/, else the configured one. The caller's to llqi_free; NULL
   when memory is out. */
char *llqi_data_directory(void);

#endif
