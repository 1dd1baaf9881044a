# SPDX-License-Identifier: Apache-2.0
"""Checkpoints with scales of a KV cache, in transformers with compressed-tensors: they load there,
keys and values are quantized there, and logits agree with libllq's; what transformers writes of
them, libllq reads."""

import json
import logging
import os
import subprocess
import tempfile

import oracle

np = oracle.need("numpy")
torch = oracle.need("torch")
transformers = oracle.need("transformers")
oracle.need("compressed_tensors")
from compressed_tensors.quantization import QuantizationConfig  # noqa: E402

logging.disable(logging.WARNING)
transformers.utils.logging.disable_progress_bar()
tap = oracle.Tap()
scratch = tempfile.TemporaryDirectory()
LLQ = os.environ["LLQ_COMMAND"]
MICRO = os.path.join(os.environ["LLQ_DATA"], "llq-micro")
IDS = [(i * 37 + 11) % 400 for i in range(40)]


def path(name):
    return os.path.join(scratch.name, name)


def llq(*arguments):
    subprocess.run([LLQ, *arguments], check=True, capture_output=True)


def logits(model, *options):
    llq("logits", model, "--tokens", json.dumps(IDS), "-o", path("logits.npy"), *options)
    return np.load(path("logits.npy"))


def distance(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


def check(kv_cache, bound):
    """bound: of the distance to transformers' logits, beside what quantizing changes."""
    where = path(kv_cache)
    llq("quantize", MICRO, where, "--scheme", "bf16", "--kv-cache", kv_cache, "--calibration",
        os.path.join(MICRO, "calibration.jsonl"), "--samples", "4", "--length", "128")
    config = json.load(open(os.path.join(where, "config.json")))["quantization_config"]
    scheme = QuantizationConfig.model_validate(config).kv_cache_scheme
    tap.check(scheme.num_bits == 8 and scheme.type == ("int" if kv_cache == "int8" else "float"),
              f"{kv_cache}: compressed-tensors accepts the config")
    model = transformers.AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32)
    with torch.no_grad():
        theirs = model(torch.tensor([IDS]), use_cache=True).logits[0].numpy()
    ours, plain = logits(where), logits(where, "--kv-cache", "compute")
    found, changed = distance(ours, theirs), distance(ours, plain)
    tap.check(changed > 1e-3 and found < bound * changed,
              f"{kv_cache}: transformers has the same logits "
              f"({found:.2g}; without quantized keys and values {changed:.2g})")
    again = path(kv_cache + "-again")
    model.save_pretrained(again)
    tap.check(np.array_equal(logits(again), ours),
              f"{kv_cache}: libllq reads what transformers writes")


check("int8", 1e-3)
check("fp8", 1e-2)
tap.done()
