# SPDX-License-Identifier: Apache-2.0
"""GPTQ and AWQ beside llm-compressor's and GPTQModel's, on single layers of llq-micro and the same
calibration tokens: what is minimized, the squared error of a linear's outputs, must come out the
same to 1 % where the rules are the same, and must not be larger elsewhere."""

import json
import os
import subprocess
import tempfile

import oracle

torch = oracle.need("torch")
safetensors = oracle.need("safetensors.torch")
transformers = oracle.need("transformers")

LLQ = os.environ["LLQ_COMMAND"]
MICRO = os.path.join(os.environ["LLQ_DATA"], "llq-micro")
N_SAMPLES, N_FEW, N_TOKENS = 24, 6, 256  # few for AWQ, whose search takes its time
LAYERS = (1, 7)  # of llq-micro
LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]

torch.set_num_threads(2)
torch.manual_seed(0)
tap = oracle.Tap()
scratch = tempfile.TemporaryDirectory()
os.environ["TMPDIR"] = scratch.name  # where GPTQModel leaves folders


def path(*names):
    return os.path.join(scratch.name, *names)


def find(what, load):
    """What a package gives; None, with a visible skip, where it is absent."""
    try:
        return load()
    except Exception as error:  # whatever imports raise
        tap.n += 1
        print(f"ok {tap.n} - # SKIP {what}: {type(error).__name__}: {str(error)[:80]}", flush=True)
        return None


def load_compressor():
    import compressed_tensors.quantization as quantization
    from compressed_tensors.quantization.utils.helpers import calculate_qparams
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight
    return quantization.QuantizationArgs, calculate_qparams, quantize_weight


def load_gptqmodel():
    from gptqmodel.quantization import QuantizeConfig
    from gptqmodel.quantization.gptq import GPTQ
    return QuantizeConfig, GPTQ


def load_awq():
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    if not torch.cuda.is_available():  # it pins memory for a GPU all the same
        torch.Tensor.pin_memory = lambda tensor, *_: tensor
    try:
        from llmcompressor.modifiers.transform.awq import AWQModifier
    except ImportError:
        from llmcompressor.modifiers.awq import AWQModifier
    return Dataset, oneshot, QuantizationModifier, AWQModifier


def one_layer(number):
    """llq-micro with a single layer, as a checkpoint."""
    os.makedirs(path(f"layer{number}"))
    for name in os.listdir(MICRO):
        if name.endswith(".json") and name != "config.json":
            os.symlink(os.path.join(MICRO, name), path(f"layer{number}", name))
    config = json.load(open(os.path.join(MICRO, "config.json")))
    config["num_hidden_layers"] = 1
    json.dump(config, open(path(f"layer{number}", "config.json"), "w"))
    tensors = safetensors.load_file(os.path.join(MICRO, "model.safetensors"))
    kept = {name.replace(f"layers.{number}.", "layers.0."): tensor
            for name, tensor in tensors.items()
            if ".layers." not in name or f".layers.{number}." in name}
    safetensors.save_file(kept, path(f"layer{number}", "model.safetensors"), {"format": "pt"})
    return path(f"layer{number}")


def calibration():
    """The samples, as texts in a file and as the ids that libllq makes of them."""
    texts = [json.loads(line)["text"] for line in open(os.path.join(MICRO, "calibration.jsonl"))]
    texts = texts[:N_SAMPLES]
    for name, n in (("many.jsonl", N_SAMPLES), ("few.jsonl", N_FEW)):
        with open(path(name), "w") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts[:n])
    ids = [json.loads(subprocess.run([LLQ, "tokenize", MICRO, "--bos"], input=text, check=True,
                                     text=True, stdout=subprocess.PIPE).stdout)[:N_TOKENS]
           for text in texts]
    return ids


def captured(model, ids):
    """The inputs of every linear, in float32."""
    inputs = {}

    def keep(name):
        return lambda module, arguments: inputs.setdefault(name, []).append(
            arguments[0].flatten(0, 1).clone())
    layer = model.model.layers[0]
    hooks = [layer.get_submodule(name).register_forward_pre_hook(keep(name)) for name in LINEARS]
    with torch.no_grad():
        for sample in ids:
            model(torch.tensor([sample]))
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(found) for name, found in inputs.items()}


