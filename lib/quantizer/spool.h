/* SPDX-License-Identifier: Apache-2.0 */
/* Finished layers in files of their own, so that the memory of quantizing is
   that of a layer and not of the model, and work that was cut off can go on. */
#ifndef LLQI_QUANTIZER_SPOOL_H
#define LLQI_QUANTIZER_SPOOL_H

#include "base/hash.h"
#include "quantizer/layer.h"

struct llqi_spool {
  const char *directory;
  char key[LLQI_HASH_TEXT_SIZE]; /* of all that the layers depend on */
};

/* Writes a layer that was made of `from`, whole or not at all. */
int llqi_spool_write(const struct llqi_spool *spool, int64_t number,
                     const struct llqi_layer *from,
                     const struct llqi_layer *layer,
                     const struct llqi_outcome *outcomes);

/* Lets `layer`, a copy of `from`, point into a layer's file, which is mapped
   and owned by the model. *found: 0 if there is none with this key. */
int llqi_spool_read(const struct llqi_spool *spool, int64_t number,
                    const struct llqi_choice *choices,
                    const struct llqi_layer *from, llq_model *owner,
                    struct llqi_layer *layer, struct llqi_outcome *outcomes,
                    int *found);

/* Removes the files of n_layers layers. */
void llqi_spool_remove(const struct llqi_spool *spool, int64_t n_layers);

#endif
