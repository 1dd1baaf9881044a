# SPDX-License-Identifier: Apache-2.0
"""GPTQ and AWQ: checkpoints that libllq writes are decoded by an implementation of the formats in
numpy, and by GPTQModel's and AutoAWQ's own modules where those are installed; checkpoints that
they pack, libllq reads."""

import importlib
import json
import os
import subprocess
import tempfile

import oracle

np = oracle.need("numpy")
torch = oracle.need("torch")
safetensors = oracle.need("safetensors.torch")

tap = oracle.Tap()
scratch = tempfile.TemporaryDirectory()
LLQ = os.environ["LLQ_COMMAND"]
MICRO = os.path.join(os.environ["LLQ_DATA"], "llq-micro")
TOKENS = json.dumps([(i * 37 + 11) % 400 for i in range(24)])
LAYER = "model.layers.1.mlp.up_proj"


def path(name):
    return os.path.join(scratch.name, name)


def llq(*arguments):
    return subprocess.run([LLQ, *arguments], check=True, capture_output=True, text=True)


def logits(model):
    llq("logits", model, "--tokens", TOKENS, "-o", path("logits.npy"))
    return np.load(path("logits.npy"))


def load(name):
    return safetensors.load_file(os.path.join(path(name), "model.safetensors"))


def config_of(name):
    return json.load(open(os.path.join(path(name), "config.json")))


def linears(tensors):
    return sorted(name[:-len(".qweight")] for name in tensors if name.endswith(".qweight"))


