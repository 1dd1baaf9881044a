-- SPDX-License-Identifier: Apache-2.0
-- What all objects share: the library, calls, options, handles.

local ffi = require "ffi"

-- A second cdef of the same text would be an error.
if not pcall(ffi.typeof, "llq_model") then
  ffi.cdef(require "llq.cdef")
end

-- The soname: libllq.so alone is in development packages only.
local C = ffi.load(os.getenv "LLQ_LIBRARY" or "libllq.so.0")

local native = {C = C, ffi = ffi}

-- Errors are tables with `message`, `status` and `name`; tostring() and an
-- uncaught one show the message.
local Error = {__tostring = function(e) return "llq: " .. e.message end}

-- Raises the error of a negative status, with the library's message.
function native.check(status)
  if status >= 0 then return status end
  local name = ffi.string(C.llq_status_name(status))
  local message = ffi.string(C.llq_error_message())
  error(setmetatable({status = status, name = name,
                      message = message ~= "" and message or name}, Error), 0)
end

function native.fail(message)
  error(setmetatable({status = C.LLQ_ERROR_STATE, name = "LLQ_ERROR_STATE",
                      message = message}, Error), 0)
end

-- A new struct for the library to fill in.
function native.new(kind)
  local struct = ffi.new(kind)
  struct.struct_size = ffi.sizeof(kind)
  return struct
end

-- What a struct points to lives as long as the struct.
local anchors = setmetatable({}, {__mode = "k"})

-- An options struct; any field of the header may be given, and one that it
-- does not have is an error. `kept` holds what it points to.
function native.fill(kind, options, kept)
  local struct = native.new(kind)
  anchors[struct] = kept
  for name, value in pairs(options or {}) do
    if type(value) == "boolean" then value = value and 1 or 0 end
    kept[#kept + 1] = value
    struct[name] = value
  end
  return struct
end

-- The options but for those named, which are no fields of a struct.
function native.without(options, ...)
  local rest = {}
  for name, value in pairs(options or {}) do rest[name] = value end
  for _, name in ipairs {...} do rest[name] = nil end
  return rest
end

-- What is closed only when all that use it are: its owner, and others.
local Shared = {}
Shared.__index = Shared

function native.shared(pointer, close)
  return setmetatable({pointer = pointer, close = close, n_users = 0}, Shared)
end

function Shared:acquire()
  self.n_users = self.n_users + 1
  return self.pointer
end

function Shared:release()
  self.n_users = self.n_users - 1
  if self.n_users == 0 then self.close(self.pointer) end
end

-- A class of objects with a handle; finalizers run in any order at exit, so a
-- handle releases what it needs (of native.shared) itself.
function native.class(name)
  local class = {__name = name}
  class.__index = class

  function class.own(self, pointer, close, needs)
    self.finalize = function(handle)
      close(handle)
      if needs then needs:release() end
    end
    self.handle = ffi.gc(pointer, self.finalize)
    return self
  end

  function class.open(self)
    if self.handle == nil then native.fail("this " .. name .. " is closed") end
    return self.handle
  end

  -- Closes the handle now; more than once is fine.
  function class.close(self)
    local handle = self.handle
    if handle == nil then return end
    self.handle = nil
    self.finalize(ffi.gc(handle, nil))
  end

  return class
end

-- Adds :step() and :run() to a class, over the library's step function.
function native.stepped(class, step)
  -- One bounded piece of work: whether there is more, and how far it is.
  function class:step()
    local progress = native.new "llq_progress"
    local status = native.check(step(self:open(), progress))
    return status == C.LLQ_MORE, {
      done = tonumber(progress.done), total = tonumber(progress.total),
      unit = progress.unit ~= nil and ffi.string(progress.unit) or "",
      what = ffi.string(progress.what)}
  end

  -- Steps until done; `show`, if given, gets the progress of each step.
  function class:run_steps(show)
    local more, progress
    repeat
      more, progress = self:step()
      if show then show(progress) end
    until not more
  end
end

-- Token ids, of a Lua array or already an int32_t[]; how many there are.
function native.ids(ids)
  if type(ids) == "table" then
    return ffi.new("int32_t[?]", math.max(#ids, 1), ids), #ids
  end
  return ids, ffi.sizeof(ids) / 4
end

-- Refuses a libllq whose structs are older than those declared here.
function native.check_layout(kinds)
  for _, kind in ipairs(kinds) do
    local ours, theirs = ffi.sizeof(kind), tonumber(C.llq_sizeof(kind))
    if theirs < ours then
      native.fail(("this llq was made for another libllq than %s: %s has %d " ..
                   "bytes here and %d there; install the two together")
                  :format(ffi.string(C.llq_version()), kind, ours, theirs))
    end
  end
end

local kinds = {}
for kind in require("llq.cdef"):gmatch "\n} (llq_[%w_]+);" do
  kinds[#kinds + 1] = kind
end
native.kinds = kinds
native.check_layout(kinds)

return native
