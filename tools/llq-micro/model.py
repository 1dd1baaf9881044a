# SPDX-License-Identifier: Apache-2.0
"""The Llama 3.1 architecture, in plain PyTorch for training.

Parameter names are Hugging Face's, so that the state dict is the checkpoint.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 2032,
    "eos_token_id": [2033, 2041],
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 768,
    "max_position_embeddings": 2048,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 8,
    "num_hidden_layers": 10,
    "num_key_value_heads": 2,
    "pad_token_id": 2036,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 4.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 512,
        "rope_type": "llama3",
    },
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 2048,
}


def frequencies(config):
    """Rotary frequencies with Llama 3.1's scaling."""
    s, d = config["rope_scaling"], config["head_dim"]
    plain = 1.0 / config["rope_theta"] ** (torch.arange(0, d, 2).double() / d)
    length = 2 * math.pi / plain
    old = s["original_max_position_embeddings"]
    low, high = s["low_freq_factor"], s["high_freq_factor"]
    smooth = ((old / length - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * plain / s["factor"] + smooth * plain


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Norm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config["hidden_size"]))
        self.eps = config["rms_norm_eps"]

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return (y * self.weight).to(torch.bfloat16)


def linear(n_in, n_out):
    return nn.Linear(n_in, n_out, bias=False)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dim = c["head_dim"]
        width = c["num_attention_heads"] * self.dim
        narrow = c["num_key_value_heads"] * self.dim
        self.share = c["num_attention_heads"] // c["num_key_value_heads"]
        self.q_proj = linear(c["hidden_size"], width)
        self.k_proj = linear(c["hidden_size"], narrow)
        self.v_proj = linear(c["hidden_size"], narrow)
        self.o_proj = linear(width, c["hidden_size"])

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q, k, v = (p(x).view(b, t, -1, self.dim).transpose(1, 2)
                   for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k = k.repeat_interleave(self.share, 1)
        v = v.repeat_interleave(self.share, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = linear(c["hidden_size"], c["intermediate_size"])
        self.up_proj = linear(c["hidden_size"], c["intermediate_size"])
        self.down_proj = linear(c["intermediate_size"], c["hidden_size"])

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = Norm(c)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = Norm(c)
        self.mlp = MLP(c)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(
            Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c)


class Llama(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.model = Body(config)
        angle = torch.outer(torch.arange(
            config["max_position_embeddings"]).double(), frequencies(config))
        self.register_buffer("cos", angle.cos().bfloat16(), persistent=False)
        self.register_buffer("sin", angle.sin().bfloat16(), persistent=False)
        deep = (2 * config["num_hidden_layers"]) ** -0.5
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 * (deep if "o_proj" in name or
                                               "down" in name else 1))

    def forward(self, ids, targets, weights):
        """The weighted mean cross-entropy, and the one of weight-1 tokens."""
        t = ids.shape[1]
        x = self.model.embed_tokens(ids).to(torch.bfloat16)
        for layer in self.model.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        logits = F.linear(self.model.norm(x), self.model.embed_tokens.weight)
        loss = F.cross_entropy(logits.float().flatten(0, 1),
                               targets.flatten(), reduction="none")
        weights = weights.flatten()
        answers = (weights >= 1).float()
        return ((loss * weights).sum() / weights.sum(),
                (loss * answers).sum() / answers.sum().clamp(min=1))
