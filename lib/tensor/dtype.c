/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/dtype.h"

#include "base/vector.h"

static const struct {
  const char *name;
  size_t size;
} dtypes[] = {
    [LLQ_F32] = {"F32", 4},   [LLQ_F16] = {"F16", 2},
    [LLQ_BF16] = {"BF16", 2}, [LLQ_F8_E4M3] = {"F8_E4M3", 1},
    [LLQ_I8] = {"I8", 1},     [LLQ_I32] = {"I32", 4},
    [LLQ_I64] = {"I64", 8},   [LLQ_U8] = {"U8", 1},
};

#define N_DTYPES (int)(sizeof dtypes / sizeof dtypes[0])

size_t llqi_dtype_size(int dtype) {
  return dtype > 0 && dtype < N_DTYPES ? dtypes[dtype].size : 0;
}

const char *llqi_dtype_name(int dtype) {
  return dtype > 0 && dtype < N_DTYPES ? dtypes[dtype].name : "?";
}

int llqi_dtype_of(const char *name) {
  for (int i = 1; i < N_DTYPES; i++)
    if (strcmp(dtypes[i].name, name) == 0)
      return i;
  return 0;
}

/* The narrow types are alike: f32's exponent and mantissa, cut short, with
   another bias. `shift` is the number of mantissa bits that fall off; `rebias`
   what is taken off the exponent, in place. Numbers below the smallest normal
   one have a fixed spacing: adding the power of two whose float spacing is the
   same makes the processor round them, and leaves their code in the low bits of
   the sum. All branches are selections, so that loops vectorize. */
struct narrow {
  int shift;
  uint32_t rebias;
  uint32_t smallest_normal; /* as float bits */
  uint32_t spacer;          /* the power of two to add, as float bits */
};

static const struct narrow f16 = {13, 112u << 23, 113u << 23, 126u << 23};
static const struct narrow e4m3 = {20, 120u << 23, 121u << 23, 141u << 23};

/* The code of a finite magnitude that does not overflow. */
static inline uint32_t narrow_code(const struct narrow type, uint32_t bits) {
  float sum = llqi_f32_of_bits(bits) + llqi_f32_of_bits(type.spacer);
  uint32_t subnormal = llqi_f32_bits(sum) - type.spacer;
  uint32_t half = (1u << (type.shift - 1)) - 1;
  uint32_t odd = (bits >> type.shift) & 1;
  uint32_t normal = (bits - type.rebias + half + odd) >> type.shift;
  return bits < type.smallest_normal ? subnormal : normal;
}

/* The float bits of a finite magnitude's code. */
static inline uint32_t narrow_bits(const struct narrow type, uint32_t code) {
  uint32_t normal = (code << type.shift) + type.rebias;
  float spaced = llqi_f32_of_bits(code + type.spacer);
  float subnormal = spaced - llqi_f32_of_bits(type.spacer);
  return normal < type.smallest_normal ? llqi_f32_bits(subnormal) : normal;
}

static inline uint16_t to_f16(float x) {
  uint32_t bits = llqi_f32_bits(x), magnitude = bits & 0x7fffffff;
  uint32_t nan = 0x7e00 | ((magnitude >> 13) & 0x3ff);
  /* From 65520 on, halfway to the value after the largest, it is infinite. */
  uint32_t code = magnitude < 0x477ff000 ? narrow_code(f16, magnitude) : 0x7c00;
  code = magnitude > 0x7f800000 ? nan : code;
  return (uint16_t)((bits >> 16 & 0x8000) | code);
}

static inline float of_f16(uint16_t x) {
  uint32_t code = x & 0x7fff;
  uint32_t special = 0x7f800000 | code << 13;
  uint32_t bits = code < 0x7c00 ? narrow_bits(f16, code) : special;
  return llqi_f32_of_bits((uint32_t)(x & 0x8000) << 16 | bits);
}

