# SPDX-License-Identifier: Apache-2.0
"""Whole bf16 models of Llama 3.1 8B's shape by torch, beside `llq bench`: prompts, and decoding
sequences of 128 to 256 tokens. Random weights.

    python3 bench/whole_peers.py [PART ...]

decode, batches, prompts   our own model with a static cache under torch.compile with coordinate
                           descent, a call being one CUDA graph; 1 sequence, then more
whole                      with these: not layer by layer, which takes 70 to 110 s for each size
transformers, generate     transformers' model with a StaticCache under torch.compile, its
                           prompts; its generate() with cache_implementation="static"

By default the first three, in 3 minutes.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F

HEAD, HEADS, KV_HEADS = 128, 32, 8
HIDDEN, INNER, LAYERS, VOCABULARY = 4096, 14336, 32, 128256
CONTEXT, TOKENS, WARMUPS, REPEATS = 128, 128, 3, 7
BATCHES, PROMPTS = (8, 32, 128), (512, 2048)


def norm(x, weight):
    return F.rms_norm(x, (HIDDEN,), weight, 1e-5)


def rotate(x, cosine, sine):
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1).to(x.dtype)


def attend(q, k, v, keys, values, mask):
    if q.shape[2] > 1:  # a prompt from its start
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    groups = q.reshape(len(q), KV_HEADS, HEADS // KV_HEADS, HEAD)
    scores = (groups @ keys.transpose(2, 3)).float() * HEAD ** -0.5 + mask
    return (scores.softmax(-1).to(q.dtype) @ values).reshape(q.shape)


@torch.compile(fullgraph=True, dynamic=False)
def run_layer(x, normed, weights, next_norm, cache, positions, cosine, sine, mask):
    """x after the layer, and its norm for the next: so nothing is left to fuse between layers."""
    qkv, o, middle_norm, gate_up, down = weights
    n, t, _ = x.shape
    q, k, v = F.linear(normed, qkv).view(n, t, -1, HEAD).transpose(1, 2).split(
        (HEADS, KV_HEADS, KV_HEADS), 1)
    q, k = rotate(q, cosine, sine), rotate(k, cosine, sine)
    keys, values = cache
    keys[:, :, positions] = k
    values[:, :, positions] = v
    a = attend(q, k, v, keys, values, mask)
    x = x + F.linear(a.transpose(1, 2).reshape(n, t, -1), o)
    gate, up = F.linear(norm(x, middle_norm), gate_up).chunk(2, -1)
    x = x + F.linear(F.silu(gate) * up, down)
    return x, norm(x, next_norm)


@torch.compile(fullgraph=True, dynamic=False)
def start(ids, positions, embedding, first_norm, cosine, sine, mask):
    x = F.embedding(ids, embedding)
    return x, norm(x, first_norm), cosine[positions], sine[positions], mask[positions]


@torch.compile(fullgraph=True, dynamic=False)
def likeliest(normed, output):
    return F.linear(normed[:, -1:], output).argmax(-1)


def matrix(n_out, n_in):
    return torch.randn(n_out, n_in) * 0.02


class Llama:
    def __init__(self):
        self.embedding, self.output = matrix(VOCABULARY, HIDDEN), matrix(VOCABULARY, HIDDEN)
        self.norms = list(torch.ones(LAYERS + 1, HIDDEN).unbind())
        self.layers = [(matrix((HEADS + 2 * KV_HEADS) * HEAD, HIDDEN), matrix(HIDDEN, HEADS * HEAD),
                        torch.ones(HIDDEN), matrix(2 * INNER, HIDDEN), matrix(HIDDEN, INNER))
                       for _ in range(LAYERS)]

    def make_cache(self, n_sequences, length):
        shape = n_sequences, KV_HEADS, length, HEAD
        self.caches = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(LAYERS)]
        angles = torch.outer(torch.arange(length, dtype=torch.float32),
                             500000.0 ** -torch.arange(0, 1, 2 / HEAD, dtype=torch.float32))
        self.cosine, self.sine = angles.cos(), angles.sin()
        self.mask = torch.full((length, length), -torch.inf, dtype=torch.float32).triu(1)

    def forward(self, ids, positions):
        """The likeliest ids after the last."""
        x, normed, *turns = start(ids, positions, self.embedding, self.norms[0], self.cosine,
                                  self.sine, self.mask)
        for weights, next_norm, cache in zip(self.layers, self.norms[1:], self.caches):
            x, normed = run_layer(x, normed, weights, next_norm, cache, positions, *turns)
        return likeliest(normed, self.output)


def record(f):
    """f's kernels alone, again and again."""
    for _ in range(2):
        f()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        f()
    return graph.replay


