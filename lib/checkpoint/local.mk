# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/checkpoint/checkpoint.c lib/checkpoint/checkpoint.h \
	lib/checkpoint/gguf.c lib/checkpoint/gguf.h \
	lib/checkpoint/gguf_read.h \
	lib/checkpoint/gguf_value.c \
	lib/checkpoint/safetensors.c lib/checkpoint/safetensors.h \
	lib/checkpoint/safetensors_write.c lib/checkpoint/safetensors_write.h
