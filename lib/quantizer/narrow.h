/* SPDX-License-Identifier: Apache-2.0 */
/* Narrower ranges for codes of whole rows. */
#ifndef LLQI_QUANTIZER_NARROW_H
#define LLQI_QUANTIZER_NARROW_H

#include "quantizer/grid.h"
#include "quantizer/inputs.h"

/* Sets the grids of w [n_out, n_in], one a row: of the observer's ranges the one
   with which a row's outputs of the sampled inputs lose the least. What a grid
   of groups has in blocks of second moments would be n_in * n_in numbers for
   each row. Fails as llqi_grid_observe() does. */
int llqi_grid_narrow(struct llqi_grid *grid,
                     const struct llqi_observer *observer, const float *w,
                     const struct llqi_input_sample *sample,
                     struct llqi_threads *threads);

#endif
