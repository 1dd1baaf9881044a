# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/quantizer/awq.c \
	lib/quantizer/calibration.c lib/quantizer/calibration.h \
	lib/quantizer/calibration_file.c \
	lib/quantizer/convert.c lib/quantizer/convert.h \
	lib/quantizer/fold.c lib/quantizer/fold.h \
	lib/quantizer/gptq.c lib/quantizer/gptq.h \
	lib/quantizer/gptq_factor.c \
	lib/quantizer/grid.c lib/quantizer/grid.h \
	lib/quantizer/inputs.c lib/quantizer/inputs.h \
	lib/quantizer/kv_scales.c lib/quantizer/kv_scales.h \
	lib/quantizer/layer.c lib/quantizer/layer.h \
	lib/quantizer/matrix.c lib/quantizer/matrix.h \
	lib/quantizer/measure.c lib/quantizer/measure.h \
	lib/quantizer/method.c lib/quantizer/method.h \
	lib/quantizer/narrow.c lib/quantizer/narrow.h \
	lib/quantizer/observer.c lib/quantizer/observer.h \
	lib/quantizer/quantizer.c \
	lib/quantizer/recipe.c lib/quantizer/recipe.h \
	lib/quantizer/rtn.c lib/quantizer/rtn.h \
	lib/quantizer/settings.c lib/quantizer/settings.h \
	lib/quantizer/spool.c lib/quantizer/spool.h \
	lib/quantizer/state.h \
	lib/quantizer/steps.c \
	lib/quantizer/streams.c lib/quantizer/streams.h \
	lib/quantizer/target.c lib/quantizer/target.h
