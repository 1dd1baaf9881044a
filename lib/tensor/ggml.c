/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks, byte by byte; d and m are F16, little end first.

     Q4_0   d, 16 bytes: low nibbles are weights 0 .. 15, high ones 16 .. 31
            w = d * (q - 8)
     Q4_1   d, m, the same 16 bytes                       w = d * q + m
     Q5_0   d, 32 fifth bits, 16 bytes                    w = d * (q - 16)
     Q5_1   d, m, 32 fifth bits, 16 bytes                 w = d * q + m
     Q8_0   d, 32 signed bytes                            w = d * q
     Q4_K   d, dmin, 12 bytes of 8 scales and 8 minima of 6 bits, 128 bytes:
            each 32 have the low nibbles of 32 weights, then the high ones
            w = d * scale * q - dmin * minimum
     Q5_K   d, dmin, the same 12 bytes, 32 bytes whose bit k is the fifth of
            weights 32 k .. 32 k + 31, 128 bytes as before
     Q6_K   128 bytes of low nibbles, 64 of high pairs of bits, 16 signed
            scales, d                                     w = d * scale * (q - 32)
*/
#include "tensor/ggml.h"

#include <string.h>

#include "tensor/dtype.h"

static float half_at(const uint8_t *bytes) {
  return llqi_f16_to_f32((uint16_t)(bytes[0] | bytes[1] << 8));
}

static uint32_t word_at(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
         (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static int nibble(const uint8_t *bytes, int i) {
  return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
}

static void q4_0(const uint8_t *block, int8_t *codes, float *scales) {
  scales[0] = half_at(block);
  for (int i = 0; i < 32; i++)
    codes[i] = (int8_t)(nibble(block + 2, i) - 8);
}

static void q5_0(const uint8_t *block, int8_t *codes, float *scales) {
  const uint32_t fifth = word_at(block + 2);
  scales[0] = half_at(block);
  for (int i = 0; i < 32; i++)
    codes[i] =
        (int8_t)((nibble(block + 6, i) | (int)(fifth >> i & 1) << 4) - 16);
}

static void q8_0(const uint8_t *block, int8_t *codes, float *scales) {
  scales[0] = half_at(block);
  memcpy(codes, block + 2, 32);
}

static void q6_k(const uint8_t *block, int8_t *codes, float *scales) {
  const float d = half_at(block + 208);
  for (int i = 0; i < 16; i++)
    scales[i] = d * (float)(int8_t)block[192 + i];
  for (int i = 0; i < 256; i++) { /* halves of 128, quarters of 32 */
    const int half = i / 128, quarter = i % 128 / 32, at = i % 32;
    const int low = block[half * 64 + quarter % 2 * 32 + at] >> quarter / 2 * 4;
    const int high = block[128 + half * 32 + at] >> 2 * quarter;
    codes[i] = (int8_t)(((low & 15) | (high & 3) << 4) - 32);
  }
}

/* The product is exact, so that the sum is rounded once in any case. */
static void q4_1(const uint8_t *block, float *values) {
  const float d = half_at(block), m = half_at(block + 2);
  for (int i = 0; i < 32; i++)
    values[i] = d * (float)nibble(block + 4, i) + m;
}

static void q5_1(const uint8_t *block, float *values) {
  const float d = half_at(block), m = half_at(block + 2);
  const uint32_t fifth = word_at(block + 4);
  for (int i = 0; i < 32; i++)
    values[i] =
        d * (float)(nibble(block + 8, i) | (int)(fifth >> i & 1) << 4) + m;
}

/* The scale and the minimum of the k-th 32 weights: the last four have their
   low bits together, and their high bits above those of the first eight. */
static void scale_and_minimum(const uint8_t *packed, int k, int *scale,
                              int *minimum) {
  if (k < 4) {
    *scale = packed[k] & 63;
    *minimum = packed[k + 4] & 63;
  } else {
    *scale = (packed[k + 4] & 15) | packed[k - 4] >> 6 << 4;
    *minimum = packed[k + 4] >> 4 | packed[k] >> 6 << 4;
  }
}

/* Q4_K and Q5_K: `fifth` is NULL or has the fifth bits. */
static void with_minima(const uint8_t *block, const uint8_t *fifth,
                        const uint8_t *nibbles, float *values) {
  const float d = half_at(block), d_min = half_at(block + 2);
  for (int k = 0; k < 8; k++) {
    int scale, minimum;
    scale_and_minimum(block + 4, k, &scale, &minimum);
    const float step = d * (float)scale, least = d_min * (float)minimum;
    for (int i = 0; i < 32; i++) {
      int q = nibbles[k / 2 * 32 + i] >> 4 * (k % 2) & 15;
      if (fifth != NULL)
        q |= (fifth[i] >> k & 1) << 4;
      values[k * 32 + i] = step * (float)q - least;
    }
  }
}

static void q4_k(const uint8_t *block, float *values) {
  with_minima(block, NULL, block + 16, values);
}

static void q5_k(const uint8_t *block, float *values) {
  with_minima(block, block + 16, block + 48, values);
}

static const struct llqi_ggml types[] = {
    [0] = {"F32", LLQ_F32, 1, 4, 0, 0, NULL, NULL},
    [1] = {"F16", LLQ_F16, 1, 2, 0, 0, NULL, NULL},
    [2] = {"Q4_0", 0, 32, 18, 4, 32, q4_0, NULL},
    [3] = {"Q4_1", 0, 32, 20, 0, 0, NULL, q4_1},
    [6] = {"Q5_0", 0, 32, 22, 8, 32, q5_0, NULL},
    [7] = {"Q5_1", 0, 32, 24, 0, 0, NULL, q5_1},
    [8] = {"Q8_0", 0, 32, 34, 8, 32, q8_0, NULL},
    [12] = {"Q4_K", 0, 256, 144, 0, 0, NULL, q4_k},
    [13] = {"Q5_K", 0, 256, 176, 0, 0, NULL, q5_k},
    [14] = {"Q6_K", 0, 256, 210, 8, 16, q6_k, NULL},
    [30] = {"BF16", LLQ_BF16, 1, 2, 0, 0, NULL, NULL},
};

const struct llqi_ggml *llqi_ggml_find(uint32_t type) {
  if (type >= sizeof types / sizeof *types || types[type].name == NULL)
    return NULL;
  return &types[type];
}

static void block_values(const struct llqi_ggml *type, const uint8_t *block,
                         float *values) {
  int8_t codes[LLQI_GGML_BLOCK_MAX];
  float scales[LLQI_GGML_BLOCK_MAX];
  if (type->values != NULL) {
    type->values(block, values);
    return;
  }
  type->codes(block, codes, scales);
  for (int i = 0; i < type->block; i++)
    values[i] = (float)codes[i] * scales[i / type->group];
}

void llqi_ggml_row(const struct llqi_ggml *type, const void *row, int64_t n,
                   float *values) {
  const uint8_t *block = row;
  if (type->dtype != 0) {
    llqi_to_f32(type->dtype, row, (size_t)n, values);
    return;
  }
  for (int64_t i = 0; i < n; i += type->block, block += type->n_bytes)
    block_values(type, block, values + i);
}
