# SPDX-License-Identifier: Apache-2.0
"""How long llm-compressor's GPTQ takes for a decoder layer of Llama 3.1 8B's shape
on a GPU: its own accumulation of second moments and its own rounding, by hooks
around transformers' layer, as its sequential pipeline has them. What surrounds
them there (data sets, offloading, saving) is not counted.

    python3 bench/gptq_peer.py [SAMPLES [LENGTH]]
"""

import sys
import time

import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.utils import calculate_qparams
from llmcompressor.modifiers.gptq import gptq_quantize, helpers
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

GROUP = 128


def make_layer():
    config = LlamaConfig(hidden_size=4096, intermediate_size=14336, num_attention_heads=32,
                         num_key_value_heads=8, num_hidden_layers=1, rope_theta=500000.0)
    config._attn_implementation = "sdpa"
    with torch.device("cuda"):
        layer = LlamaDecoderLayer(config, 0).to(torch.bfloat16).eval()
        rope = LlamaRotaryEmbedding(config)
    for parameter in layer.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.02)
    return layer, rope


def forward(layer, rope, samples):
    """One sample at a time, as llm-compressor's batches of 1."""
    positions = torch.arange(samples.shape[1], device="cuda")[None]
    for i in range(len(samples)):
        x = samples[i:i + 1]
        out = layer(x, position_embeddings=rope(x, positions))
        samples[i:i + 1] = out[0] if isinstance(out, tuple) else out


class Clock:
    def __init__(self):
        self.parts, self.last = {}, time.monotonic()

    def end(self, name):
        torch.cuda.synchronize()
        now = time.monotonic()
        self.parts[name] = self.parts.get(name, 0) + now - self.last
        self.last = now


def quantize(linear, hessian, n_samples, arguments):
    weight = linear.weight.float()
    groups = weight.reshape(weight.shape[0], -1, GROUP)
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), arguments)
    rounded, _, _ = gptq_quantize.quantize_weight(
        weights=weight[None].clone(), hessians=(hessian / n_samples)[None], scale=scale[None],
        zero_point=zero[None], global_scale=None, quant_args=arguments)
    linear.weight.copy_(rounded[0])


def run_layer(layer, rope, samples, arguments):
    linears = [m for m in layer.modules() if isinstance(m, torch.nn.Linear)]
    state = {m: [helpers.make_empty_hessian(m), torch.zeros((), device="cuda")] for m in linears}

    def gather(module, inputs, _):
        state[module] = list(helpers.accumulate_hessian(inputs[0], module, *state[module]))

    clock = Clock()
    hooks = [m.register_forward_hook(gather) for m in linears]
    forward(layer, rope, samples.clone())
    for hook in hooks:
        hook.remove()
    clock.end("samples and sums")
    for module in linears:
        quantize(module, *state.pop(module), arguments)
    clock.end("rounding")
    forward(layer, rope, samples)
    clock.end("samples through the result")
    return clock.parts


@torch.no_grad()
def main():
    n_samples = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    length = int(sys.argv[2]) if len(sys.argv) > 2 else 2048
    arguments = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group",
                                 group_size=GROUP, actorder="static")
    layer, rope = make_layer()
    warm = torch.randn(2, length, 4096, device="cuda", dtype=torch.bfloat16)
    run_layer(layer, rope, warm, arguments)  # libraries start, kernels are compiled
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        layer, rope = make_layer()
        samples = torch.randn(n_samples, length, 4096, device="cuda", dtype=torch.bfloat16)
        parts = run_layer(layer, rope, samples, arguments)
        del samples
        print(f"{torch.cuda.get_device_name()}, {n_samples} x {length}, matmul precision "
              f"{precision}: {sum(parts.values()):.2f} s a layer: "
              + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()), flush=True)


main()
