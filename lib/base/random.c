/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <math.h>

static uint32_t multiply(uint32_t a, uint32_t b, uint32_t *high) {
  uint64_t product = (uint64_t)a * b;
  *high = (uint32_t)(product >> 32);
  return (uint32_t)product;
}

void llqi_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4]) {
  uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++) {
    uint32_t high0, high1;
    uint32_t low0 = multiply(0xD2511F53u, x0, &high0);
    uint32_t low1 = multiply(0xCD9E8D57u, x2, &high1);
    x0 = high1 ^ x1 ^ k0;
    x1 = low1;
    x2 = high0 ^ x3 ^ k1;
    x3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = x0;
  out[1] = x1;
  out[2] = x2;
  out[3] = x3;
}

static void draw(uint64_t key, uint64_t a, uint64_t b, uint32_t out[4]) {
  uint32_t counter[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b,
                         (uint32_t)(b >> 32)};
  llqi_philox(key, counter, out);
}

double llqi_uniform(uint64_t key, uint64_t a, uint64_t b) {
  uint32_t bits[4];
  draw(key, a, b, bits);
  uint64_t wide = (uint64_t)bits[0] << 32 | bits[1];
  return (double)(wide >> 11) * 0x1p-53;
}

/* Two normals from two words; the first is kept away from 0 for the log. */
static void box_muller(uint32_t u, uint32_t v, float out[2]) {
  float radius = sqrtf(-2.0f * logf(((float)(u >> 8) + 0.5f) * 0x1p-24f));
  float angle = 6.2831853f * ((float)(v >> 8) * 0x1p-24f);
  out[0] = radius * cosf(angle);
  out[1] = radius * sinf(angle);
}

void llqi_normal4(uint64_t key, uint64_t a, uint64_t b, float out[4]) {
  uint32_t bits[4];
  draw(key, a, b, bits);
  box_muller(bits[0], bits[1], out);
  box_muller(bits[2], bits[3], out + 2);
}
