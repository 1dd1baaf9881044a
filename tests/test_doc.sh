#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# doc/: links, a manual page for each command, a word on each public symbol.
. "$top_srcdir/tests/support/tap.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

commands() {
  "$LLQ_COMMAND" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

links() {
  bash "$top_srcdir/doc/check_links.sh" "$top_srcdir"
}

dead_link() {
  mkdir -p "$scratch/tree/doc" "$scratch/tree/bindings" "$scratch/tree/data"
  echo '[x](nowhere.md)' > "$scratch/tree/doc/x.md"
  echo '[x](doc/x.md)' > "$scratch/tree/README.md"
  ! bash "$top_srcdir/doc/check_links.sh" "$scratch/tree" > "$scratch/links" &&
    [ "$(cat "$scratch/links")" = "doc/x.md: nowhere.md leads nowhere" ]
}

# Every command has its page, with all of its options.
pages() {
  local name page option
  for name in $(commands); do
    page=$top_builddir/doc/llq-$name.1
    [ -s "$page" ] || { echo "no llq-$name.1"; return 1; }
    for option in $("$LLQ_COMMAND" "$name" --help |
                    sed -nE 's/^  --([a-z-]+).*/\1/p'); do
      tr -d '\\' < "$page" | grep -q -- "^\.It Fl -$option\b" ||
        { echo "llq-$name.1 lacks --$option"; return 1; }
    done
  done
  [ "$(commands | wc -l)" -gt 10 ]
}

lint() {
  ! mandoc -T lint -W warning "$top_builddir"/doc/llq-*.1 |
    grep -v 'outdated mandoc.db'
}

symbols() {
  mkdir -p "$scratch/api/doc" && cd "$scratch/api" &&
    doxygen "$top_builddir/doc/Doxyfile" > out 2>&1 &&
    ! grep -E 'is not documented|[Uu]ndocumented' out &&
    grep -q llq_model_open doc/api/html/model_8h.html
}

ok "relative links lead somewhere" links
ok "a dead link is found" dead_link
ok "each command has a manual page with all its options" pages
if command -v mandoc > /dev/null; then
  ok "the pages are clean" lint
else
  skip "the pages are clean" "mandoc is not installed"
fi
if command -v doxygen > /dev/null; then
  ok "every public symbol is documented" symbols
else
  skip "every public symbol is documented" "doxygen is not installed"
fi
finish
