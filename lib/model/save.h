/* SPDX-License-Identifier: Apache-2.0 */
/* Models as directories. */
#ifndef LLQI_MODEL_SAVE_H
#define LLQI_MODEL_SAVE_H

#include "model/layout.h"
#include "model/model.h"

/* The config.json of a model as it is written in a layout, with its
   quantization_config. *out is the caller's to json_decref. */
int llqi_config_json(const llq_model *model,
                     const struct llqi_layout_plan *plan, json_t **out);

/* The quantization_config of these layouts. */
int llqi_gptq_json(const llq_model *model, const struct llqi_layout_plan *plan,
                   json_t **out);
int llqi_awq_json(const llq_model *model, const struct llqi_layout_plan *plan,
                  json_t **out);

/* llq_model_save() as compressed-tensors with shards of at most so many bytes (one tensor may be
   larger). */
int llqi_model_save(const llq_model *model, const char *directory,
                    uint64_t shard_bytes);

#endif
