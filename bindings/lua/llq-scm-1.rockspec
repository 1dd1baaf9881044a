-- SPDX-License-Identifier: Apache-2.0
rockspec_format = "3.0"
package = "llq"
version = "scm-1"
source = {url = "git+file://."}
description = {
  summary = "Quantized Llama code generation: quantize, generate, evaluate",
  license = "Apache-2.0",
}
dependencies = {"lua == 5.1"} -- LuaJIT
external_dependencies = {LLQ = {library = "llq"}}
build = {
  type = "make",
  build_target = "build",
  build_variables = {CFLAGS = "$(CFLAGS)"},
  install_target = "install",
  install_variables = {LUADIR = "$(LUADIR)"},
}
