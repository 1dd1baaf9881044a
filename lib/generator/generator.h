/* SPDX-License-Identifier: Apache-2.0 */
/* What later stages ask of a generator beyond the public interface. */
#ifndef LLQI_GENERATOR_GENERATOR_H
#define LLQI_GENERATOR_GENERATOR_H

#include <llq/generator.h>

/* Tokens that its model knows: the width of a row of logits. */
size_t llqi_generator_n_vocab(const llq_generator *generator);

#endif
