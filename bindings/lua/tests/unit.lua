-- SPDX-License-Identifier: Apache-2.0
-- A small runner of tests that prints TAP; assertions are named as LuaUnit's.

local unit = {}

local function show(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

function unit.assertEquals(found, expected)
  if not same(found, expected) then
    error(("expected %s, found %s"):format(show(expected), show(found)), 2)
  end
end

function unit.assertTrue(found)
  if found ~= true then error("expected true, found " .. show(found), 2) end
end

function unit.assertNil(found)
  if found ~= nil then error("expected nil, found " .. show(found), 2) end
end

function unit.assertStrContains(text, part)
  if not text:find(part, 1, true) then
    error(("expected %s in %s"):format(show(part), show(text)), 2)
  end
end

-- Runs all functions test... of the given tables, in order of their names.
function unit.run(suites)
  local n, n_failed = 0, 0
  for _, suite in ipairs(suites) do
    local names = {}
    for name in pairs(suite) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
      n = n + 1
      local ok, message = xpcall(suite[name], debug.traceback)
      print(("%s %d - lua: %s"):format(ok and "ok" or "not ok", n, name))
      if not ok then
        n_failed = n_failed + 1
        print("# " .. tostring(message):gsub("\n", "\n# "))
      end
    end
  end
  print("1.." .. n)
  os.exit(n_failed == 0 and 0 or 1, true)
end

return unit
