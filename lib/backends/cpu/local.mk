# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/backends/cpu/activation.c \
	lib/backends/cpu/attention.c \
	lib/backends/cpu/calibration.c \
	lib/backends/cpu/cpu.c lib/backends/cpu/cpu.h \
	lib/backends/cpu/device.c \
	lib/backends/cpu/elementwise.c \
	lib/backends/cpu/embed.c \
	lib/backends/cpu/encode.c \
	lib/backends/cpu/linear_reference.c \
	lib/backends/cpu/norm.c \
	lib/backends/cpu/packed.c lib/backends/cpu/packed.h \
	lib/backends/cpu/rope.c

# The same sources, once for each instruction set. No multiply-add that is not
# written as one: both must give the same bits.
cpu_simd_sources = \
	lib/backends/cpu/attention_simd.c \
	lib/backends/cpu/elementwise_simd.c \
	lib/backends/cpu/kernels_simd.h \
	lib/backends/cpu/linear_simd.c \
	lib/backends/cpu/ops_simd.c \
	lib/backends/cpu/panels_simd.c \
	lib/backends/cpu/rows_simd.c \
	lib/backends/cpu/simd.h \
	lib/backends/cpu/simd_avx2.h \
	lib/backends/cpu/simd_avx512.h
cpu_simd_cflags = $(AM_CFLAGS) -O3 -ffp-contract=off $(cpu_simd_plain)
if SANITIZERS
# Instrumented, one of these files takes minutes and 700 MB to compile; the
# conformance tests put guard bytes around everything that they write.
cpu_simd_plain = -fno-sanitize=all
endif

EXTRA_DIST += $(cpu_simd_sources)

if X86_64
noinst_LTLIBRARIES += libcpu_avx2.la libcpu_avx512.la
libllqi_la_LIBADD += libcpu_avx2.la libcpu_avx512.la

libcpu_avx2_la_SOURCES = $(cpu_simd_sources)
libcpu_avx2_la_CPPFLAGS = $(AM_CPPFLAGS) -DLLQI_ARCH=avx2
libcpu_avx2_la_CFLAGS = $(cpu_simd_cflags) -mavx2 -mfma -mf16c

libcpu_avx512_la_SOURCES = $(cpu_simd_sources)
libcpu_avx512_la_CPPFLAGS = $(AM_CPPFLAGS) -DLLQI_ARCH=avx512
libcpu_avx512_la_CFLAGS = $(cpu_simd_cflags) -mavx2 -mfma -mf16c -mavx512f \
	-mavx512bw -mavx512vl -mavx512dq -mavx512vnni
endif
