# SPDX-License-Identifier: Apache-2.0
# Cuts the declarations for bindings out of the public headers: what stands
# between their ffi: markers, without LLQ_API, in the order in which llq.h
# includes them. The result is plain C that CFFI and LuaJIT take as it is.
#
#   awk -f declarations.awk include/llq/llq.h > llq.cdef

function fail(message) {
  print "declarations.awk: " message > "/dev/stderr"
  failed = 1
  exit 1
}

# Prints the marked part of a header.
function cut(path,    line, inside, seen, status) {
  while ((status = (getline line < path)) > 0) {
    if (line ~ /ffi:begin/) {
      inside = seen = 1
    } else if (line ~ /ffi:end/) {
      inside = 0
    } else if (inside) {
      if (line ~ /^[ \t]*#/)
        fail(path ": '" line "' is not plain C")
      gsub(/LLQ_API[ \t]+/, "", line)
      print line
    }
  }
  close(path)
  if (status < 0)
    fail(path ": cannot read")
  if (!seen || inside)
    fail(path ": no part between ffi:begin and ffi:end")
}

BEGIN {
  print "/* Cut from the headers of libllq by declarations.awk. */"
}

# version.h is configured, and holds macros only.
/^#include <llq\// && !/version\.h/ {
  folder = FILENAME
  sub(/[^\/]*$/, "", folder)
  name = $2
  gsub(/<llq\/|>/, "", name)
  cut(folder name)
  n_headers++
}

END {
  if (!failed && n_headers == 0)
    fail("no header was given")
}
