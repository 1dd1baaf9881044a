# SPDX-License-Identifier: Apache-2.0

# What CFFI and LuaJIT declare: one text, cut from the public headers. Bindings
# that are built against an installed libllq find it by
# `pkg-config --variable=cdef llq`.
cdefdir = $(pkgdatadir)
nodist_cdef_DATA = bindings/llq.cdef
CLEANFILES += bindings/llq.cdef
EXTRA_DIST += bindings/declarations.awk bindings/unwrapped.txt

bindings/llq.cdef: $(llqinclude_HEADERS) $(top_srcdir)/bindings/declarations.awk
	$(AM_V_GEN)$(MKDIR_P) bindings
	$(AM_V_at)$(AWK) -f $(top_srcdir)/bindings/declarations.awk \
	  $(top_srcdir)/include/llq/llq.h > $@.tmp
	$(AM_V_at)mv $@.tmp $@
