#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# examples/: built with pkg-config against an installed libllq, and run.
. "$top_srcdir/tests/support/tap.sh"

command -v pkg-config > /dev/null ||
  { echo "1..0 # SKIP pkg-config is not installed"; exit 0; }
[ "$LLQ_SANITIZERS" != yes ] ||
  { echo "1..0 # SKIP a plain program cannot link a sanitized library"; exit 0; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
configured() {
  env -u PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_PATH="$top_builddir/packaging" \
    PKG_CONFIG_DISABLE_UNINSTALLED=1 pkg-config --variable="$1" llq
}
prefix=$(configured prefix)
lib=$(configured libdir)
lib=${lib#"$prefix"}
root=$scratch/root
export PKG_CONFIG_PATH=$root$prefix$lib/pkgconfig
export PKG_CONFIG_SYSROOT_DIR=$root
needed=${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH=$root$prefix$lib$needed
export LLQ_BACKEND=cpu
# What was installed finds its own.
unset LLQ_DATA LLQ_BACKEND_PATH

installs() {
  MAKEFLAGS='' MFLAGS='' make -s -C "$top_builddir" install-data install-exec \
    DESTDIR="$root"
}

builds() {
  ${CC:-cc} -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror \
    "$top_srcdir/examples/$1.c" $(pkg-config --cflags --libs llq) -pthread \
    -o "$scratch/$1"
}

# What bindings that are built against it ask llq.pc for.
has_declarations() {
  cmp "$top_builddir/bindings/llq.cdef" "$(installed cdef)" &&
    [ -f "$(installed datadir)/llq-micro/model.safetensors" ]
}

# The path that a variable of llq.pc names, under the test's root.
installed() {
  local path
  path=$(pkg-config --variable="$1" llq)
  echo "$root${path#"$root"}"
}

# $1 is a pattern that the output of the rest has.
prints() {
  local pattern=$1 shown
  shift
  shown=$("$@" 2> "$scratch/err") || { cat "$scratch/err"; return 1; }
  grep -qE "$pattern" <<< "$shown" || { echo "$shown"; return 1; }
}

fails() {
  ! "$@" > "$scratch/out" 2>&1 && grep -q nowhere "$scratch/out"
}

cd "$scratch" || exit 1
ok "make install DESTDIR=" installs
ok "llq.pc says where declarations and data are" has_declarations
for name in generate quantize evaluate threads custom_task; do
  ok "$name builds against what was installed" builds "$name"
done
ok "generate prints text" prints . ./generate llq-micro 'def add(a, b):'
ok "generate names a model that is not there" fails ./generate /nowhere x
ok "quantize saves four bits" prints '^w4a16-int: [0-9.]+ MiB, was 15' \
  ./quantize llq-micro "$(installed datadir)/llq-micro/calibration.jsonl" int4
ok "evaluate compares it with the original" prints '"difference_ci95"' \
  ./evaluate llq-micro int4 llq-micro runs
ok "threads: one ends, one is cancelled" prints 'worker 1: [5-9] tokens, cancelled' \
  ./threads llq-micro
ok "custom_task: one program in three is right" prints '"pass@1": 0.333' \
  ./custom_task mine

# The whole prefix, moved somewhere else.
moved=$scratch/moved
mv "$root$prefix" "$moved"
unset PKG_CONFIG_SYSROOT_DIR
export PKG_CONFIG_PATH=$moved$lib/pkgconfig
export LD_LIBRARY_PATH=$moved$lib$needed

flags_follow() {
  [ "$(pkg-config --define-prefix --variable=cdef llq)" -ef \
    "$moved/share/libllq/llq.cdef" ] &&
    ${CC:-cc} "$top_srcdir/examples/generate.c" -o moved_generate \
      $(pkg-config --define-prefix --cflags --libs llq)
}

finds_plugins() {
  mkdir -p "$moved$lib/llq-0" && echo 'int x;' > x.c &&
    ${CC:-cc} -shared -fPIC x.c -o "$moved$lib/llq-0/llq-own.so" &&
    ! "$moved/bin/llq" generate llq-micro --prompt x --backend own 2> err &&
    grep -q "$moved.*/llq-0/llq-own.so: no llq_backend_entry" err
}

case $lib in
/lib | /lib64) # that its option understands
  ok "moved, pkg-config --define-prefix follows" flags_follow ;;
*)
  skip "moved, pkg-config --define-prefix follows" "libdir is$lib in the prefix" ;;
esac
ok "moved, the command finds its model" \
  prints llq-micro "$moved/bin/llq" info llq-micro
ok "moved, its plugins are found" finds_plugins
finish