def quantize(source, name, texts, *options):
    """libllq's weights: the values that its codes mean."""
    for command in (["quantize", source, path(name), "--scheme", "w4a16-int", *options,
                     "--calibration", path(texts), "--length", str(N_TOKENS),
                     "--compute", "f32"],
                    ["convert", path(name), path(name + "-values"), "--format", "safetensors"]):
        subprocess.run([LLQ, *command], check=True, capture_output=True)
    return safetensors.load_file(path(name + "-values", "model.safetensors"))


def objective(x, w, q):
    return float(((x @ (w.float() - q.float()).T) ** 2).sum())


ORDERS = {"none": None, "static": "weight"}  # it has no "group" any more


def by_compressor(package, x, w, group, order):
    args_type, calculate_qparams, quantize_weight = package
    args = args_type(num_bits=4, symmetric=True, strategy="group" if group > 0 else "channel",
                     group_size=group if group > 0 else None, actorder=ORDERS[order])
    h = 2 * x.T @ x / len(x)
    groups = w.unflatten(-1, (-1, group)) if group > 0 else w.unsqueeze(1)
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
    q, _, _ = quantize_weight(w[None].clone(), h[None].clone(), scale[None], zero[None], None,
                              args, blocksize=128, percdamp=0.01)
    return q[0]


def by_gptqmodel(package, x, w, group, order):
    config_type, gptq_type = package
    config = config_type(bits=4, group_size=group, sym=True, desc_act=order != "none",
                         static_groups=order == "static", act_group_aware=False,
                         damp_percent=0.01, mse=0.0)
    linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    linear.weight.data = w.float()
    job = gptq_type(linear, config)
    job.quantizer.configure(perchannel=True)
    job.add_batch(x[None], linear(x)[None], batch_index=0)
    return job.quantize()[0]


# Group size, order, and which packages have the same rule for scales: those of
# the weights as they were, or of what is left when their turn comes.
CASES = [(128, "none", "gptqmodel"), (128, "static", "both"), (128, "group", "gptqmodel"),
         (-1, "none", "both"), (-1, "static", "both")]


def compare_gptq(packages, source, number, x, w):
    for group, order, same in CASES:
        name = f"gptq-{number}-{group}-{order}"
        ours = quantize(source, name, "many.jsonl", "--method", "gptq", "--order", order,
                        "--group-size", str(group))
        plain = quantize(source, name + "-rtn", "many.jsonl", "--method", "rtn",
                         "--group-size", str(group))
        for package, by in packages.items():
            if package == "llmcompressor" and order not in ORDERS:
                continue
            ratios, rounded, equal = [], [], []
            for linear in LINEARS:
                tensor = f"model.layers.0.{linear}.weight"
                theirs = by(x[linear], w[tensor], group, order)
                losses = [objective(x[linear], w[tensor], q)
                          for q in (ours[tensor], theirs, plain[tensor])]
                ratios.append(losses[0] / losses[1])
                rounded.append(losses[0] / losses[2])
                equal.append(float(torch.isclose(ours[tensor].float(), theirs.float(),
                                                 rtol=2 ** -7, atol=1e-7).float().mean()))
            is_same = same in ("both", package)
            total = sum(ratios) / len(ratios)
            what = f"layer {number}, group {group}, order {order}: "
            tap.check((0.99 <= total if is_same else True) and total <= 1.01,
                      what + f"GPTQ loses {'what' if is_same else 'no more than'} {package} does",
                      ratios)
            tap.note(f"{what}libllq / {package} {total:.4f} ({min(ratios):.4f} to "
                     f"{max(ratios):.4f}); same weights {100 * sum(equal) / len(equal):.1f} %; "
                     f"libllq / RTN {sum(rounded) / len(rounded):.3f}")


def halves(model, hidden, tensors):
    """What a layer's attention and MLP give, with other weights and norms."""
    layer = model.model.layers[0]
    state = {name[len("model.layers.0."):]: value.float() for name, value in tensors.items()
             if name.startswith("model.layers.0.")}
    layer.load_state_dict(state)
    found = []
    with torch.no_grad():
        for before, between, rotary in hidden:
            attended = layer.self_attn(layer.input_layernorm(before), position_embeddings=rotary,
                                       attention_mask=None)[0]
            found.append((attended, layer.mlp(layer.post_attention_layernorm(between))))
    return found


