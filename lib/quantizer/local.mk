# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/quantizer/convert.c lib/quantizer/convert.h \
	lib/quantizer/observer.c lib/quantizer/observer.h \
	lib/quantizer/quantizer.c \
	lib/quantizer/rtn.c lib/quantizer/rtn.h \
	lib/quantizer/target.c lib/quantizer/target.h
