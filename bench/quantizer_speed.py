# SPDX-License-Identifier: Apache-2.0
"""GPTQ of one decoder layer of Llama 3.2 1B's shape, by `llq` and by llm-compressor's own function
on the same shapes: processor time with one thread, so that what else runs counts little.

    LLQ_COMMAND=build/llq python3 bench/quantizer_speed.py [SAMPLES [TOKENS]]

libllq's time is that of two layers minus that of one: drawing weights, saving and the like cancel.
It includes two forward passes, second moments, and writing; llm-compressor's is its quantize_weight()
alone, one call a linear, given the second moments."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

LLQ = os.environ.get("LLQ_COMMAND", "llq")
SAMPLES, TOKENS = (int(x) for x in (sys.argv[1:] + ["4", "512"][len(sys.argv) - 1:])[:2])
HIDDEN, INNER, HEADS, KV = 2048, 8192, 32, 8
SHAPES = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN * KV // HEADS, HIDDEN),
          "v": (HIDDEN * KV // HEADS, HIDDEN), "o": (HIDDEN, HIDDEN), "gate": (INNER, HIDDEN),
          "up": (INNER, HIDDEN), "down": (HIDDEN, INNER)}
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"


def ours(n_layers, method, *options):
    """Seconds of processor time of quantizing so many layers."""
    with tempfile.TemporaryDirectory() as scratch:
        shape = os.path.join(scratch, "shape.json")
        with open(shape, "w") as file:
            json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
                       "hidden_size": HIDDEN, "intermediate_size": INNER,
                       "num_hidden_layers": n_layers, "num_attention_heads": HEADS,
                       "num_key_value_heads": KV, "head_dim": HIDDEN // HEADS,
                       "vocab_size": 2048, "max_position_embeddings": 8192,
                       "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "hidden_act": "silu",
                       "torch_dtype": "bfloat16", "tie_word_embeddings": True}, file)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([LLQ, "quantize", "random:" + shape, os.path.join(scratch, "out"),
                        "--scheme", "w4a16-int", "--method", method, "--threads", "1",
                        "--calibration", "random", "--samples", str(SAMPLES),
                        "--length", str(TOKENS), *options], check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def theirs():
    """Seconds of llm-compressor's GPTQ, linear by linear."""
    import torch
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.utils.helpers import calculate_qparams
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight
    torch.set_num_threads(1)
    torch.manual_seed(0)
    args = QuantizationArgs(num_bits=4, symmetric=True, strategy="group", group_size=128,
                            actorder="weight")
    total = 0
    for name, (n_out, n_in) in SHAPES.items():
        w = (torch.randn(n_out, n_in) * 0.02).bfloat16()
        x = torch.randn(1024, n_in)
        h = x.T @ x / len(x)
        groups = w.unflatten(-1, (-1, 128))
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        start = time.process_time()
        quantize_weight(w[None].clone(), h[None].clone(), scale[None], zero[None], None, args)
        seconds = time.process_time() - start
        print(f"| llm-compressor, {name} | {seconds:.2f} |", flush=True)
        total += seconds
    return total


def main():
    print(f"{SAMPLES} samples of {TOKENS} tokens\n\n| one layer | s of one core |\n| --- | ---: |")
    seconds = {}
    for method in ("rtn", "gptq"):
        seconds[method] = ours(2, method) - ours(1, method)
        print(f"| libllq, {method} | {seconds[method]:.2f} |", flush=True)
    reference = theirs()
    print(f"| llm-compressor, all | {reference:.2f} |\n\n"
          f"llm-compressor / libllq: {reference / seconds['gptq']:.1f}")


main()
