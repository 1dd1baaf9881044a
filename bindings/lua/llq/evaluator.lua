-- SPDX-License-Identifier: Apache-2.0
-- Programs and their verdicts; formats side by side. Results are the tables
-- that doc/schemas/ describes.

local native = require "llq.native"
local models = require "llq.model"
local json = require "llq.json"
local C, ffi, check = native.C, native.ffi, native.check

local Evaluator = native.class "Evaluator"
native.stepped(Evaluator, C.llq_evaluator_step)
local Sweep = native.class "Sweep"
native.stepped(Sweep, C.llq_sweep_step)

local function options_of(options, kept)
  return native.fill("llq_evaluator_options",
                     native.without(options, "backend"), kept)
end

-- evaluator(model, {task = "llq-micro", directory = "run", ...})
local function evaluator(model, options)
  local kept, out = {}, ffi.new "llq_evaluator *[1]"
  local struct = options_of(options, kept)
  return models.run_on(setmetatable({}, Evaluator),
                       options.backend or models.backend(), out,
                       C.llq_evaluator_close, function(pointer)
    return C.llq_evaluator_open(out, pointer, model:open(), struct)
  end)
end

-- Scores programs that exist: score{samples =, task =, directory =, ...}
local function score(options)
  local kept, out = {}, ffi.new "llq_evaluator *[1]"
  check(C.llq_evaluator_open_samples(out, options_of(options, kept)))
  return setmetatable({}, Evaluator):own(out[0], C.llq_evaluator_close)
end

-- The finished run's result.json.
function Evaluator:result()
  local out = ffi.new "const char *[1]"
  check(C.llq_evaluator_result(self:open(), out))
  return json.decode(ffi.string(out[0]))
end

function Evaluator:run(show)
  self:run_steps(show)
  return self:result()
end

-- sweep(model, {task =, directory =, schemes = {...}, methods = {...}, ...});
-- a directory with a part of the same sweep is continued.
local function sweep(model, options)
  local kept, out = {}, ffi.new "llq_sweep *[1]"
  local evaluation = options_of(
    native.without(options, "schemes", "methods", "group_size"), kept)
  local lists = {group_size = options.group_size, evaluation = evaluation}
  for _, name in ipairs {"schemes", "methods"} do
    lists[name] = options[name] and table.concat(options[name], ",")
  end
  local struct = native.fill("llq_sweep_options", lists, kept)
  local self = setmetatable({directory = options.directory}, Sweep)
  return models.run_on(self, options.backend or models.backend(), out,
                       C.llq_sweep_close, function(pointer)
    return C.llq_sweep_open(out, pointer, model:open(), struct)
  end)
end

-- Steps until done; sweep.json.
function Sweep:run(show)
  self:run_steps(show)
  return json.read(self.directory .. "/sweep.json")
end

-- The paired statistics of two runs.
local function compare(a, b)
  local out = ffi.new "char *[1]"
  check(C.llq_compare(a, b, out))
  local text = ffi.string(out[0])
  C.llq_free(out[0])
  return json.decode(text)
end

-- A sweep's report: "text", "markdown", "html" or "json"; `write` makes
-- report.md and report.html as well.
local function report(directory, format, write)
  local out, text = ffi.new "llq_report *[1]", ffi.new "const char *[1]"
  check(C.llq_report_open(out, directory))
  local handle = ffi.gc(out[0], C.llq_report_close)
  if write then check(C.llq_report_write(handle)) end
  check(C.llq_report_text(handle, format or "text", text))
  local shown = ffi.string(text[0])
  C.llq_report_close(ffi.gc(handle, nil))
  return shown
end

return {compare = compare, evaluator = evaluator, report = report,
        score = score, sweep = sweep}
