# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/generator/batch.c lib/generator/batch.h \
	lib/generator/generator.c lib/generator/generator.h \
	lib/generator/kv_cache.c lib/generator/kv_cache.h \
	lib/generator/request.c lib/generator/request.h \
	lib/generator/sampling.c lib/generator/sampling.h \
	lib/generator/scheduler.c lib/generator/scheduler.h \
	lib/generator/sequence.c lib/generator/sequence.h \
	lib/generator/stop.c lib/generator/stop.h
