# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES +=
