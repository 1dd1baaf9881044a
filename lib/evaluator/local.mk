# SPDX-License-Identifier: Apache-2.0
libllqi_la_SOURCES += \
	lib/evaluator/candidate.c lib/evaluator/candidate.h \
	lib/evaluator/compare.c \
	lib/evaluator/evaluator.c lib/evaluator/evaluator.h \
	lib/evaluator/generation.c lib/evaluator/generation.h \
	lib/evaluator/manifest.c lib/evaluator/manifest.h \
	lib/evaluator/metrics.c lib/evaluator/metrics.h \
	lib/evaluator/perplexity.c \
	lib/evaluator/protocol.c lib/evaluator/protocol.h \
	lib/evaluator/run_directory.c lib/evaluator/run_directory.h \
	lib/evaluator/samples.c lib/evaluator/samples.h \
	lib/evaluator/sanitize.c lib/evaluator/sanitize.h \
	lib/evaluator/settings.c lib/evaluator/settings.h \
	lib/evaluator/statistics.c lib/evaluator/statistics.h

# Verdicts: sandboxes, and the Python that runs in them
libllqi_la_SOURCES += \
	lib/evaluator/channel.c lib/evaluator/channel.h \
	lib/evaluator/message.c lib/evaluator/message.h \
	lib/evaluator/prove.c \
	lib/evaluator/reason.c lib/evaluator/reason.h \
	lib/evaluator/runner.h \
	lib/evaluator/sandbox.c lib/evaluator/sandbox.h \
	lib/evaluator/seccomp.c lib/evaluator/seccomp.h \
	lib/evaluator/skim.c lib/evaluator/skim.h \
	lib/evaluator/tasks.c lib/evaluator/tasks.h \
	lib/evaluator/verdict.c lib/evaluator/verdict.h \
	lib/evaluator/worker.c lib/evaluator/worker.h
nodist_libllqi_la_SOURCES = lib/evaluator/runner_text.c

runners = \
	$(srcdir)/lib/evaluator/runner/codec.py \
	$(srcdir)/lib/evaluator/runner/candidate.py \
	$(srcdir)/lib/evaluator/runner/plus.py \
	$(srcdir)/lib/evaluator/runner/checker.py
EXTRA_DIST += $(runners)
CLEANFILES += lib/evaluator/runner_text.c

# Each file as a string of C, under the name that runner.h gives it.
lib/evaluator/runner_text.c: $(runners)
	$(AM_V_GEN)$(MKDIR_P) lib/evaluator && \
	{ echo '#include "evaluator/runner.h"'; \
	for f in $(runners); do \
	  echo "const char llqi_runner_`basename $$f .py`[] ="; \
	  $(SED) 's/[\\"]/\\&/g; s/^/"/; s/$$/\\n"/' $$f; echo ';'; \
	done; } > $@.part && mv $@.part $@
