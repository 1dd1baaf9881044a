# SPDX-License-Identifier: Apache-2.0
"""Logits of random models against transformers, in float32."""

import ctypes
import os
import tempfile

import oracle

numpy = oracle.need("numpy")
torch = oracle.need("torch")
transformers = oracle.need("transformers")
llq = oracle.library()
tap = oracle.Tap()
torch.set_num_threads(2)
transformers.utils.logging.disable_progress_bar()

TOLERANCE = 1e-4  # of the largest logit
N_VOCAB = 503
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

# name, query heads, KV heads, head size, other arguments of LlamaConfig,
# type of the weights, tokens, bytes a shard
CASES = [
    ("one query head a KV head", 4, 4, 32, {}, "float32", 40, "5GB"),
    ("two, heads of 64, tied", 4, 2, 64, {"tie_word_embeddings": True}, "bfloat16", 40, "5GB"),
    ("four, heads of 128, float16", 8, 2, 128, {}, "float16", 33, "5GB"),
    ("eight, several shards", 8, 1, 64, {}, "float32", 40, "300KB"),
    ("llama3 rope past its context", 4, 1, 64,
     {"rope_scaling": LLAMA3, "rope_theta": 500000.0}, "bfloat16", 200, "5GB"),
    ("llama3 rope, tied, shards, heads of 32", 8, 4, 32,
     {"rope_scaling": LLAMA3, "rope_theta": 500000.0, "tie_word_embeddings": True},
     "bfloat16", 130, "200KB"),
    ("odd sizes", 6, 2, 32, {"intermediate_size": 200, "hidden_size": 72}, "float32", 21, "5GB"),
]


def random_model(case, folder):
    name, n_heads, n_kv_heads, head_size, more, dtype, _, shard = case
    arguments = {"hidden_size": 192, "intermediate_size": 352, "num_hidden_layers": 3,
                 "vocab_size": N_VOCAB, "max_position_embeddings": 1024, "rms_norm_eps": 1e-5,
                 "tie_word_embeddings": False, "num_attention_heads": n_heads,
                 "num_key_value_heads": n_kv_heads, "head_dim": head_size,
                 "bos_token_id": 1, "eos_token_id": 2, **more}
    torch.manual_seed(len(name))
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**arguments))
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.normal_(1.0 if "norm" in key else 0.0, 0.1)
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    return len([f for f in os.listdir(folder) if f.endswith(".safetensors")])


def theirs(folder, ids):
    model = transformers.LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def ours(folder, ids, arch=None):
    class BackendOptions(ctypes.Structure):
        _fields_ = [("struct_size", ctypes.c_size_t), ("arch", ctypes.c_char_p),
                    ("n_threads", ctypes.c_int32), ("reserved", ctypes.c_int32)]

    options = BackendOptions(ctypes.sizeof(BackendOptions), arch, 2, 0)
    backend, model, generator = (ctypes.c_void_p() for _ in range(3))
    oracle.call(llq, "llq_backend_open", ctypes.byref(backend), b"cpu", ctypes.byref(options))
    oracle.call(llq, "llq_model_open", ctypes.byref(model), folder.encode(), None)
    oracle.call(llq, "llq_generator_open", ctypes.byref(generator), backend, model, None)
    logits = numpy.empty((len(ids), N_VOCAB), numpy.float32)
    oracle.call(llq, "llq_generator_logits", generator,
                (ctypes.c_int32 * len(ids))(*ids), ctypes.c_size_t(len(ids)),
                logits.ctypes.data_as(ctypes.c_void_p))
    llq.llq_generator_close(generator)
    llq.llq_model_close(model)
    llq.llq_backend_close(backend)
    return logits


def difference(expected, found):
    return abs(expected - found).max() / abs(expected).max()


def check(case):
    name, dtype, n_tokens, shard = case[0], *case[5:]
    with tempfile.TemporaryDirectory() as folder:
        n_files = random_model(case, folder)
        ids = numpy.random.default_rng(1).integers(3, N_VOCAB, n_tokens).tolist()
        expected = theirs(folder, ids)
        for arch in ("reference", None):
            found = difference(expected, ours(folder, ids, arch and arch.encode()))
            tap.check(found <= TOLERANCE,
                      f"{name}, {dtype}, {n_tokens} tokens, {arch or 'best'} kernels: "
                      f"logits are transformers' to {TOLERANCE:g}", found)
            tap.note(f"difference {found:.2g} of the largest logit")
        tap.check((n_files > 1) == (shard != "5GB"), f"{name}: {n_files} files, as meant")


for one in CASES:
    check(one)
tap.done()
