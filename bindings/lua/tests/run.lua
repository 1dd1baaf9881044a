-- SPDX-License-Identifier: Apache-2.0
-- luajit run.lua SCRATCH: all tests of the module, as TAP.

local llq = require "llq"
local native = require "llq.native"
local unit = require "unit"
local equals, contains = unit.assertEquals, unit.assertStrContains

local scratch = arg[1]
local prompt, short = "def add(a, b):", {n_tokens_max = 16}
local model = llq.model "llq-micro"
local int4 = model:quantize "w4a16-int"
local generator = llq.generator(model)

-- The error that a call raises.
local function raised(...)
  local ok, message = pcall(...)
  equals(ok, false)
  return message
end

local objects, text, results = {}, {}, {}

function objects.test_a_missing_model_is_named()
  local e = raised(llq.model, "/nowhere")
  equals(e.name, "LLQ_ERROR_IO")
  equals(e.status, -30)
  contains(tostring(e), "/nowhere")
end

function objects.test_an_unknown_option_is_an_error()
  contains(raised(llq.generator, model, {n_sequenzes = 1}), "n_sequenzes")
end

function objects.test_a_failed_open_names_its_option()
  contains(raised(llq.generator, model, {compute = "f8"}).message, "f8")
end

function objects.test_a_closed_object_says_so()
  local closed = llq.generator(model)
  closed:close()
  closed:close()
  contains(raised(closed.n_context, closed).message, "Generator is closed")
end