static inline uint8_t to_e4m3(float x) {
  uint32_t bits = llqi_f32_bits(x), magnitude = bits & 0x7fffffff;
  const uint32_t largest = 0x43e00000; /* 448 */
  uint32_t code = narrow_code(e4m3, magnitude < largest ? magnitude : largest);
  code = magnitude > 0x7f800000 ? 0x7f : code;
  return (uint8_t)((bits >> 24 & 0x80) | code);
}

static inline float of_e4m3(uint8_t x) {
  uint32_t code = x & 0x7f;
  uint32_t bits = code < 0x7f ? narrow_bits(e4m3, code) : 0x7fc00000;
  return llqi_f32_of_bits((uint32_t)(x & 0x80) << 24 | bits);
}

/* NaN has no code: 0. */
static inline int8_t to_i8(float x) {
  float clamped = x > 127 ? 127 : x < -128 ? -128 : x;
  return (int8_t)llqi_f32_to_int(x == x ? clamped : 0);
}

float llqi_f16_to_f32(uint16_t x) {
  return of_f16(x);
}

uint16_t llqi_f32_to_f16(float x) {
  return to_f16(x);
}

float llqi_e4m3_to_f32(uint8_t x) {
  return of_e4m3(x);
}

uint8_t llqi_f32_to_e4m3(float x) {
  return to_e4m3(x);
}

LLQI_VECTOR
void llqi_to_f32(int dtype, const void *from, size_t n, float *to) {
  const uint16_t *words = from;
  const uint8_t *bytes = from;
  const int8_t *integers = from;
  switch (dtype) {
  case LLQ_F32:
    memcpy(to, from, n * sizeof *to);
    break;
  case LLQ_BF16:
    for (size_t i = 0; i < n; i++)
      to[i] = llqi_bf16_to_f32(words[i]);
    break;
  case LLQ_F16:
    for (size_t i = 0; i < n; i++)
      to[i] = of_f16(words[i]);
    break;
  case LLQ_F8_E4M3:
    for (size_t i = 0; i < n; i++)
      to[i] = of_e4m3(bytes[i]);
    break;
  case LLQ_I8:
    for (size_t i = 0; i < n; i++)
      to[i] = integers[i];
    break;
  }
}

LLQI_VECTOR
void llqi_from_f32(int dtype, const float *from, size_t n, void *to) {
  uint16_t *words = to;
  uint8_t *bytes = to;
  int8_t *integers = to;
  switch (dtype) {
  case LLQ_F32:
    memcpy(to, from, n * sizeof *from);
    break;
  case LLQ_BF16:
    for (size_t i = 0; i < n; i++)
      words[i] = llqi_f32_to_bf16(from[i]);
    break;
  case LLQ_F16:
    for (size_t i = 0; i < n; i++)
      words[i] = to_f16(from[i]);
    break;
  case LLQ_F8_E4M3:
    for (size_t i = 0; i < n; i++)
      bytes[i] = to_e4m3(from[i]);
    break;
  case LLQ_I8:
    for (size_t i = 0; i < n; i++)
      integers[i] = to_i8(from[i]);
    break;
  }
}

LLQI_VECTOR
void llqi_round_f32(int dtype, float *values, size_t n) {
  switch (dtype) {
  case LLQ_BF16:
    for (size_t i = 0; i < n; i++)
      values[i] = llqi_bf16_to_f32(llqi_f32_to_bf16(values[i]));
    break;
  case LLQ_F16:
    for (size_t i = 0; i < n; i++)
      values[i] = of_f16(to_f16(values[i]));
    break;
  case LLQ_F8_E4M3:
    for (size_t i = 0; i < n; i++)
      values[i] = of_e4m3(to_e4m3(values[i]));
    break;
  }
}

float llqi_load_f32(int dtype, const void *from, size_t index) {
  float x = 0;
  const char *bytes = from;
  llqi_to_f32(dtype, bytes + index * llqi_dtype_size(dtype), 1, &x);
  return x;
}
