# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/sweep/formats.c lib/sweep/formats.h \
	lib/sweep/sweep.c \
	lib/sweep/table.c lib/sweep/table.h
