# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/evaluator/compare.c \
	lib/evaluator/metrics.c lib/evaluator/metrics.h \
	lib/evaluator/sanitize.c lib/evaluator/sanitize.h \
	lib/evaluator/statistics.c lib/evaluator/statistics.h
