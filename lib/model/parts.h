/* SPDX-License-Identifier: Apache-2.0 */
/* A model as the named tensors of a checkpoint. */
#ifndef LLQI_MODEL_PARTS_H
#define LLQI_MODEL_PARTS_H

#include "model/layout.h"
#include "model/model.h"

struct llqi_part;

/* Makes rows `first` to first + n - 1 of a part's stored shape. */
typedef int llqi_part_rows(const struct llqi_part *part, int64_t first,
                           int64_t n, void *rows);

struct llqi_part {
  struct llqi_tensor tensor; /* its name is the part's own */
  const llq_weight *weight;
  llqi_part_rows *rows; /* NULL: the bytes are `tensor.data` */
};

struct llqi_parts {
  struct llqi_part *parts;
  size_t n, capacity;
};

/* Lists what a model is written as in a layout: names, types, shapes and sizes
   as in Hugging Face's. */
int llqi_parts_list(const llq_model *model, const struct llqi_layout_plan *plan,
                    struct llqi_parts *out);
void llqi_parts_free(struct llqi_parts *parts);

/* For those who list a kind of weight: adds a part of this type and shape;
   one dimension if cols is 0. */
int llqi_parts_add(struct llqi_parts *parts, const char *module,
                   const char *suffix, int dtype, int64_t rows, int64_t cols,
                   const void *data);
int llqi_parts_add_rows(struct llqi_parts *parts, const char *module,
                        const char *suffix, int dtype, int64_t n_rows,
                        int64_t n_cols, const llq_weight *weight,
                        llqi_part_rows *rows);

/* A quantized weight's parts, as compressed-tensors, GPTQ or AWQ has them. */
int llqi_parts_add_compressed(struct llqi_parts *parts, const char *module,
                              const llq_weight *weight);
int llqi_parts_add_gptq(struct llqi_parts *parts, const char *module,
                        const struct llqi_layout_plan *plan,
                        const llq_weight *weight);
int llqi_parts_add_awq(struct llqi_parts *parts, const char *module,
                       const struct llqi_layout_plan *plan,
                       const llq_weight *weight);

/* Writes a part's bytes. */
int llqi_part_write(const struct llqi_part *part, struct llqi_writer *writer);

#endif
