-- SPDX-License-Identifier: Apache-2.0
-- Devices, models, tokenizers, quantizers.

local native = require "llq.native"
local C, ffi, check = native.C, native.ffi, native.check

local Backend = native.class "Backend"
local Model = native.class "Model"
local Tokenizer = native.class "Tokenizer"
local Quantizer = native.class "Quantizer"
native.stepped(Quantizer, C.llq_quantizer_step)

local function device(info)
  return {
    backend = ffi.string(info.backend), index = info.index,
    usable = info.usable == 1, name = ffi.string(info.name),
    arch = ffi.string(info.arch), reason = ffi.string(info.reason),
    memory_bytes = tonumber(info.memory_bytes), n_units = info.n_units,
    memory_free_bytes = tonumber(info.memory_free_bytes),
    driver = ffi.string(info.driver)}
end

-- All devices of all backends, usable or not.
local function devices()
  local count, found = ffi.new "size_t[1]", {}
  check(C.llq_device_count(count))
  for index = 0, tonumber(count[0]) - 1 do
    local info = native.new "llq_device_info"
    check(C.llq_device_get(index, info))
    found[#found + 1] = device(info)
  end
  return found
end

-- backend(), backend("cuda:1"), backend("cpu", {arch = "avx2"})
local function backend(name, options)
  local out, kept = ffi.new "llq_backend *[1]", {}
  check(C.llq_backend_open(out, name,
                           native.fill("llq_backend_options", options, kept)))
  local self = setmetatable({}, Backend)
  self.shared = native.shared(out[0], C.llq_backend_close)
  -- The handle's own release closes it, when no one else uses it.
  return self:own(self.shared:acquire(), function() end, self.shared)
end

function Backend:describe()
  local info = native.new "llq_device_info"
  check(C.llq_backend_describe(self:open(), info))
  return device(info)
end

-- An object that runs on a backend: opens, and owns the result.
local function run_on(self, chosen, out, close, open)
  local shared = chosen and chosen.shared
  local pointer
  if chosen then
    chosen:open()
    pointer = shared:acquire()
  end
  local ok, message = pcall(function() check(open(pointer)) end)
  if not ok then
    if shared then shared:release() end
    error(message, 0)
  end
  return self:own(out[0], close, shared)
end

local function adopt(pointer)
  return setmetatable({}, Model):own(pointer, C.llq_model_close)
end

-- model("llq-micro"), model("random:llama-3.2-1b", {seed = 1})
local function model(source, options)
  local out, kept = ffi.new "llq_model *[1]", {}
  check(C.llq_model_open(out, source,
                         native.fill("llq_model_options", options, kept)))
  return adopt(out[0])
end

local info_fields = {
  "n_layers", "hidden_size", "intermediate_size", "n_heads", "n_kv_heads",
  "head_size", "n_vocab", "n_context", "group_size", "n_parameters",
  "n_weight_bytes", "n_linear_bytes", "n_kv_bytes", "n_output_bytes"}

function Model:info()
  local info = native.new "llq_model_info"
  check(C.llq_model_describe(self:open(), info))
  local found = {architecture = ffi.string(info.architecture),
                 scheme = ffi.string(info.scheme),
                 dtype = ffi.string(info.dtype),
                 kv_cache = ffi.string(info.kv_cache),
                 output_scheme = ffi.string(info.output_scheme),
                 tied = info.tied == 1}
  for _, name in ipairs(info_fields) do found[name] = tonumber(info[name]) end
  return found
end

function Model:source()
  return ffi.string(C.llq_model_source(self:open()))
end

-- save("OUT"), save("OUT", {format = "gptq", lossy = true})
function Model:save(directory, options)
  check(C.llq_model_save_as(self:open(), directory,
                            native.fill("llq_save_options", options, {})))
end

local diff_fields = {"relative_error", "max_error", "max_out", "max_in",
                     "n_outliers"}

local function scales_of(scales)
  return {n = tonumber(scales.n), least = scales.least, mean = scales.mean,
          largest = scales.largest}
end

-- How the weights of each linear differ from another model's: a list.
function Model:diff(other)
  local diff, found = ffi.new "llq_linear_diff", {}
  diff.struct_size = ffi.sizeof(diff)
  local status
  repeat
    status = check(C.llq_model_diff(self:open(), other:open(), #found, diff))
    local entry = {name = ffi.string(diff.name),
                   scheme_a = ffi.string(diff.scheme_a),
                   scheme_b = ffi.string(diff.scheme_b),
                   scales_a = scales_of(diff.scales_a),
                   scales_b = scales_of(diff.scales_b)}
    for _, name in ipairs(diff_fields) do entry[name] = tonumber(diff[name]) end
    found[#found + 1] = entry
  until status ~= C.LLQ_MORE
  return found
end

function Model:bytes_in(scheme, group_size)
  local n_bytes = ffi.new "uint64_t[1]"
  check(C.llq_model_bytes_in(self:open(), scheme, group_size or 0, n_bytes))
  return tonumber(n_bytes[0])
end

-- The model's tokenizer, which keeps the model.
function Model:tokenizer()
  local out = ffi.new "const llq_tokenizer *[1]"
  local pointer = self:open()
  check(C.llq_model_tokenizer(pointer, out))
  C.llq_model_retain(pointer)
  return setmetatable({}, Tokenizer):own(
    ffi.cast("llq_tokenizer *", out[0]),
    function() C.llq_model_close(pointer) end)
end

-- Makes a quantized model; options as of quantizer(), and `calibration`, a
-- file, and `show`, which gets progress.
function Model:quantize(scheme, options)
  local rest = native.without(options, "calibration", "show")
  rest.scheme = scheme
  local quantizer = Quantizer.new(self, rest)
  if options and options.calibration then
    quantizer:calibrate(options.calibration)
  end
  local made = quantizer:run(options and options.show)
  quantizer:close()
  return made
end

-- A tokenizer.json, a tokenizer.model, or a directory with one of them.
local function tokenizer(path)
  local out = ffi.new "llq_tokenizer *[1]"
  check(C.llq_tokenizer_open(out, path))
  return setmetatable({}, Tokenizer):own(out[0], C.llq_tokenizer_close)
end

function Tokenizer:n_vocab()
  return tonumber(C.llq_tokenizer_n_vocab(self:open()))
end

-- The id of a special token, or nil.
function Tokenizer:special(token)
  local id = C.llq_tokenizer_special(self:open(), token)
  return id >= 0 and id or nil
end

function Tokenizer:bos()
  local id = C.llq_tokenizer_bos(self:open())
  return id >= 0 and id or nil
end

-- An array of ids; options: bos, special.
function Tokenizer:encode(text, options)
  options = options or {}
  local capacity, n_ids = 3 * #text + 1, ffi.new "size_t[1]"
  local ids = ffi.new("int32_t[?]", capacity)
  check(C.llq_tokenizer_encode(
    self:open(), text, #text, (options.bos and C.LLQ_ENCODE_BOS or 0)
    + (options.special and C.LLQ_ENCODE_SPECIAL or 0), ids, capacity, n_ids))
  local found = {}
  for i = 1, tonumber(n_ids[0]) do found[i] = ids[i - 1] end
  return found
end

-- Text; options: special = show special tokens by name.
function Tokenizer:decode(ids, options)
  local array, n_ids = native.ids(ids)
  local special = options and options.special and 1 or 0
  local n = ffi.new "size_t[1]"
  check(C.llq_tokenizer_decode(self:open(), array, n_ids, special, nil, 0, n))
  local size = tonumber(n[0])
  local text = ffi.new("char[?]", size + 1)
  check(C.llq_tokenizer_decode(self:open(), array, n_ids, special, text, size, n))
  return ffi.string(text, size)
end

-- Messages {{role =, content =}, ...} in Llama 3.1's chat format; options:
-- date, add_prompt (1 = a header to go on from, 2 = continue the last).
function Tokenizer:chat(messages, options)
  options = options or {}
  local array, out = ffi.new("llq_message[?]", #messages), ffi.new "char *[1]"
  for i, message in ipairs(messages) do
    array[i - 1].role, array[i - 1].content = message.role, message.content
  end
  check(C.llq_tokenizer_chat(self:open(), array, #messages, options.date,
                             options.add_prompt or 1, out))
  local text = ffi.string(out[0])
  C.llq_free(out[0])
  return text
end

-- quantizer(model, {scheme = "w4a16-int", method = "gptq", ...}); `backend`
-- runs calibration, on a CPU unless it is given.
function Quantizer.new(of, options)
  local kept, out = {}, ffi.new "llq_quantizer *[1]"
  local struct = native.fill("llq_quantizer_options",
                             native.without(options, "backend"), kept)
  local chosen = options.backend
  local calibrates = options.kv_cache
                     or options.method and options.method ~= "rtn"
  if not chosen and calibrates then
    chosen = backend("cpu", {n_threads = options.n_threads})
  end
  local self = setmetatable({}, Quantizer)
  return run_on(self, chosen, out, C.llq_quantizer_close, function(pointer)
    return C.llq_quantizer_open(out, pointer, of:open(), struct)
  end)
end

-- Adds samples: a file's name, an array of ids, or nothing for random ones.
function Quantizer:calibrate(samples)
  if samples == nil then
    check(C.llq_quantizer_calibrate_random(self:open()))
  elseif type(samples) == "string" then
    check(C.llq_quantizer_calibrate_file(self:open(), samples))
  else
    check(C.llq_quantizer_calibrate_ids(self:open(), native.ids(samples)))
  end
end

function Quantizer:take()
  local out = ffi.new "llq_model *[1]"
  check(C.llq_quantizer_take(self:open(), out))
  return adopt(out[0])
end

function Quantizer:run(show)
  self:run_steps(show)
  return self:take()
end

-- How each linear was quantized; the output matrix is the last, if a recipe
-- chose a scheme for it.
function Quantizer:linears()
  local found = {}
  while true do
    local linear = native.new "llq_quantized_linear"
    local status = C.llq_quantizer_linear(self:open(), #found, linear)
    if status == C.LLQ_ERROR_ARGUMENT then return found end
    check(status)
    found[#found + 1] = {
      name = ffi.string(linear.name), scheme = ffi.string(linear.scheme),
      method = ffi.string(linear.method), error = linear.error,
      power = linear.power, damping = linear.damping,
      n_dead = tonumber(linear.n_dead)}
  end
end

return {backend = backend, devices = devices, model = model,
        quantizer = Quantizer.new, run_on = run_on, tokenizer = tokenizer}
