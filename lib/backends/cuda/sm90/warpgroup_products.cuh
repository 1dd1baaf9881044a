/* SPDX-License-Identifier: Apache-2.0 */
/* The products of attention over chunks by wgmma: a warpgroup has 64 rows of q,
   first operands in registers; keys and values are read from shared memory. The
   fragments are those of mma.m16n8k16, and so, bit by bit, are the results. */
#ifndef LLQ_CUDA_WARPGROUP_PRODUCTS_CUH
#define LLQ_CUDA_WARPGROUP_PRODUCTS_CUH

#include "backends/cuda/common/attend.cuh"

namespace {

/* Of an operand in panels of 128-byte rows with swizzled chunks: `panels` bytes
   lie between panels, 1024 between eights of rows. */
__device__ __forceinline__ uint64_t operand_at(uint32_t address, int panels) {
  return (address & 0x3ffff) >> 4 | static_cast<uint64_t>(panels >> 4) << 16 |
         static_cast<uint64_t>(1024 >> 4) << 32 | 1ull << 62;
}

__device__ __forceinline__ void products_begin() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void products_end() {
  asm volatile("wgmma.commit_group.sync.aligned;\n"
               "wgmma.wait_group.sync.aligned 0;" ::
                   : "memory");
}

/* s (+)= 16 elements of q with those of 64 keys. */
__device__ __forceinline__ void multiply(float (&s)[4][2][4], const uint32_t (&a)[4], uint64_t b,
                                         int adds) {
  asm volatile("{\n"
               ".reg .pred p;\n"
               "setp.ne.b32 p, %37, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
               "{%0, %1, %2, %3, %4, %5, %6, %7, "
               " %8, %9, %10, %11, %12, %13, %14, %15, "
               " %16, %17, %18, %19, %20, %21, %22, %23, "
               " %24, %25, %26, %27, %28, %29, %30, %31}, "
               "{%32, %33, %34, %35}, %36, p, 1, 1, 0;\n"
               "}"
               : "+f"(s[0][0][0]), "+f"(s[0][0][1]), "+f"(s[0][0][2]), "+f"(s[0][0][3]),
                 "+f"(s[0][1][0]), "+f"(s[0][1][1]), "+f"(s[0][1][2]), "+f"(s[0][1][3]),
                 "+f"(s[1][0][0]), "+f"(s[1][0][1]), "+f"(s[1][0][2]), "+f"(s[1][0][3]),
                 "+f"(s[1][1][0]), "+f"(s[1][1][1]), "+f"(s[1][1][2]), "+f"(s[1][1][3]),
                 "+f"(s[2][0][0]), "+f"(s[2][0][1]), "+f"(s[2][0][2]), "+f"(s[2][0][3]),
                 "+f"(s[2][1][0]), "+f"(s[2][1][1]), "+f"(s[2][1][2]), "+f"(s[2][1][3]),
                 "+f"(s[3][0][0]), "+f"(s[3][0][1]), "+f"(s[3][0][2]), "+f"(s[3][0][3]),
                 "+f"(s[3][1][0]), "+f"(s[3][1][1]), "+f"(s[3][1][2]), "+f"(s[3][1][3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(adds));
}

/* o (+)= weights of 16 positions with 128 or 64 of the values' columns. */
__device__ __forceinline__ void multiply(float (&o)[16][4], const uint32_t (&a)[4], uint64_t b,
                                         int adds) {
  asm volatile("{\n"
               ".reg .pred p;\n"
               "setp.ne.b32 p, %69, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
               "{%0, %1, %2, %3, %4, %5, %6, %7, "
               " %8, %9, %10, %11, %12, %13, %14, %15, "
               " %16, %17, %18, %19, %20, %21, %22, %23, "
               " %24, %25, %26, %27, %28, %29, %30, %31, "
               " %32, %33, %34, %35, %36, %37, %38, %39, "
               " %40, %41, %42, %43, %44, %45, %46, %47, "
               " %48, %49, %50, %51, %52, %53, %54, %55, "
               " %56, %57, %58, %59, %60, %61, %62, %63}, "
               "{%64, %65, %66, %67}, %68, p, 1, 1, 1;\n"
               "}"
               : "+f"(o[0][0]), "+f"(o[0][1]), "+f"(o[0][2]), "+f"(o[0][3]), "+f"(o[1][0]),
                 "+f"(o[1][1]), "+f"(o[1][2]), "+f"(o[1][3]), "+f"(o[2][0]), "+f"(o[2][1]),
                 "+f"(o[2][2]), "+f"(o[2][3]), "+f"(o[3][0]), "+f"(o[3][1]), "+f"(o[3][2]),
                 "+f"(o[3][3]), "+f"(o[4][0]), "+f"(o[4][1]), "+f"(o[4][2]), "+f"(o[4][3]),
                 "+f"(o[5][0]), "+f"(o[5][1]), "+f"(o[5][2]), "+f"(o[5][3]), "+f"(o[6][0]),
                 "+f"(o[6][1]), "+f"(o[6][2]), "+f"(o[6][3]), "+f"(o[7][0]), "+f"(o[7][1]),
                 "+f"(o[7][2]), "+f"(o[7][3]), "+f"(o[8][0]), "+f"(o[8][1]), "+f"(o[8][2]),
                 "+f"(o[8][3]), "+f"(o[9][0]), "+f"(o[9][1]), "+f"(o[9][2]), "+f"(o[9][3]),
                 "+f"(o[10][0]), "+f"(o[10][1]), "+f"(o[10][2]), "+f"(o[10][3]), "+f"(o[11][0]),
                 "+f"(o[11][1]), "+f"(o[11][2]), "+f"(o[11][3]), "+f"(o[12][0]), "+f"(o[12][1]),
                 "+f"(o[12][2]), "+f"(o[12][3]), "+f"(o[13][0]), "+f"(o[13][1]), "+f"(o[13][2]),
                 "+f"(o[13][3]), "+f"(o[14][0]), "+f"(o[14][1]), "+f"(o[14][2]), "+f"(o[14][3]),
                 "+f"(o[15][0]), "+f"(o[15][1]), "+f"(o[15][2]), "+f"(o[15][3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(adds));
}

__device__ __forceinline__ void multiply(float (&o)[8][4], const uint32_t (&a)[4], uint64_t b,
                                         int adds) {
  asm volatile("{\n"
               ".reg .pred p;\n"
               "setp.ne.b32 p, %37, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
               "{%0, %1, %2, %3, %4, %5, %6, %7, "
               " %8, %9, %10, %11, %12, %13, %14, %15, "
               " %16, %17, %18, %19, %20, %21, %22, %23, "
               " %24, %25, %26, %27, %28, %29, %30, %31}, "
               "{%32, %33, %34, %35}, %36, p, 1, 1, 1;\n"
               "}"
               : "+f"(o[0][0]), "+f"(o[0][1]), "+f"(o[0][2]), "+f"(o[0][3]), "+f"(o[1][0]),
                 "+f"(o[1][1]), "+f"(o[1][2]), "+f"(o[1][3]), "+f"(o[2][0]), "+f"(o[2][1]),
                 "+f"(o[2][2]), "+f"(o[2][3]), "+f"(o[3][0]), "+f"(o[3][1]), "+f"(o[3][2]),
                 "+f"(o[3][3]), "+f"(o[4][0]), "+f"(o[4][1]), "+f"(o[4][2]), "+f"(o[4][3]),
                 "+f"(o[5][0]), "+f"(o[5][1]), "+f"(o[5][2]), "+f"(o[5][3]), "+f"(o[6][0]),
                 "+f"(o[6][1]), "+f"(o[6][2]), "+f"(o[6][3]), "+f"(o[7][0]), "+f"(o[7][1]),
                 "+f"(o[7][2]), "+f"(o[7][3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(adds));
}

struct warpgroup_products {
  static constexpr int n_warps = 4;
  template <int D> static constexpr int n_columns = D / 8;

  static __device__ __forceinline__ void publish_copies() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }

  template <int D>
  static __device__ __forceinline__ void scores(float (&s)[4][2][4], const queries<D> &q,
                                                uint32_t keys) {
    products_begin();
#pragma unroll
    for (int k = 0; k < D / 16; k++)
      multiply(s, q.a[k], operand_at(keys + k / 4 * head_tile<D>::panel_size + k % 4 * 32, 16),
               k > 0);
    products_end();
  }

  template <int D, int n>
  static __device__ __forceinline__ void sums(float (&o)[n][4], const uint32_t (&p)[4][4],
                                              uint32_t values, int) {
    products_begin();
#pragma unroll
    for (int k = 0; k < 4; k++)
      multiply(o, p[k], operand_at(values + k * 2048, head_tile<D>::panel_size), k > 0);
    products_end();
  }
};

} // namespace

#endif
