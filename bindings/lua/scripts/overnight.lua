-- SPDX-License-Identifier: Apache-2.0
-- Sweeps over models, one after the other, and goes on where it was when it is
-- started again: after a crash, a reboot, or Ctrl-C.
--
--   luajit overnight.lua PLAN.lua OUT
--
-- PLAN.lua returns a list of sweeps; fields are those of llq.sweep(), and
--   model    as for llq.model()
--   name     of its directory in OUT
--   backend  "cpu", "cuda", ...; the default one if absent
--   arch     kernels, such as "sm80"
-- For example:
--   return {
--     {name = "micro", model = "llq-micro", task = "llq-micro"},
--     {name = "8b-sm80", model = "Llama-3.1-8B-Instruct", backend = "cuda",
--      arch = "sm80", task = "HumanEval.jsonl.gz", protocol = "evalplus"},
--   }

local llq = require "llq"

local function say(...)
  io.stderr:write(os.date "%F %T ", string.format(...), "\n")
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- A line whenever another part of the work begins, and each tenth of it.
local function reporter(name)
  local last
  return function(progress)
    local tenth = math.floor(10 * progress.done / math.max(progress.total, 1))
    local now = progress.what .. tenth
    if now ~= last then
      say("%s: %d of %d %s, %s", name, progress.done, progress.total,
          progress.unit, progress.what)
      last = now
    end
  end
end

local function run(entry, directory)
  local options = {}
  for key, value in pairs(entry) do options[key] = value end
  options.name, options.model, options.arch = nil, nil, nil
  options.directory = directory
  options.backend = llq.backend(entry.backend, {arch = entry.arch})
  local sweep = llq.sweep(llq.model(entry.model), options)
  sweep:run(reporter(entry.name))
  sweep:close()
  io.write(llq.report(directory, "text", true), "\n")
end

local plan, out = arg[1], arg[2]
if not out then
  io.stderr:write "usage: luajit overnight.lua PLAN.lua OUT\n"
  os.exit(2)
end
os.execute(("mkdir -p '%s'"):format(out:gsub("'", [['\'']])))
local n_failed = 0
for _, entry in ipairs(dofile(plan)) do
  local directory = out .. "/" .. entry.name
  if exists(directory .. "/report.html") then
    say("%s: done already", entry.name)
  else
    local ok, message = pcall(run, entry, directory)
    if not ok then
      if tostring(message):find "interrupted!" then error(message, 0) end
      say("%s: failed: %s", entry.name, tostring(message))
      n_failed = n_failed + 1
    end
    collectgarbage() -- the model's memory, before the next one's
  end
end
os.exit(n_failed == 0 and 0 or 1, true)
