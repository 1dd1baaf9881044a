/* SPDX-License-Identifier: Apache-2.0 */
/* One safetensors file: 8 bytes of header length, a JSON header, then the
   tensors' bytes. The file is hostile until its header has been checked. */
#ifndef LLQI_CHECKPOINT_SAFETENSORS_H
#define LLQI_CHECKPOINT_SAFETENSORS_H

#include <stddef.h>

#include "base/file.h"
#include "tensor/tensor.h"

struct llqi_safetensors {
  char *path;
  struct llqi_mapping mapping;
  struct llqi_tensor *tensors; /* names and `where` are this struct's */
  size_t n_tensors;
};

/* Maps a file and checks its whole header: every tensor's type is known, its
   bytes are inside the file, as many as its shape says, aligned to its type,
   and shared with no other. A tensor may have more dimensions than
   LLQI_TENSOR_DIMS_MAX: `shape` then has the first of them. */
int llqi_safetensors_open(struct llqi_safetensors *out, const char *path);
void llqi_safetensors_close(struct llqi_safetensors *file);

#endif