def fields(words, bits, order=None):
    """The last dimension's words, each as the fields in it."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    found = (words.numpy().view(np.uint32)[..., None] >> shifts) & np.uint32(2 ** bits - 1)
    if order is not None:
        placed = np.empty_like(found)
        placed[..., order] = found
        found = placed
    return found.reshape(*words.shape[:-1], -1).astype(np.int64)


def gptq_values(tensors, module, bits, version):
    """W[out, in] as the format defines it: in float32, not rounded."""
    q = fields(tensors[f"{module}.qweight"].T.contiguous(), bits)
    z = (fields(tensors[f"{module}.qzeros"], bits) + (version == 1)) % 2 ** bits
    group = tensors[f"{module}.g_idx"].long().numpy()
    s = tensors[f"{module}.scales"].float().numpy()
    return (s[group].T * (q - z[group].T)).astype(np.float32)


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def awq_values(tensors, module, group_size):
    q = fields(tensors[f"{module}.qweight"], 4, AWQ_ORDER)
    z = fields(tensors[f"{module}.qzeros"], 4, AWQ_ORDER)
    group = np.arange(q.shape[0]) // (q.shape[0] if group_size == -1 else group_size)
    s = tensors[f"{module}.scales"].float().numpy()
    return (s[group] * (q - z[group])).T.astype(np.float32)


def compressed_values(tensors, module):
    """The same of compressed-tensors, from which the others were converted."""
    bits = 4 if tensors[f"{module}.weight_packed"].shape[1] * 8 == \
        tensors[f"{module}.weight_shape"][1] else 8
    q = fields(tensors[f"{module}.weight_packed"], bits)
    s = tensors[f"{module}.weight_scale"].float().numpy()
    z = 2 ** (bits - 1)
    if f"{module}.weight_zero_point" in tensors:
        packed = tensors[f"{module}.weight_zero_point"].T.contiguous()
        z = np.repeat(fields(packed, bits).T[:q.shape[0]], q.shape[1] // s.shape[1], axis=1)
    return (np.repeat(s, q.shape[1] // s.shape[1], axis=1) * (q - z)).astype(np.float32)


def convert(source, name, form, *options):
    llq("convert", path(source), path(name), "--format", form, *options)


def round_trips(scheme, options, form):
    """compressed-tensors -> the format -> compressed-tensors: every value survives."""
    what = f"{scheme} {' '.join(options)} as {form}".replace("  ", " ")
    tag = what.replace(" ", "_")
    llq("quantize", MICRO, path(tag + "-ct"), "--scheme", scheme, *options)
    convert(tag + "-ct", tag, form)
    tensors, original = load(tag), load(tag + "-ct")
    quantization = config_of(tag)["quantization_config"]
    bits, group = quantization["bits"], quantization["group_size"]
    version = 2 if quantization.get("checkpoint_format") == "gptq_v2" else 1
    same = len(linears(tensors)) > 0
    for module in linears(tensors):
        values = awq_values(tensors, module, group) if form == "awq" else \
            gptq_values(tensors, module, bits, version)
        same &= np.array_equal(values, compressed_values(original, module))
    tap.check(same, f"{what}: values of {len(linears(tensors))} linears are the same")
    convert(tag, tag + "-back", "compressed-tensors")
    if form == "gptq":
        back = load(tag + "-back")
        tap.check(back.keys() == original.keys() and
                  all(torch.equal(back[name], original[name]) for name in back),
                  f"{what}: and back, bit by bit")
        tap.check(np.array_equal(logits(path(tag)), logits(path(tag + "-ct"))),
                  f"{what}: logits are the same")
    else:
        # Products are rounded to the type of their scale, which is another now.
        convert(tag, tag + "-plain", "safetensors")
        plain = load(tag + "-plain")
        tap.check(all(np.array_equal(plain[f"{module}.weight"].numpy(), awq_values(
            tensors, module, group).astype(np.float16)) for module in linears(tensors)),
            f"{what}: and as safetensors, rounded to float16")
        error = np.abs(logits(path(tag)) - logits(path(tag + "-plain"))).max()
        tap.check(error <= 1e-4, f"{what}: logits are those of its values", error)
    return tag


def refused(what, source, form, text):
    run = subprocess.run([LLQ, "convert", path(source), path("refused"), "--format", form],
                         capture_output=True, text=True)
    tap.check(run.returncode == 1 and text in run.stderr and not os.path.exists(
        os.path.join(path("refused"), "config.json")), what, run.stderr)


def module_named(name, *imports):
    try:
        return [getattr(importlib.import_module(where), what) for where, what in imports]
    except Exception as error:  # whatever their imports raise
        print(f"ok {tap.n + 1} - # SKIP {name}: {type(error).__name__}: {str(error)[:80]}")
        tap.n += 1
        return None


def theirs_gptq(tag, bits):
    """GPTQModel's plain module, given what libllq wrote, multiplies as the values say."""
    found = module_named("GPTQModel", ("gptqmodel.nn_modules.qlinear.torch", "TorchLinear"))
    if found is None:
        return
    tensors, quantization = load(tag), config_of(tag)["quantization_config"]
    n_in, n_out = tensors[f"{LAYER}.g_idx"].shape[0], tensors[f"{LAYER}.scales"].shape[1]
    module = found[0](bits=bits, group_size=quantization["group_size"], sym=quantization["sym"],
                      desc_act=False, in_features=n_in, out_features=n_out, bias=False,
                      pack_dtype=torch.int32, register_buffers=True)
    for part in ("qweight", "qzeros", "scales", "g_idx"):
        getattr(module, part).data = tensors[f"{LAYER}.{part}"].clone()
    version = 2 if quantization["checkpoint_format"] == "gptq_v2" else 1
    if version == 1:  # what its loader does
        module.qzeros.data += 0x11111111 if bits == 4 else 0x01010101
    values = module.dequantize_weight().T.float().numpy()
    wanted = gptq_values(tensors, LAYER, bits, version)
    error = np.abs(values - wanted) / np.maximum(np.abs(wanted), 1e-9)
    tap.check(error.max() <= 2 ** -8, f"GPTQModel dequantizes {tag} alike but for rounding",
              error.max())


def theirs_awq(tag):
    found = module_named("AutoAWQ", ("awq.utils.packing_utils", "dequantize_gemm"))
    if found is None:
        return
    tensors, quantization = load(tag), config_of(tag)["quantization_config"]
    values = found[0](tensors[f"{LAYER}.qweight"], tensors[f"{LAYER}.qzeros"],
                      tensors[f"{LAYER}.scales"], 4, quantization["group_size"])
    wanted = torch.tensor(awq_values(tensors, LAYER, quantization["group_size"])).half()
    tap.check(torch.equal(values.T, wanted), f"AutoAWQ dequantizes {tag} alike")


