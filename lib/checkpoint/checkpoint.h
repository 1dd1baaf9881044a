/* SPDX-License-Identifier: Apache-2.0 */
/* Named tensors from mapped safetensors files: one, or shards with an index.
   Every header is checked before its tensors can be seen. */
#ifndef LLQI_CHECKPOINT_CHECKPOINT_H
#define LLQI_CHECKPOINT_CHECKPOINT_H

#include <stddef.h>

#include "base/text.h"
#include "tensor/tensor.h"

struct llqi_checkpoint;

/* Opens what a directory has: model.safetensors, or the shards that
   model.safetensors.index.json names. */
int llqi_checkpoint_open(struct llqi_checkpoint **out, const char *directory);
void llqi_checkpoint_close(struct llqi_checkpoint *checkpoint);

size_t llqi_checkpoint_n_tensors(const struct llqi_checkpoint *checkpoint);
const struct llqi_tensor *
llqi_checkpoint_at(const struct llqi_checkpoint *checkpoint, size_t index);

/* By name; NULL if there is none. */
const struct llqi_tensor *
llqi_checkpoint_find(const struct llqi_checkpoint *checkpoint,
                     const char *name);

/* Gives the memory of n bytes at `data` back until they are read again, if they
   are of this checkpoint's files; 0 if not. */
int llqi_checkpoint_forget(const struct llqi_checkpoint *checkpoint,
                           const void *data, size_t n);

/* Appends the files' paths, sizes and times of their last change. */
int llqi_checkpoint_describe(const struct llqi_checkpoint *checkpoint,
                             struct llqi_text *text);

#endif
