# SPDX-License-Identifier: Apache-2.0
dist_man_MANS += doc/llq.1
EXTRA_DIST += doc/formats.md doc/performance.md doc/performance_gpu.md doc/quantization.md
EXTRA_DIST += doc/protocols.md \
	doc/schemas/comparison.json \
	doc/schemas/manifest.json \
	doc/schemas/result.json \
	doc/schemas/sample.json \
	doc/schemas/sweep.json

EXTRA_DIST += doc/architecture.md doc/glossary.md doc/guide.md doc/packaging.md \
	doc/check_links.sh doc/command_page.awk

# llq-COMMAND.1 for each command of src/main.c, from what its --help says.
command_pages = $(patsubst %,doc/llq-%.1,$(shell \
	$(SED) -nE 's/^    \{"([a-z]+)", ".*/\1/p' $(top_srcdir)/src/main.c))
man1_MANS = $(command_pages)
CLEANFILES += $(command_pages)

doc/llq-%.1: llq$(EXEEXT) $(top_srcdir)/doc/command_page.awk
	$(AM_V_GEN)$(MKDIR_P) doc
	$(AM_V_at)./llq$(EXEEXT) $* --help > $@.tmp
	$(AM_V_at)$(AWK) -f $(top_srcdir)/doc/command_page.awk $@.tmp > $@
	$(AM_V_at)rm -f $@.tmp

# The public interface as HTML in doc/api/, with all pages and links checked.
.PHONY: doc
doc: $(command_pages) doc/Doxyfile
	$(SHELL) $(top_srcdir)/doc/check_links.sh $(abs_top_srcdir)
	doxygen doc/Doxyfile
mostlyclean-local: clean-api
.PHONY: clean-api
clean-api:
	rm -rf doc/api
