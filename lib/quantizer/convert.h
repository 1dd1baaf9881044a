/* SPDX-License-Identifier: Apache-2.0 */
/* Float tensors from one type to another. */
#ifndef LLQI_QUANTIZER_CONVERT_H
#define LLQI_QUANTIZER_CONVERT_H

#include "base/threads.h"
#include "model/model.h"

/* A dense bf16 weight from a dense one of finite values; *out stays as it is if
   that is bf16 already. */
int llqi_convert_weight(llq_model *owner, struct llqi_threads *threads,
                        const llq_weight *from, llq_weight *out);

/* Gives `result`, whose decoder linears are bf16, everything else of `base` in
   bf16 too: embedding, norms, output matrix, and what its config says. What is
   bf16 already stays the base's. */
int llqi_convert_rest(const llq_model *base, struct llqi_threads *threads,
                      llq_model *result);

#endif
