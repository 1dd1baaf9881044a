# SPDX-License-Identifier: Apache-2.0
"""Checkpoints against transformers and compressed-tensors: what they write is
read, what libllq writes they read, tensors are equal bit by bit, and logits
agree."""

import ctypes
import itertools
import json
import os
import tempfile
import warnings

import oracle

os.environ["TQDM_DISABLE"] = "1"
torch = oracle.need("torch")
transformers = oracle.need("transformers")
safetensors = oracle.need("safetensors.torch")
quantization = oracle.need("compressed_tensors.quantization")
compressors = oracle.need("compressed_tensors.compressors")
helpers = oracle.need("compressed_tensors.quantization.utils.helpers")

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(2)
llq = oracle.library()
tap = oracle.Tap()
scratch = tempfile.TemporaryDirectory()
names = (os.path.join(scratch.name, str(i)) for i in itertools.count())
TEXT = torch.tensor([[(i * 37 + 11) % 120 for i in range(40)]])


class QuantizerOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("scheme", ctypes.c_char_p),
                ("method", ctypes.c_char_p), ("group_size", ctypes.c_int32),
                ("asymmetric", ctypes.c_int32)] + [
        (name, ctypes.c_int32) for name in ("n_threads", "n_samples", "n_tokens", "block_size")] + [
        ("seed", ctypes.c_uint64), ("observer", ctypes.c_char_p), ("order", ctypes.c_char_p),
        ("damping", ctypes.c_double), ("smoothing", ctypes.c_double), ("compute", ctypes.c_char_p),
        ("is_parallel", ctypes.c_int32), ("measure", ctypes.c_int32),
        ("directory", ctypes.c_char_p), ("measure_file", ctypes.c_char_p),
        ("recipe", ctypes.c_char_p)]


class GeneratorOptions(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("compute", ctypes.c_char_p)] + [
        (name, ctypes.c_int32) for name in ("n_sequences", "n_context", "n_chunk", "reserved")]


def call(name, *arguments):
    return oracle.call(llq, name, *arguments)


class Model:
    """A model that libllq has opened, or made of another."""

    def __init__(self, directory):
        self.handle = ctypes.c_void_p()
        if directory:
            call("llq_model_open", ctypes.byref(self.handle), directory.encode(), None)

    def quantized(self, scheme, group_size, asymmetric, head):
        made, quantizer = Model(None), ctypes.c_void_p()
        options = QuantizerOptions(ctypes.sizeof(QuantizerOptions), scheme.encode(), b"rtn",
                                   group_size, asymmetric)
        if head:
            options.recipe = next(names).encode()
            with open(options.recipe, "w") as recipe:
                recipe.write(f"lm_head {scheme}")
        call("llq_quantizer_open", ctypes.byref(quantizer), None, self.handle,
             ctypes.byref(options))
        call("llq_quantizer_run", quantizer)
        call("llq_quantizer_take", quantizer, ctypes.byref(made.handle))
        llq.llq_quantizer_close(quantizer)
        return made

    def save(self):
        directory = next(names)
        call("llq_model_save", self.handle, directory.encode(), None)
        return directory

    def logits(self, texts, n_vocab):
        """At every position of texts of the same length, in one table."""
        backend, generator = ctypes.c_void_p(), ctypes.c_void_p()
        options = GeneratorOptions(ctypes.sizeof(GeneratorOptions), b"f32")
        call("llq_backend_open", ctypes.byref(backend), b"cpu", None)
        call("llq_generator_open", ctypes.byref(generator), backend, self.handle,
             ctypes.byref(options))
        n = texts.shape[1]
        out = torch.empty(texts.shape + (n_vocab,))
        for text, rows in zip(texts, out):
            call("llq_generator_logits", generator, (ctypes.c_int32 * n)(*text.tolist()),
                 ctypes.c_size_t(n), ctypes.c_void_p(rows.data_ptr()))
        llq.llq_generator_close(generator)
        llq.llq_backend_close(backend)
        return out.flatten(0, 1)

    def close(self):
        llq.llq_model_close(self.handle)


