# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/model/config.c lib/model/config.h \
	lib/model/end_ids.c \
	lib/model/forward.c lib/model/forward.h \
	lib/model/info.c \
	lib/model/load.c lib/model/load.h \
	lib/model/model.c lib/model/model.h \
	lib/model/random.c lib/model/random.h \
	lib/model/rope.c
