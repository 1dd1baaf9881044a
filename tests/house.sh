#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests of the house itself: who includes whom, headers alone, exported symbols,
# the version in one place.
. "$top_srcdir/tests/support/tap.sh"

# The stages of lib/ in the order of the data flow. A stage may include those
# before it; backends only the ground floor and backend/.
stages="base tensor backend checkpoint tokenizer model quantizer generator
        evaluator sweep report"

# The folders that lib/$1 may include from.
allowed_for() {
  local allowed="" stage
  if [ "$1" != backends ]; then
    for stage in $stages; do
      allowed="$allowed $stage"
      [ "$stage" = "$1" ] && break
    done
    echo "$allowed"
  else
    echo "base tensor backend backends"
  fi
}

check_includes() {
  local status=0 folder target file
  for folder in $stages backends; do
    while IFS=: read -r file target; do
      case " $(allowed_for "$folder") " in
      *" $target "*) ;;
      *) echo "${file#"$top_srcdir"/} includes $target/"; status=1 ;;
      esac
    done < <(grep -rHoE '^#include "[a-z]+/' "$top_srcdir/lib/$folder" |
             sed -E 's/:#include "([a-z]+)\//:\1/')
  done
  return $status
}

check_folders() {
  local folder
  for folder in "$top_srcdir"/lib/*/; do
    folder=$(basename "$folder")
    case " $(echo $stages) backends " in
    *" $folder "*) ;;
    *) echo "lib/$folder is no stage"; return 1 ;;
    esac
  done
}

# The command sees what a user sees.
check_command_includes() {
  ! grep -rnE '#include "(base|tensor|backend|model|generator)/' \
    "$top_srcdir/src"
}

header_flags="-I$top_srcdir/include -I$top_builddir/include"

header_alone() {
  printf '#include <llq/%s>\ntypedef int not_empty;\n' "$2" > "$scratch/alone.$3"
  $1 $header_flags -pedantic -Wall -Wextra -Werror -fsyntax-only \
    "$scratch/alone.$3"
}

check_exports() {
  ${NM:-nm} -D --defined-only "$top_builddir/.libs/libllq.so" |
    awk '$3 !~ /^LLQ_/ { sub(/@.*/, "", $3); print $3 }' | sort \
    > "$scratch/exports"
  diff "$top_srcdir/tests/exports.txt" "$scratch/exports"
}

# Every exported function is declared in a public header, and the reverse.
check_declared() {
  grep -hoE '\bllq_[a-z0-9_]+\(' "$top_srcdir"/include/llq/*.h |
    tr -d '(' | sort -u > "$scratch/declared"
  comm -23 "$top_srcdir/tests/exports.txt" "$scratch/declared" |
    grep . && return 1
  return 0
}

version=$(sed -nE 's/^AC_INIT\(\[libllq\], \[([^]]+)\].*/\1/p' \
          "$top_srcdir/configure.ac")

check_version_once() {
  ! grep -rnF --include='*.[ch]' --include='*.mk' --include='*.in' \
    --include='*.am' --include='*.md' "$version" "$top_srcdir/lib" \
    "$top_srcdir/src" "$top_srcdir/include" "$top_srcdir/packaging" \
    "$top_srcdir/Makefile.am" "$top_srcdir/README.md" |
    grep -v 'include/llq/version.h:'
}

check_version_of_command() {
  [ "$("$LLQ_COMMAND" --version)" = "llq $version" ]
}

check_version_of_pkgconfig() {
  grep -qx "Version: $version" "$top_builddir/packaging/llq.pc"
}

# Debian's packages are of this version, and know every exported symbol.
check_debian() {
  local debian=$top_srcdir/packaging/debian
  grep -qE "^libllq \($version-[0-9]+\) " <(head -n 1 "$debian/changelog") ||
    { head -n 1 "$debian/changelog"; return 1; }
  sed -nE 's/^ (llq_[a-z0-9_]+)@LLQ_0 .*/\1/p' "$debian/libllq0.symbols" |
    diff "$top_srcdir/tests/exports.txt" -
}

check_licence_lines() {
  local missing
  missing=$(grep -rLE 'SPDX-License-Identifier: Apache-2.0' \
    --include='*.[ch]' --include='*.cu' --include='*.cuh' --include='*.sh' \
    --include='*.py' --include='*.mk' --include='*.am' --include='*.ac' \
    "$top_srcdir"/{lib,src,include,tests,bench,tools,configure.ac,Makefile.am} |
    grep -v /__pycache__/)
  [ -z "$missing" ] || { echo "$missing"; return 1; }
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

ok "stages include no later stage" check_includes
ok "every folder of lib/ is a stage" check_folders
ok "the command uses the public interface only" check_command_includes
for path in "$top_srcdir"/include/llq/*.h "$top_builddir"/include/llq/version.h; do
  header=$(basename "$path")
  ok "$header alone in C99" header_alone "${CC:-cc} -std=c99" "$header" c
  ok "$header alone in C++11" header_alone "${CXX:-c++} -std=c++11" "$header" cc
done
ok "libllq.so exports what tests/exports.txt lists" check_exports
ok "what is exported is declared" check_declared
ok "the version stands in one place" check_version_once
ok "llq --version tells it" check_version_of_command
ok "llq.pc tells it" check_version_of_pkgconfig
ok "Debian's changelog and symbols agree" check_debian
ok "every source has its licence line" check_licence_lines
finish
