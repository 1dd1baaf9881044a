# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/tokenizer/bpe.c lib/tokenizer/bpe.h \
	lib/tokenizer/bpe_table.c lib/tokenizer/bpe_table.h \
	lib/tokenizer/chat.c \
	lib/tokenizer/gguf_json.c lib/tokenizer/gguf_json.h \
	lib/tokenizer/json_config.c \
	lib/tokenizer/json_scan.c lib/tokenizer/json_scan.h \
	lib/tokenizer/repair.c lib/tokenizer/repair.h \
	lib/tokenizer/special.c lib/tokenizer/special.h \
	lib/tokenizer/split.c lib/tokenizer/split.h \
	lib/tokenizer/tiktoken_file.c \
	lib/tokenizer/tokenizer.c lib/tokenizer/tokenizer.h \
	lib/tokenizer/tokenizer_json.c \
	lib/tokenizer/vocab.c lib/tokenizer/vocab.h
