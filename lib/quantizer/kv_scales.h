/* SPDX-License-Identifier: Apache-2.0 */
/* The scales of a KV cache in 8 bits, from calibration. */
#ifndef LLQI_QUANTIZER_KV_SCALES_H
#define LLQI_QUANTIZER_KV_SCALES_H

#include "quantizer/streams.h"

/* Sends all samples through a finished layer, and sets its scales by the largest
   keys and values that it makes of those of calibration.
   calibrator  has operations of calibration
   kv_dtype    LLQ_F8_E4M3 or LLQ_I8
   advance     as of llqi_streams_run() */
int llqi_kv_scales_find(struct llqi_streams *streams, llq_backend *calibrator,
                        struct llqi_layer *layer, int kv_dtype, int advance);

#endif
