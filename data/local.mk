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
