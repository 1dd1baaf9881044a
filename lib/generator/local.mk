# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/generator/sampling.c lib/generator/sampling.h \
	lib/generator/stop.c lib/generator/stop.h
