# SPDX-License-Identifier: Apache-2.0
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = packaging/llq.pc
noinst_DATA = packaging/llq-uninstalled.pc

EXTRA_DIST += \
	packaging/README.md \
	packaging/abi.suppr \
	packaging/build-deb \
	packaging/build-wheel \
	packaging/check-abi \
	packaging/llq.nix \
	packaging/test-deb \
	packaging/test-wheel \
	packaging/debian/changelog \
	packaging/debian/control \
	packaging/debian/copyright \
	packaging/debian/libllq-cuda.install \
	packaging/debian/libllq-dev.examples \
	packaging/debian/libllq-dev.install \
	packaging/debian/libllq0.install \
	packaging/debian/libllq0.symbols \
	packaging/debian/llq-data.install \
	packaging/debian/llq-doc.doc-base \
	packaging/debian/llq-doc.docs \
	packaging/debian/llq-doc.install \
	packaging/debian/llq.install \
	packaging/debian/lua-llq.docs \
	packaging/debian/lua-llq.examples \
	packaging/debian/lua-llq.install \
	packaging/debian/not-installed \
	packaging/debian/rules \
	packaging/debian/source/format \
	packaging/debian/tests/c \
	packaging/debian/tests/control \
	packaging/debian/tests/demo \
	packaging/debian/tests/lua \
	packaging/debian/tests/python \
	packaging/debian/tests/sandbox
