/* SPDX-License-Identifier: Apache-2.0 */
/* Activations quantized row by row, before a product. */
#include <math.h>
#include <string.h>

#include "backends/cpu/cpu.h"
#include "tensor/dtype.h"

/* NaN if any value is infinite or NaN. */
static float largest(const float *x, int64_t n) {
  float max = 0, bad = 0;
  for (int64_t i = 0; i < n; i++) {
    float magnitude = fabsf(x[i]);
    max = magnitude > max ? magnitude : max;
    bad += x[i] - x[i]; /* 0, or NaN */
  }
  return max + bad;
}

float llqi_cpu_quantize_int8(const float *x, int64_t n, int8_t *q) {
  float scale = largest(x, n) / 127.5f;
  if (!(scale > 0)) {
    memset(q, 0, (size_t)n);
    return scale;
  }
  for (int64_t i = 0; i < n; i++) {
    float rounded = rintf(x[i] / scale);
    rounded = rounded > 127 ? 127 : rounded < -128 ? -128 : rounded;
    q[i] = (int8_t)rounded;
  }
  return scale;
}

float llqi_cpu_quantize_e4m3(const float *x, int64_t n, float *q) {
  float scale = largest(x, n) / 448;
  for (int64_t i = 0; i < n; i++)
    q[i] = scale > 0 ? llqi_e4m3_to_f32(llqi_f32_to_e4m3(x[i] / scale)) : 0;
  return scale;
}
