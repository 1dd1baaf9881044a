/* SPDX-License-Identifier: Apache-2.0 */
/* Named tensors from mapped safetensors files: one, or shards with an index.
   Every header is checked before its tensors can be seen. */
#ifndef LLQI_CHECKPOINT_CHECKPOINT_H
#define LLQI_CHECKPOINT_CHECKPOINT_H

#include <stddef.h>

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

#endif
