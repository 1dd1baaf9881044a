/* SPDX-License-Identifier: Apache-2.0 */
/* What a linear's outputs lost. */
#ifndef LLQI_QUANTIZER_MEASURE_H
#define LLQI_QUANTIZER_MEASURE_H

#include "quantizer/layer.h"

/* Fills in a quantized linear's error and power: over the sampled rows of its
   input, what it gives on the backend (quantized inputs included) beside what
   the original gives. */
int llqi_measure(struct llqi_layer_job *job, int linear);

#endif