def tiny(**changes):
    torch.manual_seed(3)
    rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
    sizes = dict(vocab_size=120, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                 rope_parameters=rope, bos_token_id=0, eos_token_id=1, initializer_range=0.1)
    sizes.update(changes)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))


def tensors_of(directory):
    found = {}
    for name in os.listdir(directory):
        if name.endswith(".safetensors"):
            found.update(safetensors.load_file(os.path.join(directory, name)))
    return found


def difference(a, b):
    """Why two sets of tensors are not the same; None if they are."""
    if a.keys() != b.keys():
        return f"names differ: {sorted(a.keys() ^ b.keys())}"
    for name in a:
        same = a[name].shape == b[name].shape and a[name].dtype == b[name].dtype
        if not same or not torch.equal(a[name].view(-1).view(torch.uint8),
                                       b[name].view(-1).view(torch.uint8)):
            return f"{name}: {a[name].dtype} {a[name].shape}, {b[name].dtype} {b[name].shape}"
    return None


def expect_same(a, b, what):
    reason = difference(a, b)
    tap.check(reason is None, what, reason)


@torch.no_grad()
def logits_of(directory, dtype, texts, **options):
    """By transformers: weights in `dtype` as they are stored, arithmetic in float32."""
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, **options)
    model(texts)  # compressed-tensors unpacks on the first pass
    return torch.nn.Module.float(model)(texts).logits.flatten(0, 1)


def expect_logits(ours, theirs, what):
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    tap.check(error <= 1e-4, what, f"largest difference {error:.3g} of the largest logit")
    tap.note(f"{what}: {error:.2g}")


def expect_rounded_logits(ours, theirs, what):
    """Where activations are rounded, the last bit of a sum can decide about a code (with int8 the
    largest input always lies on a tie, 127.5, or beside it), and all that follows moves by a step.
    Texts of one token that meet no such case must agree as closely as any."""
    errors = (ours - theirs).abs().amax(1) / theirs.abs().max()
    n_same, worst = (errors <= 1e-5).sum().item(), errors.max().item()
    tap.check(n_same >= len(errors) / 2 and worst <= 0.2, what)
    tap.note(f"{what}: {n_same} of {len(errors)} texts within 1e-5, the worst {worst:.2g}")


def plain(what, dtype, shard="5GB", **changes):
    """transformers writes, libllq reads and writes again, transformers reads."""
    directory = next(names)
    tiny(**changes).to(dtype).save_pretrained(directory, max_shard_size=shard)
    n_files = sum(name.endswith(".safetensors") for name in os.listdir(directory))
    tap.check((n_files > 1) == (shard != "5GB"), f"{what}: {n_files} files are read")
    model = Model(directory)
    again = model.save()
    expect_same(tensors_of(again), tensors_of(directory), f"{what}: tensors are the same")
    theirs = logits_of(directory, dtype, TEXT)
    tap.check(torch.equal(theirs, logits_of(again, dtype, TEXT)),
              f"{what}: transformers reads it alike")
    expect_logits(model.logits(TEXT, theirs.shape[1]), theirs, f"{what}: logits agree")
    model.close()


def scheme_of(targets, weights, activations):
    return quantization.QuantizationScheme(
        targets=targets, weights=quantization.QuantizationArgs(**weights),
        input_activations=activations and quantization.QuantizationArgs(**activations))


@torch.no_grad()
def compress(directory, weights, activations, head):
    """What compressed-tensors itself writes for a checkpoint."""
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
    config = quantization.QuantizationConfig(
        config_groups={"group_0": scheme_of(["Linear"] + ["lm_head"] * head, weights,
                                            activations)},
        ignore=[] if head else ["lm_head"])
    quantization.apply_quantization_config(model, config, show_progress=False)
    for module in model.modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is None:
            continue
        group = scheme.weights.group_size or module.weight.shape[1]
        groups = module.weight.unflatten(-1, (-1, group))
        scale, zero = helpers.calculate_qparams(groups.amin(-1), groups.amax(-1), scheme.weights)
        module.weight_scale.data = scale
        if not scheme.weights.symmetric:
            module.weight_zero_point.data = zero.to(module.weight_zero_point.dtype)
        module.quantization_status = quantization.QuantizationStatus.FROZEN
    compressor = compressors.ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    out = next(names)
    model.save_pretrained(out)
    compressor.update_config(out)
    return out


