/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen floats in two AVX2 registers; see simd.h. */
#ifndef LLQI_CPU_SIMD_AVX2_H
#define LLQI_CPU_SIMD_AVX2_H

typedef struct {
  __m256 low, high;
} v16;

typedef struct {
  __m256i low, high;
} words16; /* sixteen 32-bit integers */

INLINE v16 v16_set(float x) {
  return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

INLINE v16 v16_load(const void *from) {
  const float *at = from;
  return (v16){_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
}

INLINE void v16_store(void *to, v16 x) {
  _mm256_storeu_ps(to, x.low);
  _mm256_storeu_ps((float *)to + 8, x.high);
}

#define BINARY(name, instruction)                                              \
  INLINE v16 v16_##name(v16 a, v16 b) {                                        \
    return (v16){instruction(a.low, b.low), instruction(a.high, b.high)};      \
  }
BINARY(add, _mm256_add_ps)
BINARY(sub, _mm256_sub_ps)
BINARY(mul, _mm256_mul_ps)
BINARY(div, _mm256_div_ps)
BINARY(min, _mm256_min_ps)
BINARY(max, _mm256_max_ps)

INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
  return (v16){_mm256_fmadd_ps(a.low, b.low, c.low),
               _mm256_fmadd_ps(a.high, b.high, c.high)};
}

#define UNARY(name, half)                                                      \
  INLINE v16 v16_##name(v16 x) {                                               \
    return (v16){half(x.low), half(x.high)};                                   \
  }

INLINE __m256 abs8(__m256 x) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
UNARY(abs, abs8)

