/* SPDX-License-Identifier: Apache-2.0 */
/* wgmma.m64nNk16: d[64, N] (+)= A[64, 16] * B[N, 16]^T, bf16 or f16 to f32, by the four
   warps of a warpgroup. A is in registers, 16 rows a warp, laid out as for
   mma.m16n8k16; so is d, as for its sums. B is in shared memory, rows of 64
   inputs (128 bytes) with TMA's 128-byte swizzle; or transposed, a row for each
   of the 16 inputs. Asynchronous: until wgmma_wait() neither d nor a may be
   touched. */
#ifndef LLQ_CUDA_WGMMA_CUH
#define LLQ_CUDA_WGMMA_CUH

#include <stdint.h>

__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Pins the making of an A fragment to before the wgmma_fence() that follows:
   ptxas runs products one by one if it finds it behind. */
__device__ __forceinline__ void wgmma_keep(uint32_t (&a)[4]) {
  asm volatile("" : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3])::"memory");
}

/* Waits until at most n groups of products are in flight. */
template <int n> __device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(n) : "memory");
}

/* Describes B at a multiple of 1024 bytes: 8 rows take 1024 bytes (bits 32 to
   45, in 16 bytes), swizzle of 128 bytes (bits 62, 63). Inputs 16 s to 16 s + 15
   begin 32 s bytes later, which adds 2 s. */
__device__ __forceinline__ uint64_t wgmma_operand(uint32_t shared_address) {
  return static_cast<uint64_t>(shared_address >> 4 & 0x3fff) | 1ull << 16 | 64ull << 32 |
         1ull << 62;
}

/* Uses of sums and operands to after the wgmma_wait() ahead of it: the compiler
   does not know that products were in flight until then. */
template <int n> __device__ __forceinline__ void wgmma_arrived(float (&d)[n]) {
#pragma unroll
  for (int i = 0; i < n; i++)
    asm volatile("" : "+f"(d[i])::"memory");
}
__device__ __forceinline__ void wgmma_used(const uint32_t (&a)[4]) {
  asm volatile("" ::"r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]) : "memory");
}

/* Moves registers of a warpgroup to or from the block's pool; n is a multiple of 8. */
template <int n> __device__ __forceinline__ void registers_give() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(n));
}
template <int n> __device__ __forceinline__ void registers_take() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(n));
}

template <int n_rows, int transposed = 0, bool is_half = false> struct wgmma;

/* Operand lists of 8, 16, ... accumulators; d[i] is %i. */
#define LIST_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define LIST_16 LIST_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define LIST_32                                                                                    \
  LIST_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LIST_48                                                                                    \
  LIST_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define LIST_64                                                                                    \
  LIST_48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LIST_96                                                                                    \
  LIST_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "     \
          "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define LIST_128                                                                                   \
  LIST_96 ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, "     \
          "%110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, "   \
          "%124, %125, %126, %127"

#define USE_8(d, i)                                                                                \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),      \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define USE_16(d, i) USE_8(d, i), USE_8(d, i + 8)
#define USE_32(d, i) USE_16(d, i), USE_16(d, i + 16)
#define USE_48(d, i) USE_32(d, i), USE_16(d, i + 32)
#define USE_64(d, i) USE_32(d, i), USE_32(d, i + 32)
#define USE_96(d, i) USE_64(d, i), USE_32(d, i + 64)
#define USE_128(d, i) USE_64(d, i), USE_64(d, i + 64)

/* A in %(h) to %(h + 3), B in %(h + 4), whether to add to d in %(h + 5). */
#define DEFINE_WGMMA(n, half, transposed, is_half, type, a0, a1, a2, a3, b, adds)                  \
  template <> struct wgmma<n, transposed, is_half> {                                               \
    static __device__ __forceinline__ void issue(float (&d)[half], const uint32_t (&a)[4],         \
                                                 uint64_t operand, int accumulates) {              \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " adds ", 0;\n"                               \
                   "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type                 \
                   " {" LIST_##half "}, {" a0 ", " a1 ", " a2 ", " a3 "}, " b                      \
                                    ", p, 1, 1, " #transposed ";\n}"                               \
                   : USE_##half(d, 0)                                                              \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(operand), "r"(accumulates));  \
    }                                                                                              \
  };

DEFINE_WGMMA(16, 8, 0, false, "bf16", "%8", "%9", "%10", "%11", "%12", "%13")
DEFINE_WGMMA(32, 16, 0, false, "bf16", "%16", "%17", "%18", "%19", "%20", "%21")
DEFINE_WGMMA(64, 32, 0, false, "bf16", "%32", "%33", "%34", "%35", "%36", "%37")
DEFINE_WGMMA(64, 32, 1, false, "bf16", "%32", "%33", "%34", "%35", "%36", "%37")
DEFINE_WGMMA(64, 32, 0, true, "f16", "%32", "%33", "%34", "%35", "%36", "%37")
DEFINE_WGMMA(96, 48, 0, false, "bf16", "%48", "%49", "%50", "%51", "%52", "%53")
DEFINE_WGMMA(128, 64, 0, false, "bf16", "%64", "%65", "%66", "%67", "%68", "%69")
DEFINE_WGMMA(128, 64, 0, true, "f16", "%64", "%65", "%66", "%67", "%68", "%69")
DEFINE_WGMMA(192, 96, 0, true, "f16", "%96", "%97", "%98", "%99", "%100", "%101")
DEFINE_WGMMA(192, 96, 0, false, "bf16", "%96", "%97", "%98", "%99", "%100", "%101")
DEFINE_WGMMA(256, 128, 0, false, "bf16", "%128", "%129", "%130", "%131", "%132", "%133")

#endif
