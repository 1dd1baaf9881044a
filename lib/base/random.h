/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: what is drawn depends on the key and the
   counter alone, never on what was drawn before. */
#ifndef LLQI_BASE_RANDOM_H
#define LLQI_BASE_RANDOM_H

#include <stdint.h>

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
   SC 2011): 128 bits of output for a 128-bit counter and a 64-bit key. */
void llqi_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]);

/* A double in [0, 1) with 53 random bits, for (key, a, b): for example a seed,
   a sequence's identity and a position in it. */
double llqi_uniform(uint64_t key, uint64_t a, uint64_t b);

/* Four standard normal floats for (key, a, b), by Box and Muller. */
void llqi_normal4(uint64_t key, uint64_t a, uint64_t b, float out[4]);

#endif
