# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/evaluator/compare.c \
	lib/evaluator/metrics.c lib/evaluator/metrics.h \
	lib/evaluator/perplexity.c \
	lib/evaluator/protocol.c lib/evaluator/protocol.h \
	lib/evaluator/run_directory.c lib/evaluator/run_directory.h \
	lib/evaluator/sanitize.c lib/evaluator/sanitize.h \
	lib/evaluator/statistics.c lib/evaluator/statistics.h \
	lib/evaluator/tasks.h \
	lib/evaluator/verdict.h