function objects.test_parents_may_be_closed_first()
  local backend, of = llq.backend(), llq.model "llq-micro"
  local tokenizer = of:tokenizer()
  local running = llq.generator(of, {backend = backend})
  backend:close()
  of:close()
  equals(#running:generate({1, 2, 3}, short).ids, 16)
  equals(tokenizer:decode(tokenizer:encode "def"), "def")
  running:close()
end

function objects.test_every_struct_has_the_librarys_size()
  unit.assertTrue(#native.kinds > 10)
  for _, kind in ipairs(native.kinds) do
    equals(native.ffi.sizeof(kind), tonumber(native.C.llq_sizeof(kind)))
  end
end

function objects.test_a_struct_that_is_larger_here_is_refused()
  native.ffi.cdef "typedef struct llq_unknown { int x; } llq_unknown;"
  contains(raised(native.check_layout, {"llq_unknown"}).message, "llq_unknown has")
end

local function resident()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s*(%d+)"
    if kib then return tonumber(kib) end
  end
end

function objects.test_a_thousand_objects_leak_nothing()
  local function once()
    local one = llq.backend("cpu", {n_threads = 1})
    llq.quantizer(model, {scheme = "w4a16-int"})
    model:tokenizer():encode(prompt)
    pcall(llq.tokenizer, "/nowhere")
    one:describe()
  end
  local function repeated(n)
    for _ = 1, n do once() end
    collectgarbage()
    collectgarbage()
    return resident()
  end
  local before = repeated(200)
  local grown = repeated(1000) - before
  unit.assertTrue(grown < 8192)
end

function objects.test_devices()
  equals(llq.devices()[1].backend, "cpu")
  local backend = llq.backend("cpu", {arch = "reference"})
  equals(backend:describe().arch, "reference")
end

function text.test_text_survives_a_round_trip()
  local tokenizer = model:tokenizer()
  for _, sample in ipairs {"", "def f(x):\n    return x", "na\195\175ve", "a\0b"} do
    equals(tokenizer:decode(tokenizer:encode(sample)), sample)
  end
end

function text.test_special_tokens()
  local tokenizer = model:tokenizer()
  local bos = tokenizer:bos()
  local name = tokenizer:decode({bos}, {special = true})
  equals(tokenizer:special(name), bos)
  equals(tokenizer:encode(name, {special = true}), {bos})
  equals(tokenizer:encode("x", {bos = true})[1], bos)
  unit.assertNil(tokenizer:special "<|nothing|>")
  equals(tokenizer:n_vocab(), 2048)
  equals(raised(tokenizer.decode, tokenizer, {5000}).name, "LLQ_ERROR_ARGUMENT")
end

function text.test_a_stream_is_the_text()
  local whole, parts = generator:generate(prompt, short), {}
  for part in generator:stream(prompt, short) do parts[#parts + 1] = part end
  equals(table.concat(parts), whole.text)
  unit.assertTrue(#parts > 1)
  equals(whole.stop, "length")
end

function text.test_greedy_follows_the_logits()
  local ids = model:tokenizer():encode(prompt, {bos = true})
  local logits, n_vocab = generator:logits(ids), model:info().n_vocab
  local row, best = (#ids - 1) * n_vocab, 0
  for id = 1, n_vocab - 1 do
    if logits[row + id] > logits[row + best] then best = id end
  end
  equals(generator:generate(ids, {n_tokens_max = 1}).ids, {best})
end

function text.test_stops_and_ends()
  local whole = generator:generate(prompt, short).text
  local stop = whole:sub(5, 8)
  local cut = generator:generate(prompt, {n_tokens_max = 16, stops = {stop}})
  equals(cut.stop, "string")
  equals(cut.text, whole:sub(1, whole:find(stop, 1, true) - 1))
end

function text.test_cancelling()
  local sequence = generator:submit(prompt)
  generator:step()
  generator:cancel(sequence)
  equals(generator:get(sequence).stop, "cancelled")
  generator:release(sequence)
  equals(raised(generator.get, generator, sequence).name, "LLQ_ERROR_ARGUMENT")
end

function text.test_perplexity_against_a_base()
  local other = llq.generator(int4)
  local found = other:perplexity(prompt .. "\n    return a + b\n",
                                 {base = generator})
  unit.assertTrue(found.perplexity > 1 and found.kl > 0 and found.kl < 1)
  local alone = generator:perplexity(prompt)
  unit.assertTrue(alone.kl ~= alone.kl)
end

function text.test_quantizing()
  equals(int4:info().scheme, "w4a16-int")
  equals(int4:info().n_weight_bytes, model:bytes_in "w4a16-int")
  int4:save(scratch .. "/saved")
  equals(llq.model(scratch .. "/saved"):info(), int4:info())
  int4:save(scratch .. "/gptq", {format = "gptq", lossy = true})
  equals(llq.model(scratch .. "/gptq"):info().scheme, "w4a16-int")
  contains(raised(int4.save, int4, scratch .. "/odd", {format = "odd"}).message,
           "odd")
end

function text.test_calibration()
  local ids = model:tokenizer():encode((prompt .. "\n    return a\n"):rep(90))
  local last
  local quantizer = llq.quantizer(
    model, {scheme = "w4a16-int", method = "gptq", measure = true})
  quantizer:calibrate(ids)
  quantizer:run(function(progress) last = progress end)
  equals(last.done, last.total)
  local linears = quantizer:linears()
  equals(#linears, 7 * model:info().n_layers)
  unit.assertTrue(linears[1].error < linears[1].power)
end

function results.test_json()
  equals(llq.json.decode '{"a": [1, -2.5e3, true, "\\u00e9\\ud83d\\ude00\\n"], "b": {}}',
         {a = {1, -2500, true, "\195\169\240\159\152\128\n"}, b = {}})
  equals(llq.json.decode "null", llq.json.null)
  for _, wrong in ipairs {"", "[1", "[1,]", '{"a" 1}', '"a', "1 2", "nul"} do
    contains(raised(llq.json.decode, wrong), "at byte")
  end
end

function results.test_a_sweep_stops_and_continues()
  local options = {task = "llq-micro", directory = scratch .. "/sweep",
                   schemes = {"bf16", "w4a16-int"}, n_tasks = 4}
  local first = llq.sweep(model, options)
  local progress
  repeat progress = select(2, first:step()) until progress.done >= 2
  first:close()
  local done = llq.sweep(model, options):run()
  equals(#done.rows, 2)
  local rows = {done.rows[1].name, done.rows[2].name}
  equals(rows, {"bf16", "w4a16-int-rtn"})
  local compared = llq.compare(options.directory .. "/bf16",
                               options.directory .. "/w4a16-int-rtn")
  equals(compared.difference, done.rows[2].comparison.difference)
  contains(llq.report(options.directory), "w4a16-int-rtn")
  local scored = llq.score{samples = options.directory .. "/bf16/samples.jsonl",
                           task = "llq-micro", directory = scratch .. "/score",
                           n_tasks = 4}:run()
  equals(scored.metrics["pass@1"], done.rows[1]["pass@1"])
end

function results.test_a_run()
  local evaluator = llq.evaluator(model, {task = "llq-micro", n_tasks = 2,
                                          directory = scratch .. "/run"})
  equals(raised(evaluator.result, evaluator).name, "LLQ_ERROR_STATE")
  local steps = 0
  local result = evaluator:run(function() steps = steps + 1 end)
  equals(result.n_tasks, 2)
  unit.assertTrue(steps > 2)
end

unit.run {objects, text, results}
