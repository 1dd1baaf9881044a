/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen floats in one AVX-512 register; see simd.h. */
#ifndef LLQI_CPU_SIMD_AVX512_H
#define LLQI_CPU_SIMD_AVX512_H

typedef __m512 v16;
typedef __m512i words16; /* sixteen 32-bit integers */

INLINE v16 v16_set(float x) {
  return _mm512_set1_ps(x);
}

INLINE v16 v16_load(const void *from) {
  return _mm512_loadu_ps(from);
}

INLINE void v16_store(void *to, v16 x) {
  _mm512_storeu_ps(to, x);
}

INLINE v16 v16_add(v16 a, v16 b) {
  return _mm512_add_ps(a, b);
}

INLINE v16 v16_sub(v16 a, v16 b) {
  return _mm512_sub_ps(a, b);
}

INLINE v16 v16_mul(v16 a, v16 b) {
  return _mm512_mul_ps(a, b);
}

INLINE v16 v16_div(v16 a, v16 b) {
  return _mm512_div_ps(a, b);
}

INLINE v16 v16_min(v16 a, v16 b) {
  return _mm512_min_ps(a, b);
}

INLINE v16 v16_max(v16 a, v16 b) {
  return _mm512_max_ps(a, b);
}

INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
  return _mm512_fmadd_ps(a, b, c);
}

INLINE v16 v16_abs(v16 x) {
  return _mm512_abs_ps(x);
}

INLINE v16 v16_round_int(v16 x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* a < b ? yes : no */
INLINE v16 v16_select_less(v16 a, v16 b, v16 yes, v16 no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

/* 2^n for whole n from -126 to 127. */
INLINE v16 v16_exp2i(v16 n) {
  __m512i bits =
      _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
}

/* Lanes i and i + 8, then i + 4, i + 2, i + 1. */
INLINE float v16_sum(v16 x) {
  __m256 y =
      _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  z = _mm_add_ps(z, _mm_movehl_ps(z, z));
  return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
}

INLINE float v16_largest(v16 x) {
  return _mm512_reduce_max_ps(x);
}

INLINE v16 v16_load_bf16(const void *from) {
  __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

INLINE v16 v16_load_f16(const void *from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(from));
}

INLINE v16 v16_load_i8(const void *from) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from)));
}

/* An E4M3 value's bits lie in a float's, its exponent 120 too low; subnormal
   ones too. Not for NaN. */
INLINE v16 v16_load_e4m3(const void *from) {
  __m512i x = _mm512_cvtepi8_epi32(_mm_loadu_si128(from));
  __m512i sign = _mm512_and_si512(x, _mm512_set1_epi32((int)0x80000000));
  __m512i rest =
      _mm512_slli_epi32(_mm512_and_si512(x, _mm512_set1_epi32(0x7f)), 20);
  return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_or_si512(sign, rest)),
                       _mm512_set1_ps(0x1p120f));
}

INLINE v16 v16_iota(void) {
  return _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}

INLINE words16 words_load(const void *from) {
  return _mm512_loadu_si512(from);
}

/* Lane i: the table's entry that nibble j of word i names. */
INLINE v16 v16_lookup(v16 table, words16 words, int j) {
  return _mm512_permutexvar_ps(_mm512_srli_epi32(words, (unsigned)(4 * j)),
                               table);
}

/* Adds to lane i the products of bytes 4 i to 4 i + 3: of w unsigned, of x
   signed. */
INLINE words16 words_dot(words16 sum, words16 w, words16 x) {
  return _mm512_dpbusd_epi32(sum, w, x);
}

INLINE words16 words_set(int32_t x) {
  return _mm512_set1_epi32(x);
}

INLINE v16 v16_of_words(words16 x) {
  return _mm512_cvtepi32_ps(x);
}

INLINE words16 words_sub(words16 a, words16 b) {
  return _mm512_sub_epi32(a, b);
}

/* Adds half of the last kept bit, less one unless that bit is odd; not for
   NaN. */
INLINE __m512i rounded_bits(v16 x) {
  __m512i bits = _mm512_castps_si512(x);
  __m512i odd =
      _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)),
                          odd);
}

/* A table's sixteen values as bf16, twice: lookups see five bits of an index,
   of which the fifth is another's. */
INLINE v16 v16_table_bf16(v16 x) {
  __m512i high = _mm512_srli_epi32(rounded_bits(x), 16);
  return _mm512_castsi512_ps(
      _mm512_broadcast_i64x4(_mm512_cvtepi32_epi16(high)));
}

/* The entries that nibbles j and j + 4 name. */
INLINE void v16_lookup_bf16(v16 table, words16 words, int j, v16 out[2]) {
  __m512i pair = _mm512_permutexvar_epi16(
      _mm512_srli_epi16(words, (unsigned)(4 * j)), _mm512_castps_si512(table));
  out[0] = _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16));
  out[1] = _mm512_castsi512_ps(
      _mm512_and_si512(pair, _mm512_set1_epi32((int)0xffff0000)));
}

INLINE v16 v16_round_bf16(v16 x) {
  return _mm512_castsi512_ps(
      _mm512_and_si512(rounded_bits(x), _mm512_set1_epi32((int)0xffff0000)));
}

INLINE v16 v16_round_f16(v16 x) {
  return _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

INLINE void v16_store_bf16(void *to, v16 x) {
  __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  __m512i quiet =
      _mm512_or_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x400000));
  __m512i bits = _mm512_mask_blend_epi32(nan, rounded_bits(x), quiet);
  _mm256_storeu_si256(to, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
}

INLINE void v16_store_i8(void *to, v16 x) {
  _mm_storeu_si128(to, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}

/* Rounded to E4M3's grid, for |x| <= 448: to a multiple of 2^-9 below 2^-6,
   to 4 significant bits above. */
INLINE v16 v16_round_e4m3(v16 x) {
  __m512i bits = _mm512_castps_si512(x);
  __m512i odd =
      _mm512_and_si512(_mm512_srli_epi32(bits, 20), _mm512_set1_epi32(1));
  bits =
      _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7ffff)), odd);
  bits = _mm512_and_si512(bits, _mm512_set1_epi32((int)0xfff00000));
  v16 shift = _mm512_set1_ps(0x1.8p14f);
  v16 small = _mm512_sub_ps(_mm512_add_ps(x, shift), shift);
  return v16_select_less(v16_abs(x), _mm512_set1_ps(0x1p-6f), small,
                         _mm512_castsi512_ps(bits));
}

#endif
