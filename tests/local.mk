# SPDX-License-Identifier: Apache-2.0

# A program of tests: tests/test_<area>.c defines `Suite *test_suite(void)`;
# tests/support/ runs it and prints TAP. Those in tests_of_internals link the
# static internals; those in tests_of_api see what a user sees, and need a
# line `tests_test_<area>_LDADD = $(api_ldadd)` below.
tests_of_internals = \
	tests/test_backend \
	tests/test_bad_calibration \
	tests/test_base \
	tests/test_calibrating \
	tests/test_calibrating_model \
	tests/test_calibration \
	tests/test_checkpoint \
	tests/test_compare \
	tests/test_compressed_files \
	tests/test_diff \
	tests/test_evaluator \
	tests/test_formats \
	tests/test_forward \
	tests/test_fused \
	tests/test_fused_model \
	tests/test_fused_attend \
	tests/test_generator \
	tests/test_generator_failures \
	tests/test_generator_text \
	tests/test_gguf \
	tests/test_gptq_files \
	tests/test_greedy \
	tests/test_kv_cache \
	tests/test_kv_scales \
	tests/test_linear \
	tests/test_lm_head \
	tests/test_lm_head_files \
	tests/test_memory \
	tests/test_methods \
	tests/test_model \
	tests/test_narrow \
	tests/test_operations \
	tests/test_packed_words \
	tests/test_perplexity \
	tests/test_protocol \
	tests/test_quantizer \
	tests/test_quantizer_refusals \
	tests/test_random_model \
	tests/test_recipe \
	tests/test_report \
	tests/test_run_directory \
	tests/test_sampling \
	tests/test_sandbox \
	tests/test_sanitize \
	tests/test_save \
	tests/test_score \
	tests/test_statistics \
	tests/test_stop \
	tests/test_spool \
	tests/test_sweep \
	tests/test_tasks \
	tests/test_tensor \
	tests/test_threads \
	tests/test_tokenizer \
	tests/test_tokenizer_chat \
	tests/test_tokenizer_files \
	tests/test_tokenizer_time \
	tests/test_verdict

tests_of_api = tests/test_api

LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
PY_LOG_DRIVER = $(LOG_DRIVER)
# The tests against other packages: tests/oracle_<area>.py.
PY_LOG_COMPILER = $${LLQ_TEST_PYTHON:-$(PYTHON3)}
if SANITIZERS
llq_sanitizers = yes
endif

# The multiplier is for busy machines: a test's time limit is real time.
AM_TESTS_ENVIRONMENT = \
	CK_TIMEOUT_MULTIPLIER=10; export CK_TIMEOUT_MULTIPLIER; \
	LLQ_TEST_DATA="$${LLQ_TEST_DATA-$(abs_top_srcdir)/../shared/data}"; export LLQ_TEST_DATA; \
	LLQ_DATA='$(abs_top_srcdir)/data'; export LLQ_DATA; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	LLQ_COMMAND='$(abs_top_builddir)/llq'; export LLQ_COMMAND; \
	LLQ_BACKEND_PATH='$(abs_top_builddir)/.libs'; export LLQ_BACKEND_PATH; \
	AWK='$(AWK)'; NM='$(NM)'; CC='$(CC)'; CXX='$(CXX)'; export AWK NM CC CXX; \
	LLQ_SANITIZERS='$(llq_sanitizers)'; export LLQ_SANITIZERS; \
	PYTHONPATH='$(abs_top_srcdir)/tests/support'; export PYTHONPATH; \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE;

dist_check_SCRIPTS += $(script_tests)
EXTRA_DIST += tests/exports.txt tests/requirements.txt
EXTRA_DIST += tests/support/tap.sh tests/support/oracle.py
EXTRA_DIST += tests/support/tokenizer_files.py
# What oracle_quantizer.py asks.
check_PROGRAMS += tests/support/rtn_values
tests_support_rtn_values_LDADD = libllqi.la
# What oracle_statistics.py asks.
check_PROGRAMS += tests/support/statistics_values
tests_support_statistics_values_LDADD = libllqi.la
script_tests = \
	tests/house.sh \
	tests/oracle_checkpoint.py \
	tests/oracle_formats.py \
	tests/oracle_forward.py \
	tests/oracle_generator.py \
	tests/oracle_gguf.py \
	tests/oracle_kv_cache.py \
	tests/oracle_methods.py \
	tests/oracle_quantizer.py \
	tests/oracle_results.py \
	tests/oracle_statistics.py \
	tests/oracle_tokenizer.py \
	tests/test_abi.sh \
	tests/test_command.sh \
	tests/test_declarations.sh \
	tests/test_doc.sh \
	tests/test_examples.sh \
	tests/test_lua.sh \
	tests/test_interrupted.py \
	tests/test_micro.py \
	tests/test_python.py \
	tests/test_sass.py
TESTS += $(script_tests)

