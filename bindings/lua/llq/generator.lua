-- SPDX-License-Identifier: Apache-2.0
-- Runs a model: text, logits, perplexity.

local native = require "llq.native"
local models = require "llq.model"
local C, ffi, check = native.C, native.ffi, native.check

local Generator = native.class "Generator"
native.stepped(Generator, C.llq_generator_step)

local reasons = {
  [C.LLQ_STOP_END] = "end", [C.LLQ_STOP_STRING] = "string",
  [C.LLQ_STOP_LENGTH] = "length", [C.LLQ_STOP_CONTEXT] = "context",
  [C.LLQ_STOP_CANCELLED] = "cancelled"}

-- generator(model, {backend = ..., compute = "f32", n_sequences = 4, ...})
local function generator(model, options)
  local kept, out = {}, ffi.new "llq_generator *[1]"
  local struct = native.fill("llq_generator_options",
                             native.without(options, "backend"), kept)
  local chosen = options and options.backend or models.backend()
  local self = setmetatable({model = model, n_vocab = model:info().n_vocab},
                            Generator)
  return models.run_on(self, chosen, out, C.llq_generator_close,
                       function(pointer)
    return C.llq_generator_open(out, pointer, model:open(), struct)
  end)
end

function Generator:n_context()
  return C.llq_generator_n_context(self:open())
end

-- The ids of a prompt: a text's, with a BOS, or those given.
local function encode(self, prompt)
  if type(prompt) ~= "string" then return native.ids(prompt) end
  self.tokenizer = self.tokenizer or self.model:tokenizer()
  return native.ids(self.tokenizer:encode(prompt, {bos = true}))
end

-- The struct of {temperature =, stops = {...}, end_ids = {...}, ...}.
local function sampling_of(sampling, kept)
  local struct = native.fill("llq_sampling",
                             native.without(sampling, "stops", "end_ids"), kept)
  if sampling and sampling.stops then
    local n = #sampling.stops
    kept.stops = ffi.new("const char *[?]", n + 1, sampling.stops)
    struct.stops, struct.n_stops = kept.stops, n
  end
  if sampling and sampling.end_ids then
    kept.ends, struct.n_end_ids = native.ids(sampling.end_ids)
    struct.end_ids = kept.ends
  end
  return struct
end

-- Adds a prompt, continued n_samples times; the first sequence's number.
function Generator:submit(prompt, sampling, n_samples)
  local kept, first = {sampling}, ffi.new "int64_t[1]"
  local ids, n_ids = encode(self, prompt)
  check(C.llq_generator_submit(self:open(), ids, n_ids,
                               sampling_of(sampling, kept), n_samples or 1,
                               first))
  return tonumber(first[0])
end

-- A sequence so far: text, ids, stop (nil while it runs), min_margin.
function Generator:get(sequence)
  local found = native.new "llq_generation"
  check(C.llq_generator_get(self:open(), sequence, found))
  local ids = {}
  for i = 1, tonumber(found.n_ids) do ids[i] = found.ids[i - 1] end
  return {text = ffi.string(found.text, found.n_bytes), ids = ids,
          stop = reasons[found.stop_reason], min_margin = found.min_margin,
          margin_at = found.margin_at}
end

function Generator:cancel(sequence)
  check(C.llq_generator_cancel(self:open(), sequence))
end

function Generator:release(sequence)
  C.llq_generator_release(self:open(), sequence)
end

-- Continues a prompt.
function Generator:generate(prompt, sampling)
  local sequence = self:submit(prompt, sampling)
  local ok, message = pcall(self.run_steps, self)
  local found = ok and self:get(sequence)
  self:release(sequence)
  if not ok then error(message, 0) end
  return found
end

-- for text in generator:stream(prompt, sampling) do io.write(text) end
function Generator:stream(prompt, sampling)
  local sequence, shown, ended = self:submit(prompt, sampling), 0, false
  return function()
    while not ended do
      local more = self:step()
      local now = self:get(sequence)
      ended = now.stop ~= nil or not more
      if ended then self:release(sequence) end
      if #now.text > shown then
        local from = shown + 1
        shown = #now.text
        return now.text:sub(from)
      end
    end
  end
end

-- A float[n_ids * n_vocab], row i the logits that follow the first i ids.
function Generator:logits(ids)
  local array, n_ids = native.ids(ids)
  local logits = ffi.new("float[?]", n_ids * self.n_vocab)
  check(C.llq_generator_logits(self:open(), array, n_ids, logits))
  return logits
end

-- How well the model predicts a text; options: base, another generator;
-- n_window, tokens that are predicted together (512).
function Generator:perplexity(text, options)
  options = options or {}
  local ids, n_ids = encode(self, text)
  local result = native.new "llq_perplexity"
  local window = math.min(options.n_window or 512, self:n_context())
  local base = options.base and options.base:open()
  for start = 0, n_ids - 2, window do
    check(C.llq_perplexity_measure(
      self:open(), base, ids + start, math.min(window, n_ids - start), window,
      result))
  end
  local found = {n_tokens = tonumber(result.n_tokens)}
  for _, name in ipairs {"perplexity", "nll", "nll_error", "kl", "kl_error",
                         "agreement"} do
    found[name] = result[name]
  end
  return found
end

return {generator = generator}
