/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces that a GGUF file's header is made of. Each reader fails where the
   file ends too early. */
#ifndef LLQI_CHECKPOINT_GGUF_READ_H
#define LLQI_CHECKPOINT_GGUF_READ_H

#include <stddef.h>
#include <stdint.h>

struct llqi_gguf_cursor {
  const char *path;
  const unsigned char *at, *end;
};

struct llqi_gguf_value {
  char *key;
  uint32_t type, element; /* element: of an array */
  uint64_t n;             /* bytes of text, or elements */
  const unsigned char *data;
};

int llqi_gguf_u32(struct llqi_gguf_cursor *cursor, uint32_t *out);
int llqi_gguf_u64(struct llqi_gguf_cursor *cursor, uint64_t *out);

/* Text without a NUL, copied; the caller's to llqi_free. */
int llqi_gguf_name(struct llqi_gguf_cursor *cursor, char **out);

/* A key and its value. */
int llqi_gguf_read_value(struct llqi_gguf_cursor *cursor,
                         struct llqi_gguf_value *out);

#endif
