/* SPDX-License-Identifier: Apache-2.0 */
/* Integer codes as bf16 numbers, without a conversion. Sixteen bits that hold a code
   c below 256 are, read as bf16, c * 2^-133: subnormal, or from 128 on the smallest
   normals, which go on evenly. Scales times 2^101 make weights of them, 2^-32 of
   what they should be: sums of products count `code_unit`.

   (c - zero) * scale is rounded once: by one fma where zero * scale is exact, as
   with a power of two, or as the product of an exact difference. Scales may be 2^-93
   to 2^26; what products with activations have below 2^-94 gets lost. */
#ifndef LLQ_CUDA_CODES_CUH
#define LLQ_CUDA_CODES_CUH

#include "backends/cuda/common/vector.cuh"

constexpr float code_unit = 4294967296.0f; /* 2^32 */

__device__ __forceinline__ uint32_t twice_low(uint32_t x) {
  return __byte_perm(x, 0, 0x1010);
}
__device__ __forceinline__ uint32_t twice_high(uint32_t x) {
  return __byte_perm(x, 0, 0x3232);
}

/* Of pairs of bf16. */
__device__ __forceinline__ uint32_t product_of(uint32_t a, uint32_t b) {
  return as_word(__hmul2(as_bf16(a), as_bf16(b)));
}
__device__ __forceinline__ uint32_t difference_of(uint32_t a, uint32_t b) {
  return as_word(__hsub2(as_bf16(a), as_bf16(b)));
}
__device__ __forceinline__ uint32_t fma_of(uint32_t a, uint32_t b, uint32_t c) {
  return as_word(__hfma2(as_bf16(a), as_bf16(b), as_bf16(c)));
}

/* Two rows' scales for int4 codes in words of CUDA_LAYOUT_TILED (repack.h): the
   codes of the second lie four bits higher, so they count 16 times as much. */
template <bool has_zero> struct int4_scales {
  uint32_t scale[2], zero[2]; /* twice in a word; zero: a code, or -8 * scale */

  /* Of both rows in the halves of a word, zero points as bf16 128 + code. */
  __device__ __forceinline__ void set(uint32_t scales, uint32_t zeros) {
    uint32_t large = product_of(scales, 0x70007200); /* 2^97, 2^101 */
    uint32_t less = has_zero ? (zeros & 0x0000000f) | (zeros & 0x000f0000) << 4
                             : product_of(scales, 0xb100b100); /* -2^-29 */
    scale[0] = twice_low(large);
    scale[1] = twice_high(large);
    zero[0] = twice_low(less);
    zero[1] = twice_high(less);
  }

  __device__ __forceinline__ uint32_t weights(uint32_t codes, int row) const {
    return has_zero ? product_of(difference_of(codes, zero[row]), scale[row])
                    : fma_of(codes, scale[row], zero[row]);
  }

  /* Operand A of m16n8k16: the eight weights of a word. */
  __device__ __forceinline__ void fragment(uint32_t word, uint32_t (&a)[4]) const {
    uint32_t high = word >> 8;
    a[0] = weights(word & 0x000f000f, 0);
    a[1] = weights(word & 0x00f000f0, 1);
    a[2] = weights(high & 0x000f000f, 0);
    a[3] = weights(high & 0x00f000f0, 1);
  }
};

/* A row's scale for int8 codes. */
struct int8_scale {
  uint32_t scale, bias; /* twice in a word; bias: -128 * scale */

  int8_scale() = default;
  __device__ __forceinline__ explicit int8_scale(uint32_t twice)
      : scale(product_of(twice, 0x72007200)), /* 2^101 */
        bias(product_of(twice, 0xb300b300))   /* -2^-25 */
  {
  }

  /* The first or second two of four codes with their signs turned: c + 128. */
  __device__ __forceinline__ uint32_t weights(uint32_t turned, int pair) const {
    return fma_of(__byte_perm(turned, 0, pair == 0 ? 0x4140 : 0x4342), scale, bias);
  }
};

__device__ __forceinline__ uint32_t turn_signs(uint32_t codes) {
  return codes ^ 0x80808080;
}

#endif