if HAVE_CHECK
# Running prompts through a generator.
generating = tests/support/generating.c tests/support/generating.h
check_LTLIBRARIES += libtestsupport.la
libtestsupport_la_SOURCES = tests/support/hostile.h tests/support/support.c tests/support/support.h \
	tests/support/small_tokenizer.c tests/support/small_tokenizer.h \
	tests/support/tiny.c tests/support/tiny.h
libtestsupport_la_LIBADD = $(JANSSON_LIBS)

check_PROGRAMS += $(tests_of_internals) $(tests_of_api)
TESTS += $(tests_of_internals) $(tests_of_api)

internal_ldadd = libtestsupport.la libllqi.la $(CHECK_LIBS)
api_ldadd = libtestsupport.la libllq.la $(CHECK_LIBS)
LDADD = $(internal_ldadd)
tests_test_api_LDADD = $(api_ldadd)
endif

# Programs of more than one file.
tests_test_generator_SOURCES = tests/test_generator.c $(generating)
tests_test_generator_failures_SOURCES = \
	tests/test_generator_failures.c $(generating)
tests_test_generator_text_SOURCES = \
	tests/test_generator_text.c $(generating)
tests_test_forward_SOURCES = tests/test_forward.c \
	tests/support/forward_run.c tests/support/forward_run.h
# Calibrated methods.
calibrated = tests/support/calibrated.c tests/support/calibrated.h
tests_test_bad_calibration_SOURCES = tests/test_bad_calibration.c $(calibrated)
tests_test_lm_head_SOURCES = tests/test_lm_head.c $(calibrated) \
	tests/support/quantized.c tests/support/quantized.h
tests_test_lm_head_files_SOURCES = tests/test_lm_head_files.c $(calibrated) \
	tests/support/quantized.c tests/support/quantized.h
tests_test_methods_SOURCES = tests/test_methods.c $(calibrated)
tests_test_recipe_SOURCES = tests/test_recipe.c $(calibrated)
tests_test_spool_SOURCES = tests/test_spool.c $(calibrated)
tests_test_perplexity_SOURCES = tests/test_perplexity.c $(generating)
tests_test_save_SOURCES = tests/test_save.c \
	tests/support/quantized.c tests/support/quantized.h
tests_test_diff_SOURCES = tests/test_diff.c \
	tests/support/quantized.c tests/support/quantized.h
tests_test_formats_SOURCES = tests/test_formats.c \
	tests/support/quantized.c tests/support/quantized.h
tests_test_gptq_files_SOURCES = tests/test_gptq_files.c \
	tests/support/quantized.c tests/support/quantized.h
tests_test_compressed_files_SOURCES = tests/test_compressed_files.c \
	tests/support/quantized.c tests/support/quantized.h
tests_test_calibrating_SOURCES = tests/test_calibrating.c \
	tests/support/guarded.c tests/support/guarded.h
tests_test_calibrating_model_SOURCES = tests/test_calibrating_model.c \
	tests/support/guarded.c tests/support/guarded.h
tests_test_operations_SOURCES = tests/test_operations.c \
	tests/support/guarded.c tests/support/guarded.h
tests_test_kv_cache_SOURCES = tests/test_kv_cache.c $(generating) \
	tests/support/guarded.c tests/support/guarded.h
tests_test_kv_scales_SOURCES = tests/test_kv_scales.c $(calibrated) \
	tests/support/forward_run.c tests/support/forward_run.h
tests_test_linear_SOURCES = tests/test_linear.c \
	tests/support/guarded.c tests/support/guarded.h \
	tests/support/weights.c tests/support/weights.h
tests_test_fused_SOURCES = tests/test_fused.c \
	tests/support/guarded.c tests/support/guarded.h \
	tests/support/weights.c tests/support/weights.h
tests_test_fused_model_SOURCES = tests/test_fused_model.c \
	tests/support/forward_run.c tests/support/forward_run.h \
	tests/support/guarded.c tests/support/guarded.h \
	tests/support/micro.c tests/support/micro.h
tests_test_fused_attend_SOURCES = tests/test_fused_attend.c \
	tests/support/guarded.c tests/support/guarded.h
# Round-to-nearest on random models.
rounding = tests/support/rounding.c tests/support/rounding.h
tests_test_quantizer_SOURCES = tests/test_quantizer.c $(rounding)
tests_test_quantizer_refusals_SOURCES = \
	tests/test_quantizer_refusals.c $(rounding)
tests_test_greedy_SOURCES = tests/test_greedy.c $(generating) \
	tests/support/guarded.c tests/support/guarded.h \
	tests/support/micro.c tests/support/micro.h
# Runs of a model that writes text.
evaluating = tests/support/evaluating.c tests/support/evaluating.h
tests_test_evaluator_SOURCES = tests/test_evaluator.c $(evaluating)
tests_test_sweep_SOURCES = tests/test_sweep.c $(evaluating)
tests_test_score_SOURCES = tests/test_score.c $(evaluating)
