# SPDX-License-Identifier: Apache-2.0
# Programs for those who link libllq; tests/test_examples.sh builds and runs
# them against an installed copy.
dist_noinst_DATA = \
	examples/custom_task.c \
	examples/evaluate.c \
	examples/generate.c \
	examples/quantize.c \
	examples/threads.c
