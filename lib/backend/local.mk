# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/backend/backend.h \
	lib/backend/calibration.c \
	lib/backend/checks.h \
	lib/backend/fused.c \
	lib/backend/operations.c \
	lib/backend/plugin.c lib/backend/plugin.h \
	lib/backend/registry.c \
	lib/backend/tools.c \
	lib/backend/upload.c
