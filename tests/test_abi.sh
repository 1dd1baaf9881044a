#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# packaging/check-abi finds what breaks programs, and nothing else.
. "$top_srcdir/tests/support/tap.sh"

command -v abidiff > /dev/null ||
  { echo "1..0 # SKIP abidiff is not installed"; exit 0; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat > "$scratch/stub.c" <<'STUB'
#include <llq/llq.h>
const char *llq_version(void) { return ""; }
int llq_generator_open(llq_generator **out, llq_backend *backend,
                       llq_model *model, const llq_generator_options *options) {
  return options->n_sequences;
}
#ifdef MORE
int llq_more(void) { return 0; }
#endif
STUB

# A library with two functions and the public types: stub NAME FROM TO changes
# one line of generator.h; further arguments go to the compiler.
stub() {
  local name=$1 header=$scratch/$1/include/llq/generator.h
  mkdir -p "$scratch/$name"
  cp -R "$top_srcdir/include" "$scratch/$name/" &&
    chmod -R u+w "$scratch/$name" &&
    cp "$top_builddir/include/llq/version.h" "$scratch/$name/include/llq/" &&
    sed -i "s/$2/$3/" "$header" &&
    { [ "$2" = "$3" ] ||
      ! cmp -s "$header" "$top_srcdir/include/llq/generator.h"; } || return 1
  shift 3
  ${CC:-cc} -g -shared -fPIC -Wl,-soname,libllq.so.0 "$@" \
    -I"$scratch/$name/include" "$scratch/stub.c" -o "$scratch/$name.so"
}

check() {
  bash "$top_srcdir/packaging/check-abi" "$@" > "$scratch/out" 2>&1
}

breaks() {
  local pattern=$1
  shift
  stub "$@" || return 2
  check "$scratch/old.so" "$scratch/$1.so"
  [ $? -eq 1 ] && grep -q "$pattern" "$scratch/out" ||
    { cat "$scratch/out"; return 1; }
}

keeps() {
  stub "$@" && check "$scratch/old.so" "$scratch/$1.so" ||
    { cat "$scratch/out"; return 1; }
}

whole_library() {
  local library=$top_builddir/.libs/libllq.so
  check "$library" "$library" &&
    grep -qx "ABI: nothing that breaks" "$scratch/out" &&
    ! check "$library" "$scratch/old.so" &&
    grep -q "llq_model_open" "$scratch/out" || { cat "$scratch/out"; return 1; }
}

field='int32_t n_sequences;'
stub old x x || exit 1
ok "an unchanged library passes" keeps same x x
ok "a changed field breaks" breaks n_sequences wider "$field" \
  'int64_t n_sequences;'
ok "a moved field breaks" breaks n_sequences moved "$field" \
  "int32_t new; $field"
ok "a function that is gone breaks" breaks llq_version gone x x \
  -Dllq_version=llq_gone
ok "a new function does not" keeps more x x -DMORE
ok "a field at a struct's end does not" keeps grown \
  '^} llq_generator_options;' 'int64_t last; } llq_generator_options;'
ok "a new soname may" keeps soname "$field" 'int64_t n_sequences;' \
  -Wl,-soname,libllq.so.1
ok "libllq.so against itself, and against the stub" whole_library
finish
