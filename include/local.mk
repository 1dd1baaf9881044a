# SPDX-License-Identifier: Apache-2.0
llqincludedir = $(includedir)/llq
llqinclude_HEADERS = \
	include/llq/llq.h \
	include/llq/status.h \
	include/llq/device.h \
	include/llq/model.h \
	include/llq/tokenizer.h \
	include/llq/quantizer.h \
	include/llq/generator.h \
	include/llq/evaluator.h \
	include/llq/sweep.h \
	include/llq/report.h \
	include/llq/backend.h
nodist_llqinclude_HEADERS = include/llq/version.h
