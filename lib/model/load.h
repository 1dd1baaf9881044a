/* SPDX-License-Identifier: Apache-2.0 */
/* From named tensors to a Llama's parts. */
#ifndef LLQI_MODEL_LOAD_H
#define LLQI_MODEL_LOAD_H

#include "model/model.h"

/* Fills in the parts of a model whose config and checkpoint are there; every
   tensor's shape and type is checked against the config. */
int llqi_model_load(llq_model *model);

/* The sizes of a linear that the config makes. */
void llqi_linear_shape(const struct llqi_config *config,
                       enum llqi_linear linear, int64_t *n_out, int64_t *n_in);

/* The tensor of a name: it must be there, and have exactly this shape. */
int llqi_load_tensor(const llq_model *model, const char *name, int n_dims,
                     const int64_t *shape, struct llqi_tensor *out);

/* The same, with the name "<prefix>.<suffix>". */
int llqi_load_part(const llq_model *model, const char *prefix,
                   const char *suffix, int n_dims, const int64_t *shape,
                   struct llqi_tensor *out);

/* The same, of exactly this type. */
int llqi_load_typed(const llq_model *model, const char *prefix,
                    const char *suffix, int dtype, int n_dims,
                    const int64_t *shape, struct llqi_tensor *out);

/* Sets a weight's group_index from a tensor of the group of each input: for
   activation order. Old files have -1 throughout where there is none. */
int llqi_load_group_index(const llq_model *model, const char *prefix,
                          const char *suffix, llq_weight *weight);

/* 1 if there is a tensor "<prefix>.<suffix>". */
int llqi_has_part(const llq_model *model, const char *prefix,
                  const char *suffix);

/* A weight that is a tensor as it stands. */
llq_weight llqi_dense_weight(const struct llqi_tensor *tensor);

/* Fails unless a tensor is of F32, F16 or BF16. */
int llqi_check_float(const struct llqi_tensor *tensor);

#endif
