/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen floats, the width that every kernel is written in. A source that
   includes this is compiled once with AVX-512, where they are one register, and
   once with AVX2, where they are two; both give the same bits, since every
   operation here is per lane and exactly rounded, multiply-adds are explicit
   (the sources are compiled with -ffp-contract=off), and sums of lanes are
   added in one order. */
#ifndef LLQI_CPU_SIMD_H
#define LLQI_CPU_SIMD_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include <llq/backend.h>

#define INLINE static inline __attribute__((always_inline))
#define PASTE2(name, arch) llqi_cpu_##name##_##arch
#define PASTE(name, arch) PASTE2(name, arch)
/* A function's name in this instruction set: LLQI_ARCH is on the command
   line. */
#define ARCH(name) PASTE(name, LLQI_ARCH)

#define LANES 16

#ifdef __AVX512F__
#include "backends/cpu/simd_avx512.h"
#else
#include "backends/cpu/simd_avx2.h"
#endif

INLINE v16 v16_zero(void) {
  return v16_set(0);
}

/* 16 values of a float type, `at` in elements. */
INLINE v16 v16_load_type(int dtype, const void *from, int64_t at) {
  const char *bytes = from;
  switch (dtype) {
  case LLQ_F32:
    return v16_load(bytes + 4 * at);
  case LLQ_F16:
    return v16_load_f16(bytes + 2 * at);
  default:
    return v16_load_bf16(bytes + 2 * at);
  }
}

INLINE void v16_store_type(int dtype, void *to, int64_t at, v16 x) {
  char *bytes = to;
  if (dtype == LLQ_F32)
    v16_store(bytes + 4 * at, x);
  else
    v16_store_bf16(bytes + 2 * at, x);
}

/* The same for the last n < 16 values of a row; the other lanes are 0. */
INLINE v16 v16_load_part(int dtype, const void *from, int64_t at, int64_t n) {
  char part[LANES * sizeof(float)] = {0};
  size_t size = dtype == LLQ_F32 ? 4 : 2;
  memcpy(part, (const char *)from + (size_t)at * size, (size_t)n * size);
  return v16_load_type(dtype, part, 0);
}

INLINE void v16_store_part(int dtype, void *to, int64_t at, int64_t n, v16 x) {
  char part[LANES * sizeof(float)];
  size_t size = dtype == LLQ_F32 ? 4 : 2;
  v16_store_type(dtype, part, 0, x);
  memcpy((char *)to + (size_t)at * size, part, (size_t)n * size);
}

/* Values at .. at + 15 of a row of n. */
INLINE v16 v16_row_load(int dtype, const void *row, int64_t at, int64_t n) {
  return n - at >= LANES ? v16_load_type(dtype, row, at)
                         : v16_load_part(dtype, row, at, n - at);
}

INLINE void v16_row_store(int dtype, void *row, int64_t at, int64_t n, v16 x) {
  if (n - at >= LANES)
    v16_store_type(dtype, row, at, x);
  else
    v16_store_part(dtype, row, at, n - at, x);
}

/* Rounds to a float type and back. */
INLINE v16 v16_round_type(int dtype, v16 x) {
  return dtype == LLQ_F32   ? x
         : dtype == LLQ_F16 ? v16_round_f16(x)
                            : v16_round_bf16(x);
}

/* e^x to 1.2 ulp; 0 below the smallest normal number, infinity above the
   largest. Reduced by n ln 2 in two parts (Cody and Waite), then Taylor's
   series to degree 7 on |r| <= ln(2) / 2, whose next term is below 2^-26. */
INLINE v16 v16_exp(v16 x) {
  v16 n = v16_round_int(v16_mul(x, v16_set(1.44269504f)));
  n = v16_min(v16_max(n, v16_set(-126)), v16_set(128));
  v16 r = v16_fma(n, v16_set(-0.693145752f), x);
  r = v16_fma(n, v16_set(-1.42860677e-6f), r);
  v16 p = v16_set(1.98412698e-4f);
  p = v16_fma(p, r, v16_set(1.38888889e-3f));
  p = v16_fma(p, r, v16_set(8.33333333e-3f));
  p = v16_fma(p, r, v16_set(4.16666667e-2f));
  p = v16_fma(p, r, v16_set(1.66666667e-1f));
  p = v16_fma(p, r, v16_set(0.5f));
  p = v16_fma(v16_mul(p, r), r, r);
  p = v16_add(p, v16_set(1));
  v16 half = v16_round_int(v16_mul(n, v16_set(0.5f)));
  p = v16_mul(v16_mul(p, v16_exp2i(half)), v16_exp2i(v16_sub(n, half)));
  p = v16_select_less(x, v16_set(-87.3365448f), v16_zero(), p);
  return v16_select_less(v16_set(88.7228394f), x, v16_set(__builtin_inff()), p);
}

#endif
