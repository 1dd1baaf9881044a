/* SPDX-License-Identifier: Apache-2.0 */
/* The rotary embedding's frequencies, each operation in float and in the order
   of Hugging Face's _compute_llama3_parameters, so that angles far beyond the
   original context still agree. */
#include <math.h>

#include "model/config.h"

static float scaled(const struct llqi_rope *rope, float frequency) {
  const float low = (float)rope->low_frequency_factor;
  const float span =
      (float)(rope->high_frequency_factor - rope->low_frequency_factor);
  const float factor = (float)rope->factor;
  const double context = (double)rope->original_context;
  const float longest = (float)(context / rope->low_frequency_factor);
  const float shortest = (float)(context / rope->high_frequency_factor);
  const float wavelength = (float)(2 * 3.14159265358979323846) / frequency;
  if (wavelength > longest)
    return frequency / factor;
  if (wavelength < shortest)
    return frequency;
  const float smooth = ((float)context / wavelength - low) / span;
  return (1.0f - smooth) * frequency / factor + smooth * frequency;
}

static float frequency_of(const struct llqi_config *config, int64_t i) {
  const float exponent = (float)(2 * i) / (float)config->head_size;
  const float frequency = 1.0f / powf((float)config->rope.theta, exponent);
  return config->rope.factor == 1 ? frequency
                                  : scaled(&config->rope, frequency);
}

float llqi_rope_factor(const struct llqi_config *config, int64_t i) {
  struct llqi_config unscaled = *config;
  unscaled.rope.factor = 1;
  return frequency_of(&unscaled, i) / frequency_of(config, i);
}

void llqi_rope_table(const struct llqi_config *config, int64_t n_positions,
                     float *cos_sin) {
  const int64_t half = config->head_size / 2;
  for (int64_t i = 0; i < half; i++) {
    const float frequency = frequency_of(config, i);
    for (int64_t p = 0; p < n_positions; p++) {
      const float angle = (float)p * frequency;
      cos_sin[p * 2 * half + i] = cosf(angle);
      cos_sin[p * 2 * half + half + i] = sinf(angle);
    }
  }
}
