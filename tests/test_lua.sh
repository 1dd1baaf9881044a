#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# require "llq": the tests of the Lua module, and its scripts.
. "$top_srcdir/tests/support/tap.sh"

luajit=$(command -v luajit) ||
  { echo "1..0 # SKIP luajit is not installed"; exit 0; }
[ "$LLQ_SANITIZERS" != yes ] ||
  { echo "1..0 # SKIP Lua cannot load a library built with sanitizers"; exit 0; }

lua=$top_srcdir/bindings/lua
export LLQ_LIBRARY=$top_builddir/.libs/libllq.so.0
export LUA_PATH="$top_builddir/bindings/lua/?.lua;$lua/?.lua;$lua/?/init.lua;$lua/tests/?.lua"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The module's own tests print TAP: theirs is passed on, and counted here.
module() {
  "$luajit" "$lua/tests/run.lua" "$scratch" > "$scratch/tap" 2> "$scratch/err"
  [ $? -eq 0 ] || sed 's/^/# /' "$scratch/err"
  grep -v '^1\.\.' "$scratch/tap"
  n_tests=$(grep -cE '^(not )?ok ' "$scratch/tap")
  n_failed=$(grep -cE '^not ok ' "$scratch/tap")
}

module_finished() {
  grep -qx "1..$n_module" "$scratch/tap" && [ "$n_module" -gt 15 ]
}

plan() {
  cat > "$scratch/plan.lua" <<PLAN
return {
  {name = "nowhere", model = "/nowhere", task = "llq-micro"},
  {name = "micro", model = "llq-micro", task = "llq-micro", n_tasks = 3,
   schemes = {"bf16", "w8a8-int"}},
}
PLAN
  "$luajit" "$lua/scripts/overnight.lua" "$scratch/plan.lua" "$scratch/night" \
    > "$scratch/shown" 2> "$scratch/said"
}

overnight_goes_on() {
  ! plan && grep -q 'nowhere: failed: .*no such model' "$scratch/said" &&
    grep -q w8a8-int-rtn "$scratch/shown" &&
    [ -s "$scratch/night/micro/report.html" ]
}

overnight_resumes() {
  local before
  before=$(cksum < "$scratch/night/micro/bf16/samples.jsonl")
  rm "$scratch/night/micro/report.html" "$scratch/night/micro/sweep.json"
  ! plan && [ -s "$scratch/night/micro/sweep.json" ] &&
    [ "$before" = "$(cksum < "$scratch/night/micro/bf16/samples.jsonl")" ] &&
    ! plan && grep -q 'micro: done already' "$scratch/said"
}

plots() {
  "$luajit" "$lua/scripts/plot.lua" "$scratch/plot.svg" "$scratch/night/micro" &&
    grep -q w8a8-int-rtn "$scratch/plot.svg"
}

# As LuaRocks does, with the declarations that pkg-config finds.
installs() {
  cp -R "$lua" "$scratch/rock" && chmod -R u+w "$scratch/rock" &&
    PKG_CONFIG_PATH="$top_builddir/packaging" \
      make -s -C "$scratch/rock" install LUADIR="$scratch/tree" &&
    cd / && LUA_PATH="$scratch/tree/?.lua;$scratch/tree/?/init.lua" \
      "$luajit" -e 'assert(require("llq").version)'
}

rocks() {
  cp -R "$lua" "$scratch/rocks" && chmod -R u+w "$scratch/rocks" &&
    cd "$scratch/rocks" && PKG_CONFIG_PATH="$top_builddir/packaging" \
    env -u LUA_PATH luarocks --lua-version 5.1 --tree "$scratch/rock-tree" make \
      llq-scm-1.rockspec LLQ_LIBDIR="$top_builddir/.libs" &&
    cd / && tree=$scratch/rock-tree/share/lua/5.1 &&
    LUA_PATH="$tree/?.lua;$tree/?/init.lua" \
      "$luajit" -e 'assert(require("llq").version)'
}

module
n_module=$n_tests
ok "all tests of the module ran" module_finished
ok "the overnight script goes on after a failure" overnight_goes_on
ok "it resumes, and repeats nothing" overnight_resumes
if command -v gnuplot > /dev/null; then
  ok "the plot shows every format" plots
else
  skip "the plot shows every format" "gnuplot is not installed"
fi
if command -v pkg-config > /dev/null; then
  ok "the rock's make installs it" installs
else
  skip "the rock's make installs it" "pkg-config is not installed"
fi
if command -v luarocks pkg-config > /dev/null; then
  ok "luarocks make installs it" rocks
else
  skip "luarocks make installs it" "luarocks is not installed"
fi
finish
