#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The declarations that bindings use: cut from the headers, and complete.
. "$top_srcdir/tests/support/tap.sh"

cdef=$top_builddir/bindings/llq.cdef
awk=${AWK:-awk}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

generate() {
  $awk -f "$top_srcdir/bindings/declarations.awk" "$1/llq.h"
}

current() {
  generate "$top_srcdir/include/llq" | diff "$cdef" -
}

# The same C to a compiler, without any header but those of the standard.
compiles() {
  { printf '#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n'
    cat "$cdef"; } > "$scratch/cdef.c"
  ${CC:-cc} -std=c99 -pedantic -Wall -Werror -fsyntax-only "$scratch/cdef.c"
}

# A struct that grows and a function that comes in a header reach the text.
follows_headers() {
  cp -R "$top_srcdir/include/llq" "$scratch/llq" && chmod -R u+w "$scratch/llq"
  sed -i -e 's/^} llq_model_options;/  int32_t news; &/' \
    -e 's|^/\* ffi:end|LLQ_API int llq_news(void);\n&|' "$scratch/llq/model.h"
  generate "$scratch/llq" > "$scratch/news" &&
    grep -q 'int32_t news; } llq_model_options;' "$scratch/news" &&
    grep -qx 'int llq_news(void);' "$scratch/news"
}

# What is no plain C, or never ends, is an error and no shorter text.
refuses() {
  cp "$top_srcdir"/include/llq/*.h "$scratch/llq"
  sed -i "$1" "$scratch/llq/model.h"
  ! generate "$scratch/llq" > "$scratch/refused"
}

all_functions() {
  grep -oE '\bllq_[a-z0-9_]+\(' "$cdef" | tr -d '(' | sort -u > "$scratch/have"
  comm -23 "$top_srcdir/tests/exports.txt" "$scratch/have" | grep . && return 1
  return 0
}

# $1 is a folder of wrappers; each function is used there, or is listed.
wrapped() {
  local name status=0
  while read -r name; do
    grep -rqE "\\b$name\\b" "$top_srcdir/bindings/$1" ||
      grep -qE "^$name\\b" "$top_srcdir/bindings/unwrapped.txt" ||
      { echo "$name: wrap it in bindings/$1, or list it in" \
             "bindings/unwrapped.txt"; status=1; }
  done < "$top_srcdir/tests/exports.txt"
  return $status
}

# llq_sizeof() lets a binding without a compiler check its layout.
sizes() {
  local name status=0
  for name in $(sed -nE 's/^\} (llq_[a-z_]+);/\1/p' "$cdef"); do
    grep -qE "SIZE\\($name\\)" "$top_srcdir/lib/base/sizes.c" ||
      { echo "$name: add it to lib/base/sizes.c"; status=1; }
  done
  return $status
}

ok "bindings/llq.cdef is what the headers say" current
ok "it is plain C" compiles
ok "a change in a header reaches it" follows_headers
ok "a directive between the markers is refused" \
  refuses 's|/\* ffi:begin.*|&\n#define NEWS 1|'
ok "a part without its end is refused" refuses '/ffi:end/d'
ok "it declares every exported function" all_functions
for folder in python/llq lua/llq; do
  [ ! -d "$top_srcdir/bindings/$folder" ] ||
    ok "bindings/$folder wraps every function" wrapped "$folder"
done
ok "llq_sizeof() knows every public struct" sizes
finish
