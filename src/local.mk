# SPDX-License-Identifier: Apache-2.0
bin_PROGRAMS += llq
llq_SOURCES = \
	src/arguments.c src/arguments.h \
	src/bench.c src/bench.h \
	src/bench_report.c \
	src/command.c src/command.h \
	src/comparison.c \
	src/convert.c \
	src/devices.c \
	src/diff.c \
	src/evaluate.c src/evaluate.h \
	src/generate.c \
	src/info.c \
	src/logits.c \
	src/main.c \
	src/perplexity.c \
	src/progress.c src/progress.h \
	src/quantize.c \
	src/sweep.c \
	src/tokens.c
llq_LDADD = libllq.la $(JANSSON_LIBS)
