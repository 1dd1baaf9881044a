# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/base/alloc.c lib/base/alloc.h \
	lib/base/file.c lib/base/file.h \
	lib/base/hash.c lib/base/hash.h \
	lib/base/json.c lib/base/json.h \
	lib/base/log.c lib/base/log.h \
	lib/base/options.c lib/base/options.h \
	lib/base/place.c lib/base/place.h \
	lib/base/random.c lib/base/random.h \
	lib/base/sizes.c \
	lib/base/status.c lib/base/status.h \
	lib/base/text.c lib/base/text.h \
	lib/base/threads.c lib/base/threads.h \
	lib/base/utf8.c lib/base/utf8.h \
	lib/base/vector.h
