# SPDX-License-Identifier: Apache-2.0
# llq-cuda.so: the CUDA plugin. Kernels are compiled by nvcc through libtool;
# `any` holds the plain kernels, complete, that run on every GPU from sm_80 on.
cuda_dir = lib/backends/cuda
cuda_sources = \
	lib/backends/cuda/algebra.c \
	lib/backends/cuda/any/attention.cu \
	lib/backends/cuda/any/elementwise.cu \
	lib/backends/cuda/any/linear.cu \
	lib/backends/cuda/any/rope.cu \
	lib/backends/cuda/arena.c \
	lib/backends/cuda/batch.c \
	lib/backends/cuda/calibration.c \
	lib/backends/cuda/common/calibration.cu \
	lib/backends/cuda/common/dequantize.cu \
	lib/backends/cuda/common/draw.cu \
	lib/backends/cuda/common/inputs.cu \
	lib/backends/cuda/common/order.cu \
	lib/backends/cuda/common/quantize.cu \
	lib/backends/cuda/common/rates.cu \
	lib/backends/cuda/common/repack.cu \
	lib/backends/cuda/common/sums.cu \
	lib/backends/cuda/device.c \
	lib/backends/cuda/fastest.c \
	lib/backends/cuda/fused.c \
	lib/backends/cuda/gates.c \
	lib/backends/cuda/launch.c \
	lib/backends/cuda/library.c \
	lib/backends/cuda/library_product.c \
	lib/backends/cuda/linear.c \
	lib/backends/cuda/measure.c \
	lib/backends/cuda/memory.c \
	lib/backends/cuda/operations.c \
	lib/backends/cuda/plan.c \
	lib/backends/cuda/plugin.c \
	lib/backends/cuda/product.c \
	lib/backends/cuda/profile.c \
	lib/backends/cuda/sm80/attention.cu \
	lib/backends/cuda/sm80/fixed.cu \
	lib/backends/cuda/sm80/mixed.cu \
	lib/backends/cuda/sm80/stream.cu \
	lib/backends/cuda/sm90/attention.cu \
	lib/backends/cuda/sm90/fixed.cu \
	lib/backends/cuda/sm90/mixed.cu \
	lib/backends/cuda/sm90/mixed_int4.cu \
	lib/backends/cuda/sm90/mixed_plain.cu \
	lib/backends/cuda/sm90/stream.cu \
	lib/backends/cuda/staging.c \
	lib/backends/cuda/tiled.c
cuda_headers = \
	lib/backends/cuda/algebra.h \
	lib/backends/cuda/any/number.cuh \
	lib/backends/cuda/common/attend.cuh \
	lib/backends/cuda/common/attend_chunk.cuh \
	lib/backends/cuda/common/attend_launch.cuh \
	lib/backends/cuda/common/attend_token.cuh \
	lib/backends/cuda/common/attention.h \
	lib/backends/cuda/common/calibration.h \
	lib/backends/cuda/common/codes.cuh \
	lib/backends/cuda/common/dequantize.h \
	lib/backends/cuda/common/draw.h \
	lib/backends/cuda/common/fixed.cuh \
	lib/backends/cuda/common/fixed_input.cuh \
	lib/backends/cuda/common/fixed_launch.cuh \
	lib/backends/cuda/common/groups.cuh \
	lib/backends/cuda/common/inputs.h \
	lib/backends/cuda/common/instructions.cuh \
	lib/backends/cuda/common/launch.cuh \
	lib/backends/cuda/common/order.h \
	lib/backends/cuda/common/quantize.h \
	lib/backends/cuda/common/rates.h \
	lib/backends/cuda/common/repack.h \
	lib/backends/cuda/common/shared.cuh \
	lib/backends/cuda/common/stream.cuh \
	lib/backends/cuda/common/stream_input.cuh \
	lib/backends/cuda/common/stream_launch.cuh \
	lib/backends/cuda/common/stream_prepare.cuh \
	lib/backends/cuda/common/stream_weight.cuh \
	lib/backends/cuda/common/vector.cuh \
	lib/backends/cuda/cuda.h \
	lib/backends/cuda/kernels.h \
	lib/backends/cuda/library.h \
	lib/backends/cuda/sm80/fixed.h \
	lib/backends/cuda/sm80/mixed.h \
	lib/backends/cuda/sm80/mixed_kernel.cuh \
	lib/backends/cuda/sm80/mixed_weight.cuh \
	lib/backends/cuda/sm80/stream.h \
	lib/backends/cuda/sm90/fixed.h \
	lib/backends/cuda/sm90/mixed.h \
	lib/backends/cuda/sm90/mixed_kernel.cuh \
	lib/backends/cuda/sm90/mixed_launch.cuh \
	lib/backends/cuda/sm90/mixed_store.cuh \
	lib/backends/cuda/sm90/mixed_weight.cuh \
	lib/backends/cuda/sm90/mixed_work.cuh \
	lib/backends/cuda/sm90/prefill.cuh \
	lib/backends/cuda/sm90/prefill_rows.cuh \
	lib/backends/cuda/sm90/stream.h \
	lib/backends/cuda/sm90/tma.cuh \
	lib/backends/cuda/sm90/wgmma.cuh

