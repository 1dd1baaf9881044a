/* SPDX-License-Identifier: Apache-2.0 */
/* A model as the named tensors of a checkpoint. */
#ifndef LLQI_MODEL_PARTS_H
#define LLQI_MODEL_PARTS_H

#include "model/model.h"

/* Where a part's bytes come from. */
enum llqi_part_source {
  LLQI_PART_DATA,         /* `tensor.data`, as it is */
  LLQI_PART_PACKED_BYTES, /* the weight's int8 codes, + 128, in words */
  LLQI_PART_PACKED_ZEROS, /* the weight's zero points, eight outputs a word */
  LLQI_PART_SHAPE         /* the weight's n_out and n_in */
};

struct llqi_part {
  struct llqi_tensor tensor; /* its name is the part's own */
  enum llqi_part_source source;
  const llq_weight *weight;
};

struct llqi_parts {
  struct llqi_part *parts;
  size_t n, capacity;
};

/* Lists what a model is written as: names, types, shapes and sizes of
   Hugging Face's layout and compressed-tensors. */
int llqi_parts_list(const llq_model *model, struct llqi_parts *out);
void llqi_parts_free(struct llqi_parts *parts);

/* Writes a part's bytes. */
int llqi_part_write(const struct llqi_part *part, struct llqi_writer *writer);

#endif