def essence(directory):
    """The parts of a quantization_config that change how tensors are read."""
    config = json.load(open(os.path.join(directory, "config.json")))["quantization_config"]
    parsed = quantization.QuantizationConfig.model_validate(config)
    return (parsed.format, parsed.ignore, parsed.quantization_status, parsed.kv_cache_scheme,
            {name: (group.targets, group.format, group.weights, group.input_activations)
             for name, group in parsed.config_groups.items()})


def quantized(what, scheme, group, asymmetric, weights, activations=None, head=False):
    original = next(names)
    tiny().to(torch.bfloat16).save_pretrained(original)
    reference = compress(original, weights, activations, head)
    base = Model(original)
    made = base.quantized(scheme, group, asymmetric, head)
    ours = made.save()
    expect_same(tensors_of(ours), tensors_of(reference),
                f"{what}: tensors are those of compressed-tensors")
    tap.check(essence(ours) == essence(reference), f"{what}: so is the quantization_config",
              f"{essence(ours)}\n{essence(reference)}")
    options = {}
    if asymmetric:  # transformers 5.23 cannot keep zero points packed, not even its own
        options["quantization_config"] = transformers.CompressedTensorsConfig(dequantize=True)
    # Weights alone are multiplied as bf16 numbers; codes times codes are scaled afterwards.
    dtype = torch.float32 if activations else torch.bfloat16
    texts = TEXT.T if activations else TEXT
    theirs = logits_of(ours, dtype, texts, **options)
    tap.check(torch.equal(theirs, logits_of(reference, dtype, texts, **options)),
              f"{what}: transformers reads both alike")
    read = Model(reference)
    again = read.save()
    expect_same(tensors_of(again), tensors_of(reference), f"{what}: read and written again")
    expect = expect_rounded_logits if activations else expect_logits
    expect(read.logits(texts, theirs.shape[1]), theirs, f"{what}: logits agree")
    for model in (base, made, read):
        model.close()


plain("bf16", torch.bfloat16)
plain("f16, tied", torch.float16, tie_word_embeddings=True)
plain("f32, sharded", torch.float32, shard="300KB")
plain("no rope scaling", torch.bfloat16, rope_parameters={"rope_type": "default",
                                                          "rope_theta": 500000.0})

INT4 = {"num_bits": 4, "type": "int"}
INT8 = {"num_bits": 8, "type": "int", "strategy": "channel"}
TOKEN = {"num_bits": 8, "strategy": "token", "dynamic": True}
for size, mode in itertools.product((32, 64, 128), (0, 1)):
    quantized(f"w4a16-int, groups of {size}, {'asymmetric' if mode else 'symmetric'}",
              "w4a16-int", size, mode,
              {**INT4, "strategy": "group", "group_size": size, "symmetric": not mode})
for mode in (0, 1):
    quantized(f"w4a16-int, per channel, {'asymmetric' if mode else 'symmetric'}", "w4a16-int", -1,
              mode, {**INT4, "strategy": "channel", "symmetric": not mode})
quantized("w8a16-int", "w8a16-int", 0, 0, INT8)
quantized("w8a8-int", "w8a8-int", 0, 0, INT8, {**TOKEN, "type": "int"})
quantized("w8a8-fp", "w8a8-fp", 0, 0, {**INT8, "type": "float"}, {**TOKEN, "type": "float"})
quantized("w4a16-int and lm_head, groups of 32", "w4a16-int", 32, 0,
          {**INT4, "strategy": "group", "group_size": 32}, head=True)
quantized("w8a16-int and lm_head", "w8a16-int", 0, 0, INT8, head=True)
quantized("w8a8-fp and lm_head", "w8a8-fp", 0, 0, {**INT8, "type": "float"},
          {**TOKEN, "type": "float"}, head=True)
tap.done()