EXTRA_DIST += $(cuda_headers) lib/backends/cuda/llq-plugin.map

SUFFIXES = .cu
GENCODE_SM80 = -gencode arch=compute_80,code=sm_80 \
	-gencode arch=compute_80,code=compute_80
GENCODE_SM90 = -gencode arch=compute_90a,code=sm_90a
CUDA_GENCODE = $(GENCODE_SM80) $(GENCODE_SM90)
lib/backends/cuda/sm80/%.lo: CUDA_GENCODE = $(GENCODE_SM80)
lib/backends/cuda/sm90/%.lo: CUDA_GENCODE = $(GENCODE_SM90)

AM_V_NVCC = $(am__v_NVCC_@AM_V@)
am__v_NVCC_ = $(am__v_NVCC_@AM_DEFAULT_V@)
am__v_NVCC_0 = @echo "  NVCC    " $@;

.cu.lo:
	$(AM_V_NVCC)$(MKDIR_P) $(@D)/$(DEPDIR)
	$(AM_V_at)$(LIBTOOL) $(AM_V_lt) --tag=CXX --mode=compile \
	  $(NVCC) -ccbin $(NVCC_CCBIN) -std=c++17 -shared \
	  -forward-unknown-to-host-compiler -Xcompiler=-fvisibility=hidden \
	  $(DEFS) $(DEFAULT_INCLUDES) $(AM_CPPFLAGS) $(CPPFLAGS) \
	  $(CUDA_GENCODE) $(NVCCFLAGS) \
	  -MMD -MP -MT $@ -MF $(@D)/$(DEPDIR)/$(*F).Pcu -c -o $@ $<

-include $(wildcard lib/backends/cuda/*/$(DEPDIR)/*.Pcu bench/$(DEPDIR)/*.Pcu)

clean-local:
	-rm -f lib/backends/cuda/*/$(DEPDIR)/*.Pcu bench/$(DEPDIR)/*.Pcu

if HAVE_CUDA
backenddir = $(libdir)/llq-$(LLQ_ABI)
backend_LTLIBRARIES = llq-cuda.la
llq_cuda_la_SOURCES = $(cuda_sources)
# libstdc++ is needed by what nvcc generates: link as C++.
nodist_EXTRA_llq_cuda_la_SOURCES = force-cxx-link.cc
llq_cuda_la_CPPFLAGS = $(AM_CPPFLAGS) -isystem $(CUDA_HOME)/include \
	-DLLQ_CUDA_LIBDIR='"$(CUDA_HOME)/lib64"'
llq_cuda_la_CFLAGS = -std=gnu11 $(LLQ_WARNINGS) -fvisibility=hidden
llq_cuda_la_LDFLAGS = -module -avoid-version -shared -Wl,-z,defs \
	-Wl,-z,nodelete -L$(CUDA_HOME)/lib64 \
	-Wl,--version-script=$(top_srcdir)/lib/backends/cuda/llq-plugin.map
llq_cuda_la_LIBADD = -lcudart_static -lrt -lpthread -ldl
else
EXTRA_DIST += $(cuda_sources)
endif
