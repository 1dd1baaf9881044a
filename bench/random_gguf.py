# SPDX-License-Identifier: Apache-2.0
"""A GGUF file of random weights N(0, 0.02), without a vocabulary, for timing llama.cpp.

    python3 bench/random_gguf.py llama-3.1-8b|llama-micro bf16|q8_0|q4_0 FILE

As llama-quantize does, q4_0 has the output matrix in Q6_K. All matrices are cut
from one pool of 16 Mi weights, each from another place in it.
"""

import random
import struct
import sys

import numpy as np

# hidden, inner, layers, heads, heads of keys and values, vocabulary
SHAPES = {"llama-3.1-8b": (4096, 14336, 32, 32, 8, 128256),
          "llama-micro": (512, 1536, 4, 4, 2, 32000)}
HEAD = 128
ALIGNMENT = 32
POOL = 1 << 24
U32, F32, STRING = 4, 6, 8  # types of values


def f32(x):
    return x.astype("<f4")


def bf16(x):
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def blocks_of(*parts):
    """Blocks whose bytes are these columns."""
    return np.concatenate([p.reshape(len(parts[0]), -1).view(np.uint8) for p in parts], axis=1)


def q8_0(x):
    x = x.reshape(-1, 32)
    scale = np.abs(x).max(1, keepdims=True) / 127
    return blocks_of(scale.astype("<f2"), np.rint(x / scale).astype(np.int8))


def q4_0(x):
    x = x.reshape(-1, 32)
    largest = np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)
    scale = largest / -8
    codes = np.clip(x / scale + 8.5, 0, 15).astype(np.uint8)
    return blocks_of(scale.astype("<f2"), codes[:, :16] | codes[:, 16:] << 4)


def q6_k(x):
    x = x.reshape(-1, 16, 16)
    scales = np.abs(x).max(2) / 31
    scale = scales.max(1, keepdims=True) / 127
    steps = np.rint(scales / scale).astype(np.int8)
    codes = np.clip(np.rint(x / (scale * steps)[:, :, None]), -32, 31).astype(np.int8) + 32
    codes = codes.astype(np.uint8).reshape(-1, 2, 4, 32)  # halves, quarters of these, 32 codes
    low = np.concatenate([codes[:, :, :2] & 15 | (codes[:, :, 2:] & 15) << 4], axis=2)
    high = (codes >> 4 << np.array([0, 2, 4, 6], np.uint8)[:, None]).sum(2, dtype=np.uint8)
    return blocks_of(low, high, steps, scale.astype("<f2"))


# GGML's number of a type, weights of a block, bytes of it, the function that makes blocks
TYPES = {"f32": (0, 1, 4, f32), "q4_0": (2, 32, 18, q4_0), "q8_0": (8, 32, 34, q8_0),
         "q6_k": (14, 256, 210, q6_k), "bf16": (30, 1, 2, bf16)}


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def value(key, kind, x):
    form = {U32: "<I", F32: "<f"}.get(kind)
    return string(key) + struct.pack("<I", kind) + (struct.pack(form, x) if form else string(x))


def metadata(name, shape):
    hidden, inner, n_layers, heads, kv_heads, vocabulary = shape
    return [value("general.architecture", STRING, "llama"),
            value("general.name", STRING, "random " + name),
            value("llama.block_count", U32, n_layers),
            value("llama.context_length", U32, 131072),
            value("llama.embedding_length", U32, hidden),
            value("llama.feed_forward_length", U32, inner),
            value("llama.attention.head_count", U32, heads),
            value("llama.attention.head_count_kv", U32, kv_heads),
            value("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
            value("llama.rope.dimension_count", U32, HEAD),
            value("llama.rope.freq_base", F32, 500000.0),
            value("llama.vocab_size", U32, vocabulary),
            value("tokenizer.ggml.model", STRING, "none")]


def tensors(shape, kind):
    """Name, dimensions with the inner one first, type."""
    hidden, inner, n_layers, heads, kv_heads, vocabulary = shape
    yield "token_embd", (hidden, vocabulary), kind
    yield "output_norm", (hidden,), "f32"
    yield "output", (hidden, vocabulary), "q6_k" if kind == "q4_0" else kind
    for i in range(n_layers):
        for name, dimensions in (("attn_q", (hidden, heads * HEAD)),
                                 ("attn_k", (hidden, kv_heads * HEAD)),
                                 ("attn_v", (hidden, kv_heads * HEAD)),
                                 ("attn_output", (heads * HEAD, hidden)),
                                 ("ffn_gate", (hidden, inner)), ("ffn_up", (hidden, inner)),
                                 ("ffn_down", (inner, hidden))):
            yield f"blk.{i}.{name}", dimensions, kind
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{i}.{name}", (hidden,), "f32"


def aligned(n):
    return -n % ALIGNMENT + n


def write_cut(file, pool, n_bytes, block):
    """That many bytes of the pool, from the start of any block and round its end."""
    at = random.randrange(len(pool) // block) * block
    while n_bytes > 0:
        n_bytes -= file.write(pool[at:at + n_bytes])
        at = 0


def write(name, kind, path):
    random.seed(0)
    weights = np.random.default_rng(0).normal(0, 0.02, POOL).astype(np.float32)
    shape, pools, infos, sizes, offset = SHAPES[name], {}, [], [], 0
    for tensor, dimensions, which in tensors(shape, kind):
        number, n, size, make = TYPES[which]
        if which not in pools:
            x = np.ones(1 << 14, np.float32) if which == "f32" else weights
            pools[which] = memoryview(make(x).tobytes())
        infos.append(string(tensor + ".weight") + struct.pack("<I", len(dimensions)) + b"".join(
            struct.pack("<Q", d) for d in dimensions) + struct.pack("<IQ", number, offset))
        sizes.append((which, int(np.prod(dimensions)) // n * size))
        offset += aligned(sizes[-1][1])
    values = metadata(name, shape)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(values)) + b"".join(values + infos)
    with open(path, "wb", buffering=0) as file:
        file.write(head.ljust(aligned(len(head)), b"\0"))
        for which, n_bytes in sizes:
            write_cut(file, pools[which], n_bytes, TYPES[which][2])
            file.write(bytes(aligned(n_bytes) - n_bytes))


if __name__ == "__main__":
    write(*sys.argv[1:])
