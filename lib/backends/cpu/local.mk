# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/backends/cpu/activation.c \
	lib/backends/cpu/attention.c \
	lib/backends/cpu/cpu.c lib/backends/cpu/cpu.h \
	lib/backends/cpu/device.c \
	lib/backends/cpu/elementwise.c \
	lib/backends/cpu/embed.c \
	lib/backends/cpu/linear_reference.c \
	lib/backends/cpu/norm.c \
	lib/backends/cpu/rope.c
