/* SPDX-License-Identifier: Apache-2.0 */
/* Models without files: weights drawn for a shape. */
#ifndef LLQI_MODEL_RANDOM_H
#define LLQI_MODEL_RANDOM_H

#include "model/model.h"

/* Fills in an empty model.
 *  shape  a name that llqi_config_known() knows, or a config.json's path
 *
 *  Weights are normal with mean 0 and deviation 0.02, norms are 1; the same
 *  seed and shape give the same model. Weights lie one after another in
 *  virtual memory that repeats one block of at most 256 MiB: a model up to
 *  that size has weights of its own throughout, and a larger one has the true
 *  shapes and, each time a token passes, the true number of bytes to read at
 *  as many addresses, in no more memory than the block (which is beyond the
 *  caches of most CPUs). */
int llqi_model_draw(llq_model *model, const char *shape, uint64_t seed);

#endif
