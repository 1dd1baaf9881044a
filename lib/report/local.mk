# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/report/html.c \
	lib/report/plot.c \
	lib/report/report.c lib/report/report.h \
	lib/report/table.c
