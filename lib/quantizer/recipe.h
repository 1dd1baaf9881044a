/* SPDX-License-Identifier: Apache-2.0 */
/* A recipe: a scheme and a method for each linear, by patterns of its name.

     # outermost layers in 8 bits, what goes into the residual by GPTQ
     model.layers.*            w4a16-int
     *.[od]*_proj              w4a16-int gptq group-size=64
     model.layers.[01].*       w8a16-int
     model.layers.0.mlp.*      bf16

   Each line has a pattern (as of file names; a * takes dots too), a scheme, and
   maybe a method, group-size=N and asymmetric. Of several lines the last that
   fits decides; what none fits has the options' own, but the output matrix,
   "lm_head", stays as it is. A line "kv-cache fp8" or "kv-cache int8" is about
   the whole model. # begins a comment. */
#ifndef LLQI_QUANTIZER_RECIPE_H
#define LLQI_QUANTIZER_RECIPE_H

#include "quantizer/layer.h"

/* What a recipe changes. */
struct llqi_recipe {
  struct llqi_choice *choices; /* [n_layers, LLQI_N_LINEARS], and the output
                                  matrix's behind */
  int64_t n_layers;
  int kv_dtype;
};

/* options: where a line says nothing. Fails naming file and line, also if a
   line fits no linear. */
int llqi_recipe_apply(struct llqi_recipe *recipe, const char *path,
                      const llq_quantizer_options *options);

#endif
