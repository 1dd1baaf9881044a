# SPDX-License-Identifier: Apache-2.0
"""GGUF files that the format's own package writes, of every type of weight: values are those that
it dequantizes, logits those of the same values as safetensors, tokens those of tokenizer.json."""

import json
import os
import subprocess
import tempfile

import oracle

np = oracle.need("numpy")
gguf = oracle.need("gguf")
safetensors = oracle.need("safetensors.torch")

tap = oracle.Tap()
scratch = tempfile.TemporaryDirectory()
LLQ = os.environ["LLQ_COMMAND"]
MICRO = os.path.join(os.environ["LLQ_DATA"], "llq-micro")
CONFIG = json.load(open(os.path.join(MICRO, "config.json")))
TOKENS = json.dumps([(i * 37 + 11) % 400 for i in range(24)])
HEADS, KV_HEADS = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
N_LAYERS, HIDDEN, WIDE = 2, CONFIG["hidden_size"], CONFIG["intermediate_size"]
SHAPES = {"attn_q": (HEADS * 32, HIDDEN), "attn_k": (KV_HEADS * 32, HIDDEN),
          "attn_v": (KV_HEADS * 32, HIDDEN), "attn_output": (HIDDEN, HEADS * 32),
          "ffn_gate": (WIDE, HIDDEN), "ffn_up": (WIDE, HIDDEN), "ffn_down": (HIDDEN, WIDE)}
NAMES = dict(zip(SHAPES, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                          "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")))
Kind = gguf.GGMLQuantizationType


def path(name):
    return os.path.join(scratch.name, name)


def llq(*arguments, **options):
    return subprocess.run([LLQ, *arguments], check=True, capture_output=True, **options).stdout


def logits(model):
    llq("logits", model, "--tokens", TOKENS, "--compute", "f32", "-o", path("logits.npy"))
    return np.load(path("logits.npy"))


def blocks(rng, kind, shape):
    """A weight's bytes: quantized by the package, or, of types that it only reads, drawn."""
    values = (rng.standard_normal(shape) * 0.05).astype(np.float32)
    if kind not in (Kind.Q4_K, Kind.Q5_K, Kind.Q6_K):
        return gguf.quants.quantize(values, kind)
    block, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (shape[0], shape[1] // block, n_bytes), dtype=np.uint8)
    small = (rng.random(data.shape[:2] + (2,)) * 1e-4).astype(np.float16).view(np.uint8)
    if kind == Kind.Q6_K:
        data[..., 208:210] = small[..., :2]
    else:
        data[..., :4] = small
    return data.reshape(shape[0], -1)


def turned_back(values, n_heads):
    """The rows of q and k as Hugging Face has them."""
    return values.reshape(n_heads, -1, 2, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)


def rope_factors():
    scaling, theta = CONFIG["rope_scaling"], CONFIG["rope_theta"]
    factors = []
    for frequency in 1 / theta ** (np.arange(0, 32, 2) / 32):
        length = 2 * np.pi / frequency
        smooth = (scaling["original_max_position_embeddings"] / length - 1) / 3
        smooth = min(max(smooth, 0), 1)
        factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, np.float32)


def add_tokenizer(writer):
    tokenizer = json.load(open(os.path.join(MICRO, "tokenizer.json")))
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    by_id = {i: token for token, i in tokenizer["model"]["vocab"].items()}
    by_id.update((i, token["content"]) for i, token in added.items())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([by_id[i] for i in range(len(by_id))])
    writer.add_token_types([(3 if added[i]["special"] else 4) if i in added else 1
                            for i in range(len(by_id))])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge)
                             for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(CONFIG["bos_token_id"])
    writer.add_eos_token_id(CONFIG["eos_token_id"][0])
    writer.add_eot_token_id(CONFIG["eos_token_id"][1])


def add_sizes(writer):
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(CONFIG["max_position_embeddings"])
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(32)
    writer.add_value_length(32)
    writer.add_rope_dimension_count(32)
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])


def write(kind, name):
    """Writes a file; returns the tensors that it means, by Hugging Face's names."""
    rng, meant = np.random.default_rng(int(kind)), {}
    writer = gguf.GGUFWriter(path(name), "llama")
    add_sizes(writer)
    add_tokenizer(writer)

    def add(ours, theirs, data, n_heads=0):
        writer.add_tensor(ours, data, raw_dtype=kind)
        values = gguf.quants.dequantize(data, kind)
        meant[theirs + ".weight"] = turned_back(values, n_heads) if n_heads else values

    def add_norm(ours, theirs):
        values = (1 + 0.1 * rng.standard_normal(HIDDEN)).astype(np.float32)
        writer.add_tensor(ours, values)
        meant[theirs + ".weight"] = values

    add("token_embd.weight", "model.embed_tokens",
        blocks(rng, kind, (CONFIG["vocab_size"], HIDDEN)))
    add("output.weight", "lm_head", blocks(rng, kind, (CONFIG["vocab_size"], HIDDEN)))
    add_norm("output_norm.weight", "model.norm")
    writer.add_tensor("rope_freqs.weight", rope_factors())
    for i in range(N_LAYERS):
        for part, shape in SHAPES.items():
            n_heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(part, 0)
            add(f"blk.{i}.{part}.weight", f"model.layers.{i}.{NAMES[part]}",
                blocks(rng, kind, shape), n_heads)
        add_norm(f"blk.{i}.attn_norm.weight", f"model.layers.{i}.input_layernorm")
        add_norm(f"blk.{i}.ffn_norm.weight", f"model.layers.{i}.post_attention_layernorm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return meant


def same_values(found, meant):
    return found.keys() == meant.keys() and all(
        np.array_equal(found[name].float().numpy(), meant[name]) for name in meant)


def check(kind):
    name = kind.name
    meant = write(kind, name + ".gguf")
    llq("convert", path(name + ".gguf"), path(name), "--format", "safetensors")
    found = safetensors.load_file(os.path.join(path(name), "model.safetensors"))
    tap.check(same_values(found, meant), f"{name}: every value is exact")
    config = json.load(open(os.path.join(path(name), "config.json")))
    tap.check(config["rope_scaling"] == CONFIG["rope_scaling"] and
              config["eos_token_id"] == CONFIG["eos_token_id"] and
              config["rms_norm_eps"] == CONFIG["rms_norm_eps"],
              f"{name}: the config is that of the original", config)
    theirs, ours = logits(path(name)), logits(path(name + ".gguf"))
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    tap.check(error <= 1e-4, f"{name}: logits are those of its values", error)


for each in (Kind.F32, Kind.F16, Kind.BF16, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0,
             Kind.Q4_K, Kind.Q5_K, Kind.Q6_K):
    check(each)
text = open(os.path.join(MICRO, "heldout.txt"), "rb").read()[:20000] + "é 漢字 🙂\t\n".encode()
expected = llq("tokenize", MICRO, "--bos", input=text)
tap.check(llq("tokenize", path("F32.gguf"), "--bos", input=text) == expected,
          "its tokenizer makes the same tokens")
tap.check(llq("tokenize", path("F32"), "--bos", input=text) == expected,
          "and so does the tokenizer.json made of it")
tap.done()
