# SPDX-License-Identifier: Apache-2.0
# For shell tests: `ok NAME COMMAND...` is one TAP test; `finish` ends them.
n_tests=0
n_failed=0

ok() {
  local name=$1
  shift
  n_tests=$((n_tests + 1))
  if output=$("$@" 2>&1); then
    echo "ok $n_tests - $name"
  else
    n_failed=$((n_failed + 1))
    echo "not ok $n_tests - $name"
    printf '%s\n' "$output" | sed 's/^/# /' | head -n 40
  fi
}

skip() {
  n_tests=$((n_tests + 1))
  echo "ok $n_tests - $1 # SKIP $2"
}

finish() {
  echo "1..$n_tests"
  [ "$n_failed" -eq 0 ]
  exit
}
