/* SPDX-License-Identifier: Apache-2.0 */
/* Number types of tensors, and conversions to and from float. All roundings
   are to nearest, ties to even. */
#ifndef LLQI_TENSOR_DTYPE_H
#define LLQI_TENSOR_DTYPE_H

#include <llq/backend.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of an element; 0 for what is no enum llq_dtype. */
size_t llqi_dtype_size(int dtype);

/* As safetensors names it: "BF16", "F8_E4M3"; "?" for an unknown one. */
const char *llqi_dtype_name(int dtype);

/* The enum llq_dtype of a safetensors name; 0 if there is none. */
int llqi_dtype_of(const char *name);

/* n values of a float type (F32, F16, BF16, F8_E4M3) or of I8, which saturates,
   to float and back. */
void llqi_to_f32(int dtype, const void *from, size_t n, float *to);
void llqi_from_f32(int dtype, const float *from, size_t n, void *to);

/* Rounds floats to the nearest values of a float type. */
void llqi_round_f32(int dtype, float *values, size_t n);

/* One value of such a type. */
float llqi_load_f32(int dtype, const void *from, size_t index);

static inline uint32_t llqi_f32_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float llqi_f32_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline float llqi_bf16_to_f32(uint16_t x) {
  return llqi_f32_of_bits((uint32_t)x << 16);
}

/* Branch-free, so that loops over it vectorize. */
static inline uint16_t llqi_f32_to_bf16(float x) {
  uint32_t bits = llqi_f32_bits(x);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  uint32_t nan = (bits >> 16) | 0x40; /* keep it a NaN, made quiet */
  return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

/* The nearest integer, ties to even, of |x| <= 2^22: in loops that vectorize
   on every processor. The sum's spacing is 1. */
static inline int32_t llqi_f32_to_int(float x) {
  const float spacer = 0x1.8p23f;
  return (int32_t)(llqi_f32_bits(x + spacer) - llqi_f32_bits(spacer));
}

float llqi_f16_to_f32(uint16_t x);
uint16_t llqi_f32_to_f16(float x);

/* E4M3: 1 sign, 4 exponent (bias 7), 3 mantissa bits; 0x7f and 0xff are NaN;
   no infinities. Values beyond 448 saturate, as compressed-tensors clamps
   them first. */
float llqi_e4m3_to_f32(uint8_t x);
uint8_t llqi_f32_to_e4m3(float x);

#endif
