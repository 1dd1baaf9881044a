# SPDX-License-Identifier: Apache-2.0

# What CFFI and LuaJIT declare: one text, cut from the public headers. Bindings
# that are built against an installed libllq find it by
# `pkg-config --variable=cdef llq`.
cdefdir = $(pkgdatadir)
nodist_cdef_DATA = bindings/llq.cdef
CLEANFILES += bindings/llq.cdef
EXTRA_DIST += bindings/declarations.awk bindings/unwrapped.txt

python_files = \
	bindings/python/MANIFEST.in \
	bindings/python/README.md \
	bindings/python/llq_build.py \
	bindings/python/pyproject.toml \
	bindings/python/setup.py \
	bindings/python/llq/__init__.py \
	bindings/python/llq/_llq.pyi \
	bindings/python/llq/_native.py \
	bindings/python/llq/device.py \
	bindings/python/llq/errors.py \
	bindings/python/llq/evaluator.py \
	bindings/python/llq/generator.py \
	bindings/python/llq/model.py \
	bindings/python/llq/plots.py \
	bindings/python/llq/progress.py \
	bindings/python/llq/py.typed \
	bindings/python/llq/results.py \
	bindings/python/llq/tokenizer.py \
	bindings/python/notebooks/1-first-trade-off.ipynb \
	bindings/python/notebooks/2-your-model-and-calibration.ipynb \
	bindings/python/notebooks/3-hardware-comparison.ipynb \
	bindings/python/tests/conftest.py \
	bindings/python/tests/test_objects.py \
	bindings/python/tests/test_package.py \
	bindings/python/tests/test_results.py \
	bindings/python/tests/test_text.py \
	bindings/python/tests/user_script.py
EXTRA_DIST += $(python_files)

bindings/llq.cdef: $(llqinclude_HEADERS) $(top_srcdir)/bindings/declarations.awk
	$(AM_V_GEN)$(MKDIR_P) bindings
	$(AM_V_at)$(AWK) -f $(top_srcdir)/bindings/declarations.awk \
	  $(top_srcdir)/include/llq/llq.h > $@.tmp
	$(AM_V_at)mv $@.tmp $@

# The Lua module: the same text between brackets that no comment can end.
luadir = $(datadir)/lua/5.1/llq
dist_lua_DATA = \
	bindings/lua/llq/evaluator.lua \
	bindings/lua/llq/generator.lua \
	bindings/lua/llq/init.lua \
	bindings/lua/llq/json.lua \
	bindings/lua/llq/model.lua \
	bindings/lua/llq/native.lua
nodist_lua_DATA = bindings/lua/llq/cdef.lua
CLEANFILES += bindings/lua/llq/cdef.lua
EXTRA_DIST += \
	bindings/lua/Makefile \
	bindings/lua/README.md \
	bindings/lua/llq-scm-1.rockspec \
	bindings/lua/scripts/overnight.lua \
	bindings/lua/scripts/plot.lua \
	bindings/lua/tests/run.lua \
	bindings/lua/tests/unit.lua

bindings/lua/llq/cdef.lua: bindings/llq.cdef
	$(AM_V_GEN)$(MKDIR_P) $(@D)
	$(AM_V_at){ echo 'return [=['; cat bindings/llq.cdef; echo ']=]'; } > $@.tmp
	$(AM_V_at)mv $@.tmp $@
