-- SPDX-License-Identifier: Apache-2.0
-- Plots sweeps with gnuplot: pass@1 with its 95 % interval against bytes.
--
--   luajit plot.lua OUT.svg SWEEP_DIRECTORY...

local json = require "llq.json"

local function quoted(text)
  return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

-- One block of data a sweep: MiB, pass@1, low, high, name.
local function block(sweep, index)
  local lines = {("$sweep%d << END"):format(index)}
  for _, row in ipairs(sweep.rows) do
    local interval = row["pass@1_ci95"]
    lines[#lines + 1] = ("%.6g %.6g %.6g %.6g %s"):format(
      row.weight_bytes / 2 ^ 20, 100 * row["pass@1"], 100 * interval[1],
      100 * interval[2], quoted(row.name))
  end
  lines[#lines + 1] = "END"
  return table.concat(lines, "\n")
end

local function script(output, sweeps)
  local lines = {
    "set terminal svg size 800,500 enhanced noenhanced",
    "set output " .. quoted(output),
    "set xlabel 'weights, MiB'",
    "set ylabel 'pass@1, %'",
    "set key outside",
  }
  local plots = {}
  for i, sweep in ipairs(sweeps) do
    lines[#lines + 1] = block(sweep, i)
    local title = ("%s on %s"):format(sweep.model, sweep.device)
    plots[#plots + 1] = ("$sweep%d using 1:2:3:4 with yerrorbars pt 7 title %s")
      :format(i, quoted(title))
    plots[#plots + 1] =
      ("$sweep%d using 1:2:5 with labels offset 1,1 notitle"):format(i)
  end
  lines[#lines + 1] = "plot " .. table.concat(plots, ", ")
  return table.concat(lines, "\n") .. "\n"
end

if #arg < 2 then
  io.stderr:write "usage: luajit plot.lua OUT.svg SWEEP_DIRECTORY...\n"
  os.exit(2)
end
local sweeps = {}
for i = 2, #arg do
  sweeps[#sweeps + 1] = json.read(arg[i] .. "/sweep.json")
end
local gnuplot = assert(io.popen("gnuplot", "w"))
gnuplot:write(script(arg[1], sweeps))
gnuplot:close()
local made = io.open(arg[1])
if not made then
  io.stderr:write(arg[1], ": gnuplot did not write it\n")
  os.exit(1)
end
made:close()
