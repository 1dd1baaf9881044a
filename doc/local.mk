# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += doc/llq.1
EXTRA_DIST += doc/formats.md doc/performance.md