INLINE __m256 round8(__m256 x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
UNARY(round_int, round8)

/* a < b ? yes : no */
INLINE v16 v16_select_less(v16 a, v16 b, v16 yes, v16 no) {
  return (v16){_mm256_blendv_ps(no.low, yes.low,
                                _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
               _mm256_blendv_ps(no.high, yes.high,
                                _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}

/* 2^n for whole n from -126 to 127. */
INLINE __m256 exp2i8(__m256 n) {
  __m256i bits =
      _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
UNARY(exp2i, exp2i8)

/* Lanes i and i + 8, then i + 4, i + 2, i + 1. */
INLINE float v16_sum(v16 x) {
  __m256 y = _mm256_add_ps(x.low, x.high);
  __m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  z = _mm_add_ps(z, _mm_movehl_ps(z, z));
  return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
}

INLINE float v16_largest(v16 x) {
  __m256 y = _mm256_max_ps(x.low, x.high);
  __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  z = _mm_max_ps(z, _mm_movehl_ps(z, z));
  return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
}

INLINE __m256 bf16_8(const void *from) {
  __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

INLINE __m256 f16_8(const void *from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(from));
}

INLINE __m256i i8_8(const void *from) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(from));
}

INLINE v16 v16_load_bf16(const void *from) {
  return (v16){bf16_8(from), bf16_8((const char *)from + 16)};
}

INLINE v16 v16_load_f16(const void *from) {
  return (v16){f16_8(from), f16_8((const char *)from + 16)};
}

INLINE v16 v16_load_i8(const void *from) {
  return (v16){_mm256_cvtepi32_ps(i8_8(from)),
               _mm256_cvtepi32_ps(i8_8((const char *)from + 8))};
}

/* An E4M3 value's bits lie in a float's, its exponent 120 too low; subnormal
   ones too. Not for NaN. */
INLINE __m256 e4m3_8(const void *from) {
  __m256i x = i8_8(from);
  __m256i sign = _mm256_and_si256(x, _mm256_set1_epi32((int)0x80000000));
  __m256i rest =
      _mm256_slli_epi32(_mm256_and_si256(x, _mm256_set1_epi32(0x7f)), 20);
  return _mm256_mul_ps(_mm256_castsi256_ps(_mm256_or_si256(sign, rest)),
                       _mm256_set1_ps(0x1p120f));
}

INLINE v16 v16_load_e4m3(const void *from) {
  return (v16){e4m3_8(from), e4m3_8((const char *)from + 8)};
}

INLINE v16 v16_iota(void) {
  return (v16){_mm256_set_ps(7, 6, 5, 4, 3, 2, 1, 0),
               _mm256_set_ps(15, 14, 13, 12, 11, 10, 9, 8)};
}

INLINE words16 words_load(const void *from) {
  const __m256i *at = from;
  return (words16){_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
}

/* A permutation sees three bits of an index; the fourth chooses between the
   table's halves. */
INLINE __m256 lookup8(v16 table, __m256i index) {
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index),
                          _mm256_permutevar8x32_ps(table.high, index),
                          _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

/* Lane i: the table's entry that nibble j of word i names. */
INLINE v16 v16_lookup(v16 table, words16 words, int j) {
  return (v16){lookup8(table, _mm256_srli_epi32(words.low, 4 * j)),
               lookup8(table, _mm256_srli_epi32(words.high, 4 * j))};
}

/* As below for half of the lanes: even bytes and odd ones as 16-bit numbers,
   whose products are summed in pairs without overflow. */
INLINE __m256i dot8(__m256i sum, __m256i w, __m256i x) {
  __m256i even =
      _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(0xff)),
                        _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
  __m256i odd =
      _mm256_madd_epi16(_mm256_srli_epi16(w, 8), _mm256_srai_epi16(x, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

/* Adds to lane i the products of bytes 4 i to 4 i + 3: of w unsigned, of x
   signed. */
INLINE words16 words_dot(words16 sum, words16 w, words16 x) {
  return (words16){dot8(sum.low, w.low, x.low), dot8(sum.high, w.high, x.high)};
}

INLINE words16 words_set(int32_t x) {
  return (words16){_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}

INLINE v16 v16_of_words(words16 x) {
  return (v16){_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)};
}

INLINE words16 words_sub(words16 a, words16 b) {
  return (words16){_mm256_sub_epi32(a.low, b.low),
                   _mm256_sub_epi32(a.high, b.high)};
}

/* Adds half of the last kept bit, less one unless that bit is odd; not for
   NaN. */
INLINE __m256i rounded_bits(__m256 x) {
  __m256i bits = _mm256_castps_si256(x);
  __m256i odd =
      _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)),
                          odd);
}

INLINE __m256 round_bf16_8(__m256 x) {
  return _mm256_castsi256_ps(
      _mm256_and_si256(rounded_bits(x), _mm256_set1_epi32((int)0xffff0000)));
}
UNARY(round_bf16, round_bf16_8)

/* A table of bf16 values, and the entries that nibbles j and j + 4 name. */
INLINE v16 v16_table_bf16(v16 x) {
  return v16_round_bf16(x);
}

INLINE void v16_lookup_bf16(v16 table, words16 words, int j, v16 out[2]) {
  out[0] = v16_lookup(table, words, j);
  out[1] = v16_lookup(table, words, j + 4);
}

INLINE __m256 round_f16_8(__m256 x) {
  return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
UNARY(round_f16, round_f16_8)

INLINE __m256i bf16_bits(__m256 x) {
  __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
  __m256i quiet =
      _mm256_or_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x400000));
  __m256 bits = _mm256_blendv_ps(_mm256_castsi256_ps(rounded_bits(x)),
                                 _mm256_castsi256_ps(quiet), nan);
  return _mm256_srli_epi32(_mm256_castps_si256(bits), 16);
}

INLINE void v16_store_bf16(void *to, v16 x) {
  __m256i packed = _mm256_packus_epi32(bf16_bits(x.low), bf16_bits(x.high));
  _mm256_storeu_si256(to, _mm256_permute4x64_epi64(packed, 0xd8));
}

INLINE void v16_store_i8(void *to, v16 x) {
  __m256i packed =
      _mm256_packs_epi32(_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high));
  packed = _mm256_permute4x64_epi64(packed, 0xd8);
  _mm_storeu_si128(to, _mm_packs_epi16(_mm256_castsi256_si128(packed),
                                       _mm256_extracti128_si256(packed, 1)));
}

/* Rounded to E4M3's grid, for |x| <= 448: to a multiple of 2^-9 below 2^-6,
   to 4 significant bits above. */
INLINE __m256 round_e4m3_8(__m256 x) {
  __m256i bits = _mm256_castps_si256(x);
  __m256i odd =
      _mm256_and_si256(_mm256_srli_epi32(bits, 20), _mm256_set1_epi32(1));
  bits =
      _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7ffff)), odd);
  bits = _mm256_and_si256(bits, _mm256_set1_epi32((int)0xfff00000));
  __m256 shift = _mm256_set1_ps(0x1.8p14f);
  __m256 small = _mm256_sub_ps(_mm256_add_ps(x, shift), shift);
  return _mm256_blendv_ps(
      _mm256_castsi256_ps(bits), small,
      _mm256_cmp_ps(abs8(x), _mm256_set1_ps(0x1p-6f), _CMP_LT_OQ));
}
UNARY(round_e4m3, round_e4m3_8)

#undef UNARY
#undef BINARY

#endif
