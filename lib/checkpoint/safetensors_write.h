/* SPDX-License-Identifier: Apache-2.0 */
/* Writing safetensors files. */
#ifndef LLQI_CHECKPOINT_SAFETENSORS_WRITE_H
#define LLQI_CHECKPOINT_SAFETENSORS_WRITE_H

#include <stddef.h>

#include "base/file.h"
#include "tensor/tensor.h"

/* Begins a file: its header. After it, the caller writes the tensors' bytes
   (n_bytes of each, in the order given) and commits; `data` is not looked at.
   Tensors of larger types must come first, so that all lie aligned. On failure
   the writer is aborted. */
int llqi_safetensors_begin(struct llqi_writer *writer, const char *path,
                           const struct llqi_tensor *const *tensors,
                           size_t n_tensors);

#endif
