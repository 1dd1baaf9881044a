/* SPDX-License-Identifier: Apache-2.0 */
/* Models from GGUF files. */
#ifndef LLQI_MODEL_GGUF_H
#define LLQI_MODEL_GGUF_H

#include "checkpoint/gguf.h"
#include "model/model.h"

/* What config.json would say of the model in a file; refuses by name what is
   not supported. Rope factors must be those of Llama 3's formula. */
int llqi_gguf_config(const struct llqi_gguf *gguf, struct llqi_config *out);

/* Fills in a new model from a file. Weights keep their codes where w = code *
   scale: Q4_0 as int4, Q5_0, Q8_0 and Q6_K as int8, with F32 scales so that no
   product is rounded; others become F32. The rows of q and k, which GGUF has in
   another order, get theirs back. */
int llqi_model_open_gguf(llq_model *model, const char *path);

/* The file that a model, or the one that it was made of, came from; or NULL. */
const struct llqi_gguf *llqi_model_gguf(const llq_model *model);

#endif
