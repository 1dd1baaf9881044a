/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized weights from the tensors of compressed-tensors. */
#ifndef LLQI_MODEL_COMPRESSED_H
#define LLQI_MODEL_COMPRESSED_H

#include "model/compression.h"
#include "model/model.h"

/* Loads "<module>.weight_packed" or "<module>.weight", its scales, and what
   else `stored` says there is. What memory has in another layout than the file
   (zero points, 8-bit codes in words) is unpacked and owned by the model. */
int llqi_load_compressed(llq_model *model, const struct llqi_stored *stored,
                         const char *module, int64_t n_out, int64_t n_in,
                         llq_weight *out);

#endif