def by_transformers(tag, **options):
    """The whole model, by transformers with GPTQModel's modules on the CPU."""
    transformers = oracle.need("transformers")
    if module_named("GPTQModel in transformers", ("gptqmodel", "GPTQModel"),
                    ("optimum", "__path__")) is None:
        return
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path(tag), dtype=torch.float16, **options)
        with torch.no_grad():
            theirs = model(torch.tensor([json.loads(TOKENS)])).logits[0].float().numpy()
    except Exception as error:
        print(f"ok {tap.n + 1} - # SKIP transformers cannot load {tag} here: "
              f"{type(error).__name__}: {str(error)[:100]}".replace("\n", " "))
        tap.n += 1
        return
    ours = logits(path(tag))
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    tap.check(error < 2e-2, f"transformers reads {tag}: logits agree in f16", error)
    tap.note(f"{tag}: {error:.2g} of the largest logit")


def made_by_numpy(name, bits, version, act_order, label):
    """A GPTQ checkpoint packed here, from random codes, which libllq must read."""
    rng = np.random.default_rng(7)
    tensors = dict(safetensors.load_file(os.path.join(MICRO, "model.safetensors")))
    plain = dict(tensors)
    group = 32
    for key in [k for k in tensors if k.startswith("model.layers.") and k.endswith("_proj.weight")]:
        module, (n_out, n_in) = key[:-len(".weight")], tensors.pop(key).shape
        q = rng.integers(0, 2 ** bits, (n_out, n_in))
        z = rng.integers(1, 2 ** bits, (n_in // group, n_out))
        s = (rng.random((n_in // group, n_out)) * 0.01 / 2 ** bits).astype(np.float16)
        g = np.arange(n_in) // group
        if act_order:
            g = rng.permutation(g)
        shifts = np.arange(0, 32, bits)
        pack = lambda x: torch.tensor((x.reshape(*x.shape[:-1], -1, 32 // bits) << shifts)
                                      .sum(-1).astype(np.uint32).view(np.int32))
        tensors[f"{module}.qweight"] = pack(q).T.contiguous()
        tensors[f"{module}.qzeros"] = pack(z - (version == 1))
        tensors[f"{module}.scales"] = torch.tensor(s)
        tensors[f"{module}.g_idx"] = torch.tensor(g.astype(np.int32))
        values = s[g].T.astype(np.float32) * (q - z[g].T)
        plain[key] = torch.tensor(values).half()
    config = json.load(open(os.path.join(MICRO, "config.json")))
    for directory, contents, extra in ((name, tensors, {"quantization_config": {
            "quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": act_order,
            "sym": False, "checkpoint_format": label}}), (name + "-plain", plain, {})):
        os.mkdir(path(directory))
        safetensors.save_file(contents, os.path.join(path(directory), "model.safetensors"),
                              metadata={"format": "pt"})
        json.dump({**config, **extra}, open(os.path.join(path(directory), "config.json"), "w"))
    error = np.abs(logits(path(name)) - logits(path(name + "-plain"))).max()
    tap.check(error <= 1e-4, f"{name}: a checkpoint made by numpy has its logits", error)


gptq4 = round_trips("w4a16-int", ["--group-size", "32"], "gptq")
gptq4z = round_trips("w4a16-int", ["--group-size", "64", "--asymmetric"], "gptq")
round_trips("w4a16-int", ["--group-size", "-1"], "gptq")
gptq8 = round_trips("w8a16-int", [], "gptq")
awq = round_trips("w4a16-int", ["--group-size", "32"], "awq")
awqz = round_trips("w4a16-int", ["--group-size", "64", "--asymmetric"], "awq")
refused("8-bit codes are refused by AWQ", gptq8, "awq", "would lose its 8-bit codes as awq")
llq("quantize", MICRO, path("fp8"), "--scheme", "w8a8-fp")
refused("FP8 is refused by GPTQ", "fp8", "gptq", "model.layers.0.self_attn.q_proj")
for settings in ((4, 1, False), (4, 2, True), (8, 1, False), (8, 2, True)):
    made_by_numpy("numpy-%d-v%d%s" % (*settings[:2], "-order" if settings[2] else ""), *settings,
                  "gptq" if settings[1] == 1 else "gptq_v2")
for name, n_bits in ((gptq4, 4), (gptq4z, 4), (gptq8, 8)):
    theirs_gptq(name, n_bits)
for name in (awq, awqz):
    theirs_awq(name)
for name in (gptq4, gptq4z, gptq8, awq):
    by_transformers(name, device_map="cpu")
tap.done()
