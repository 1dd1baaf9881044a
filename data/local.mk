# SPDX-License-Identifier: Apache-2.0

# The embedded model and its task set, found by name in $(pkgdatadir).
microdir = $(pkgdatadir)/llq-micro
dist_micro_DATA = \
	data/llq-micro/README.md \
	data/llq-micro/calibration.jsonl \
	data/llq-micro/config.json \
	data/llq-micro/generation_config.json \
	data/llq-micro/heldout.txt \
	data/llq-micro/model.safetensors \
	data/llq-micro/tasks.jsonl \
	data/llq-micro/tokenizer.json \
	data/llq-micro/tokenizer_config.json

# How it was made.
EXTRA_DIST += \
	tools/llq-micro/README.md \
	tools/llq-micro/evaluate.py \
	tools/llq-micro/make_data.py \
	tools/llq-micro/make_tasks.py \
	tools/llq-micro/model.py \
	tools/llq-micro/shapes.txt \
	tools/llq-micro/train.py \
	tools/llq-micro/train_tokenizer.py \
	tools/llq-micro/generator/__init__.py \
	tools/llq-micro/generator/context.py \
	tools/llq-micro/generator/document.py \
	tools/llq-micro/generator/families.py \
	tools/llq-micro/generator/hidden.py \
	tools/llq-micro/generator/lists.py \
	tools/llq-micro/generator/mappings.py \
	tools/llq-micro/generator/pipeline.py \
	tools/llq-micro/generator/predicates.py \
	tools/llq-micro/generator/problem.py \
	tools/llq-micro/generator/processes.py \
	tools/llq-micro/generator/split.py \
	tools/llq-micro/generator/stage.py \
	tools/llq-micro/generator/texts.py \
	tools/llq-micro/generator/values.py