def hidden_of(model, ids):
    """What comes into the two halves of the layer."""
    hidden, layer = [], model.model.layers[0]
    between = []
    hook = layer.post_attention_layernorm.register_forward_pre_hook(
        lambda module, arguments: between.append(arguments[0].clone()))
    with torch.no_grad():
        for sample in ids:
            tokens = torch.tensor([sample])
            before = model.model.embed_tokens(tokens)
            positions = torch.arange(len(sample))[None]
            model(tokens)
            hidden.append((before, between.pop(), model.model.rotary_emb(before, positions)))
    hook.remove()
    return hidden


def by_awq(package, source, ids, group):
    """llm-compressor's AWQ, run as its users run it; the values of its weights."""
    dataset, oneshot, quantization, awq = package
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    samples = dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(s) for s in ids]})
    weights = {"num_bits": 4, "type": "int", "symmetric": True,
               "strategy": "group" if group > 0 else "channel",
               **({"group_size": group} if group > 0 else {})}
    scheme = {"group_0": {"targets": ["Linear"], "weights": weights}}
    oneshot(model=model, dataset=samples, max_seq_length=N_TOKENS,
            num_calibration_samples=len(ids), recipe=[
                awq(duo_scaling=True),
                quantization(config_groups=scheme, ignore=["lm_head"])])
    found = {}
    for name, module in model.named_modules():
        if hasattr(module, "weight") and name.startswith("model.layers."):
            w = module.weight.data
            if hasattr(module, "weight_scale"):
                from compressed_tensors.quantization import fake_quantize
                w = fake_quantize(w, module.weight_scale, module.weight_zero_point,
                                  module.quantization_scheme.weights)
            found[name + ".weight"] = w
    return found


def compare_awq(package, source, number, model, ids, w):
    hidden = hidden_of(model, ids)
    exact = halves(model, hidden, w)

    def loss(tensors):
        """Of attention and MLP, relative to what the original gives."""
        found = halves(model, hidden, tensors)
        return [sum(float(((f[i] - e[i]) ** 2).sum()) for f, e in zip(found, exact))
                / sum(float((e[i] ** 2).sum()) for e in exact) for i in (0, 1)]
    for group in (128, -1):
        name = f"awq-{number}-{group}"
        ours = loss(quantize(source, name, "few.jsonl", "--method", "awq", "--group-size",
                             str(group)))
        plain = loss(quantize(source, name + "-rtn", "few.jsonl", "--method", "rtn",
                              "--group-size", str(group)))
        theirs = loss(by_awq(package, source, ids, group))
        what = f"layer {number}, group {group}: "
        for half, a, b, c in zip(("attention", "MLP"), ours, theirs, plain):
            tap.check(a <= 1.01 * b, what + f"AWQ's {half} loses no more than llm-compressor's",
                      (a, b))
            tap.note(f"{what}{half}: libllq / llm-compressor {a / b:.4f}; of the outputs "
                     f"{a:.5f}, {b:.5f}, RTN {c:.5f}")


def main():
    loaded = {"llmcompressor": find("llm-compressor's GPTQ", load_compressor),
              "gptqmodel": find("GPTQModel", load_gptqmodel)}
    awq = find("llm-compressor's AWQ", load_awq)
    run = {"llmcompressor": by_compressor, "gptqmodel": by_gptqmodel}
    packages = {name: (lambda *a, f=run[name], p=package: f(p, *a))
                for name, package in loaded.items() if package is not None}
    ids = calibration()
    for number in LAYERS if packages or awq else ():
        source = one_layer(number)
        w = safetensors.load_file(os.path.join(source, "model.safetensors"))
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, attn_implementation="sdpa")
        if packages:
            compare_gptq(packages, source, number, captured(model, ids), w)
        if awq is not None:
            compare_awq(awq, source, number, model, ids[:N_FEW], w)
    tap.done()


main()
