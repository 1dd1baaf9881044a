-- SPDX-License-Identifier: Apache-2.0
-- Quantize Llama models, and measure what that does to the code they write.
--
--   local llq = require "llq"
--   local model = llq.model "llq-micro"
--   local int4 = model:quantize "w4a16-int"
--   for text in llq.generator(int4):stream "def add(a, b):" do
--     io.write(text)
--   end
--
-- Failures are Lua errors: tables with `message`, `status` and `name`. Objects
-- are freed by the collector; :close() does it at once.

local native = require "llq.native"

local llq = {
  json = require "llq.json",
  version = native.ffi.string(native.C.llq_version()),
}
for _, name in ipairs {"model", "generator", "evaluator"} do
  for key, value in pairs(require("llq." .. name)) do
    if key ~= "run_on" then llq[key] = value end
  end
end

return llq