def seconds(f, before=lambda: None):
    times = []
    for _ in range(WARMUPS + REPEATS):
        before()
        torch.cuda.synchronize()
        start = time.monotonic()
        f()
        torch.cuda.synchronize()
        times.append(time.monotonic() - start)
    return statistics.median(times[WARMUPS:])


def report(what, n_tokens, duration, begin):
    print(f"{what}: {n_tokens / duration:.1f} tokens/s, {time.monotonic() - begin:.0f} s in all",
          flush=True)


def decode(model, forward, n_sequences):
    begin = time.monotonic()
    model.make_cache(n_sequences, CONTEXT + TOKENS)
    ids = torch.randint(VOCABULARY, (n_sequences, 1))
    position = torch.full((1,), CONTEXT)

    def step():
        ids.copy_(forward(ids, position))
        position.add_(1)

    replay = record(step)
    duration = seconds(lambda: [replay() for _ in range(TOKENS)],
                       lambda: position.fill_(CONTEXT))
    report(f"compiled, {n_sequences} sequences", n_sequences * TOKENS, duration, begin)


def read_prompt(model, forward, length):
    begin = time.monotonic()
    model.make_cache(1, length)
    ids, positions = torch.randint(VOCABULARY, (1, length)), torch.arange(length)
    report(f"compiled, prompt {length}", length,
           seconds(record(lambda: forward(ids, positions))), begin)


def run_own(parts):
    torch._inductor.config.coordinate_descent_tuning = True
    model = Llama()
    forward = model.forward
    if "whole" in parts:
        forward = torch.compile(forward, fullgraph=True, dynamic=False)
    for n_sequences in (1,) * ("decode" in parts) + BATCHES * ("batches" in parts):
        decode(model, forward, n_sequences)
    for length in PROMPTS * ("prompts" in parts):
        read_prompt(model, forward, length)
    torch._inductor.config.coordinate_descent_tuning = False
    torch._dynamo.reset()


def transformers_decode(model, cache):
    begin = time.monotonic()
    prompt = torch.randint(VOCABULARY, (1, CONTEXT))
    step = torch.compile(model.forward, mode="reduce-overhead", dynamic=False)
    ids = torch.randint(VOCABULARY, (1, 1))

    def fill():
        cache.reset()
        model(prompt, past_key_values=cache, logits_to_keep=1)

    def decode_all():
        for _ in range(TOKENS):
            ids.copy_(step(ids, past_key_values=cache).logits[:, -1].argmax(-1, keepdim=True))

    report("transformers, 1 sequence", TOKENS, seconds(decode_all, fill), begin)


def run_transformers(parts):
    from transformers import LlamaConfig, LlamaForCausalLM, StaticCache
    config = LlamaConfig(hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
                         num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=HEAD,
                         vocab_size=VOCABULARY, max_position_embeddings=8192,
                         eos_token_id=None, pad_token_id=0, attn_implementation="sdpa")
    model = LlamaForCausalLM(config).eval()
    for length in PROMPTS * ("transformers" in parts):
        begin = time.monotonic()
        ids = torch.randint(VOCABULARY, (1, length))
        report(f"transformers, prompt {length}", length,
               seconds(lambda: model(ids, logits_to_keep=1, use_cache=False)), begin)
    if "transformers" in parts:
        transformers_decode(model, StaticCache(config=config, max_cache_len=CONTEXT + TOKENS))
    if "generate" in parts:
        begin = time.monotonic()
        ids = torch.randint(VOCABULARY, (1, CONTEXT))
        report("transformers' generate, 1 sequence", TOKENS, seconds(lambda: model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS,
            min_new_tokens=TOKENS, do_sample=False, cache_implementation="static")), begin)


@torch.no_grad()
def main():
    parts = sys.argv[1:] or ["decode", "batches", "prompts"]
    torch.set_default_device("cuda")
    torch.set_default_dtype(torch.bfloat16)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    if {"decode", "batches", "prompts"} & set(parts):
        run_own(parts)
    if {"transformers", "generate"} & set(parts):
        run_transformers(parts)


main()
