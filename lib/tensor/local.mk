# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/tensor/awq.c \
	lib/tensor/dense.c \
	lib/tensor/dtype.c lib/tensor/dtype.h \
	lib/tensor/format.h \
	lib/tensor/fp8.c \
	lib/tensor/ggml.c lib/tensor/ggml.h \
	lib/tensor/gptq.c \
	lib/tensor/int4.c \
	lib/tensor/int8.c \
	lib/tensor/tensor.h \
	lib/tensor/transposed.c lib/tensor/transposed.h \
	lib/tensor/weight.c lib/tensor/weight.h
