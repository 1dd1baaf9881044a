-- SPDX-License-Identifier: Apache-2.0
-- Reads the JSON of result files. null becomes json.null.

local json = {null = setmetatable({}, {__tostring = function() return "null" end})}

local escapes = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}
local constants = {["true"] = true, ["false"] = false, null = json.null}

local function fail(at, expected)
  error(("JSON: expected %s at byte %d"):format(expected, at), 0)
end

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  local bytes, limit = {}, 0x40
  repeat
    table.insert(bytes, 1, string.char(0x80 + code % 0x40))
    code, limit = math.floor(code / 0x40), limit / 2
  until code < limit
  return string.char(256 - 2 * limit + code) .. table.concat(bytes)
end

-- "\uD83D\uDE00" and the like, at the u of the first.
local function read_code(text, at)
  local code = tonumber(text:match("^u(%x%x%x%x)", at) or fail(at, "\\uXXXX"), 16)
  if code < 0xD800 or code > 0xDBFF then return code, at + 5 end
  local low = text:match("^\\u(%x%x%x%x)", at + 5) or fail(at, "a pair")
  return 0x10000 + (code - 0xD800) * 0x400 + tonumber(low, 16) - 0xDC00, at + 11
end

local function read_string(text, at)
  local parts = {}
  while true do
    local plain, stop = text:match('^([^"\\]*)(["\\])', at)
    if not plain then fail(at, "the end of a string") end
    parts[#parts + 1] = plain
    at = at + #plain + 1
    if stop == '"' then return table.concat(parts), at end
    local letter = text:sub(at, at)
    if letter == "u" then
      local code
      code, at = read_code(text, at)
      parts[#parts + 1] = utf8(code)
    else
      parts[#parts + 1] = escapes[letter] or letter
      at = at + 1
    end
  end
end

local read

-- The items up to a closing bracket; read_item(at) gives the place behind.
local function read_list(text, at, close, read_item)
  at = skip(text, at + 1)
  if text:sub(at, at) == close then return at + 1 end
  while true do
    at = skip(text, read_item(at))
    local mark = text:sub(at, at)
    if mark == close then return at + 1 end
    if mark ~= "," then fail(at, "',' or '" .. close .. "'") end
    at = skip(text, at + 1)
  end
end

local function read_array(text, at)
  local array = {}
  return array, read_list(text, at, "]", function(item)
    array[#array + 1], item = read(text, item)
    return item
  end)
end

local function read_object(text, at)
  local object = {}
  return object, read_list(text, at, "}", function(item)
    if text:sub(item, item) ~= '"' then fail(item, "a name") end
    local name
    name, item = read_string(text, item + 1)
    item = skip(text, item)
    if text:sub(item, item) ~= ":" then fail(item, "':'") end
    object[name], item = read(text, item + 1)
    return item
  end)
end

function read(text, at)
  at = skip(text, at)
  local first = text:sub(at, at)
  if first == "{" then return read_object(text, at) end
  if first == "[" then return read_array(text, at) end
  if first == '"' then return read_string(text, at + 1) end
  local word = text:match("^%a+", at)
  if word and constants[word] ~= nil then return constants[word], at + #word end
  local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  if not number then fail(at, "a value") end
  return tonumber(number) or fail(at, "a number"), at + #number
end

-- The value of a text; an error names the byte that is wrong.
function json.decode(text)
  local value, at = read(text, 1)
  at = skip(text, at)
  if at <= #text then fail(at, "the end") end
  return value
end

-- The value of a file.
function json.read(path)
  local file, message = io.open(path, "rb")
  if not file then error(message, 0) end
  local text = file:read "*a"
  file:close()
  return json.decode(text)
end

return json
