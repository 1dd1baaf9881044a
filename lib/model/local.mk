# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/model/compressed.c lib/model/compressed.h \
	lib/model/compression.c lib/model/compression.h \
	lib/model/config.c lib/model/config.h \
	lib/model/diff.c \
	lib/model/end_ids.c \
	lib/model/forward.c lib/model/forward.h \
	lib/model/forward_fused.c \
	lib/model/forward_plain.c \
	lib/model/forward_state.h \
	lib/model/gguf.c lib/model/gguf.h \
	lib/model/gguf_config.c \
	lib/model/gptq.c lib/model/gptq_config.c lib/model/gptq.h \
	lib/model/info.c \
	lib/model/kv_scheme.c lib/model/kv_scheme.h \
	lib/model/layout.c lib/model/layout.h \
	lib/model/load.c lib/model/load.h \
	lib/model/match.c lib/model/match.h \
	lib/model/model.c lib/model/model.h \
	lib/model/parts.c lib/model/parts.h \
	lib/model/parts_compressed.c \
	lib/model/parts_gptq.c \
	lib/model/random.c lib/model/random.h \
	lib/model/rope.c \
	lib/model/save.c lib/model/save.h \
	lib/model/save_config.c \
	lib/model/save_gptq.c
