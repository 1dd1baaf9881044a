# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += doc/llq.1
EXTRA_DIST += doc/formats.md doc/performance.md
EXTRA_DIST += doc/protocols.md \
	doc/schemas/comparison.json \
	doc/schemas/manifest.json \
	doc/schemas/result.json \
	doc/schemas/sample.json \
	doc/schemas/sweep.json
