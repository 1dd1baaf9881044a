#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Greedy tokens, their margins and sampled tokens, against transformers."""

import ctypes
import json
import os
import tempfile

import oracle

torch = oracle.need("torch")
transformers = oracle.need("transformers")
stats = oracle.need("scipy.stats")

torch.set_num_threads(2)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

N_PROMPTS = 5
N_TOKENS = 64
N_DRAWS = 8000
# Where the two largest logits are closer than this, rounding decides.
ROUNDING = 1e-4


class Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("compute", ctypes.c_char_p),
        ("n_sequences", ctypes.c_int32),
        ("n_context", ctypes.c_int32),
        ("n_chunk", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    ]


class Sampling(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ctypes.c_double),
        ("top_p", ctypes.c_double),
        ("min_p", ctypes.c_double),
        ("top_k", ctypes.c_int32),
        ("n_tokens_max", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("stream", ctypes.c_uint64),
        ("stops", ctypes.c_void_p),
        ("n_stops", ctypes.c_size_t),
        ("end_ids", ctypes.c_void_p),
        ("n_end_ids", ctypes.c_size_t),
    ]


class Generation(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("ids", ctypes.POINTER(ctypes.c_int32)),
        ("n_ids", ctypes.c_size_t),
        ("text", ctypes.c_char_p),
        ("n_bytes", ctypes.c_size_t),
        ("stop_reason", ctypes.c_int32),
        ("margin_at", ctypes.c_int32),
        ("min_margin", ctypes.c_double),
    ]


class Generator:
    """A model in libllq, on the CPU in float32."""

    def __init__(self, llq, source):
        self.llq = llq
        self.handles = [ctypes.c_void_p() for _ in range(3)]
        backend, model, self.generator = self.handles
        self.call("llq_backend_open", ctypes.byref(backend), b"cpu", None)
        self.call("llq_model_open", ctypes.byref(model), source.encode(), None)
        options = Options(ctypes.sizeof(Options), b"f32", 5, 0, 40)
        self.call(
            "llq_generator_open",
            ctypes.byref(self.generator),
            backend,
            model,
            ctypes.byref(options),
        )

    def call(self, name, *arguments):
        return oracle.call(self.llq, name, *arguments)

    def submit(self, ids, n_samples=1, **sampling):
        """Submits a prompt; the number of its first sequence."""
        first = ctypes.c_int64()
        given = Sampling(struct_size=ctypes.sizeof(Sampling), **sampling)
        self.call(
            "llq_generator_submit",
            self.generator,
            (ctypes.c_int32 * len(ids))(*ids),
            ctypes.c_size_t(len(ids)),
            ctypes.byref(given),
            n_samples,
            ctypes.byref(first),
        )
        return first.value

    def run(self):
        self.call("llq_generator_run", self.generator)

    def get(self, number):
        """Ids, text, smallest margin and where it was."""
        out = Generation(struct_size=ctypes.sizeof(Generation))
        self.call(
            "llq_generator_get", self.generator, ctypes.c_int64(number), ctypes.byref(out)
        )
        return out.ids[: out.n_ids], out.text.decode(), out.min_margin, out.margin_at

    def close(self):
        backend, model, generator = self.handles
        self.llq.llq_generator_close(generator)
        self.llq.llq_model_close(model)
        self.llq.llq_backend_close(backend)


def greedy(model, ids):
    """transformers' greedy tokens, and the margin at each."""
    with torch.no_grad():
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=N_TOKENS,
            return_dict_in_generate=True,
            output_logits=True,
        )
    top = [logits[0].topk(2).values for logits in out.logits]
    return out.sequences[0, len(ids) :].tolist(), [float(two[0] - two[1]) for two in top]


def same_tokens(found, expected, margins):
    """Are these the same tokens, up to where rounding decides?"""
    for i, (a, b) in enumerate(zip(found, expected)):
        if a != b:
            return margins[i] < ROUNDING
    return len(found) == len(expected)


def check_greedy(tap, name, model, generator, prompts, tokenizer=None):
    numbers = [generator.submit(ids, n_tokens_max=N_TOKENS) for ids in prompts]
    generator.run()
    for i, (ids, number) in enumerate(zip(prompts, numbers)):
        found, text, margin, at = generator.get(number)
        expected, margins = greedy(model, ids)
        what = f"{name}, prompt {i}: {len(expected)} greedy tokens are transformers'"
        tap.check(same_tokens(found, expected, margins), what, f"{found}\n{expected}")
        if found != expected:
            tap.note("the two largest logits are within rounding there")
            continue
        tap.check(
            abs(min(margins) - margin) < 1e-3 and margins[at] < min(margins) + 1e-3,
            f"{name}, prompt {i}: the smallest margin is {margin:.4f}, at {at}",
            min(margins),
        )
        if tokenizer is not None:
            whole = tokenizer.decode(expected, skip_special_tokens=True)
            tap.check(text == whole, f"{name}, prompt {i}: the text is the tokenizer's", text)


def distribution(model, ids, sampling):
    """The distribution of the next token after transformers' own filters."""
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits[:, -1].double()
    steps = []
    if "temperature" in sampling:
        steps.append(transformers.TemperatureLogitsWarper(sampling["temperature"]))
    if "top_k" in sampling:
        steps.append(transformers.TopKLogitsWarper(sampling["top_k"]))
    if "top_p" in sampling:
        steps.append(transformers.TopPLogitsWarper(sampling["top_p"]))
    if "min_p" in sampling:
        steps.append(transformers.MinPLogitsWarper(sampling["min_p"]))
    for step in steps:
        scores = step(None, scores)
    return scores.softmax(-1)[0].numpy()


def chi_square_p(counts, probabilities):
    """The p-value of counts; rare tokens are taken together."""
    expected = probabilities * counts.sum()
    common = expected >= 10
    observed = list(counts[common]) + [counts[~common].sum()]
    wanted = list(expected[common]) + [expected[~common].sum()]
    if wanted[-1] < 1:
        observed, wanted = observed[:-1], [w * sum(observed[:-1]) / sum(wanted[:-1]) for w in wanted[:-1]]
    return stats.chisquare(observed, wanted).pvalue if len(wanted) > 1 else 1.0


def check_sampling(tap, model, generator, ids):
    import numpy

    for seed, sampling in enumerate(
        [
            {"temperature": 1.0},
            {"temperature": 0.2, "top_p": 0.95},
            {"temperature": 2.0, "top_k": 20},
            {"temperature": 2.0, "top_p": 0.8},
            {"temperature": 1.5, "min_p": 0.05},
            {"temperature": 2.5, "top_k": 50, "top_p": 0.9, "min_p": 0.02},
        ]
    ):
        first = generator.submit(ids, N_DRAWS, n_tokens_max=1, seed=seed, **sampling)
        generator.run()
        drawn = [generator.get(first + i)[0][0] for i in range(N_DRAWS)]
        probabilities = distribution(model, ids, sampling)
        counts = numpy.bincount(drawn, minlength=len(probabilities))
        strays = int(counts[probabilities == 0].sum())
        p = chi_square_p(counts, probabilities)
        tap.check(
            strays == 0 and p > 1e-3,
            f"{sampling}: {N_DRAWS} draws are from transformers' distribution (p = {p:.3f})",
            f"{strays} tokens that transformers drops",
        )


def random_model(folder):
    """A small Llama with every size different, and large random weights."""
    torch.manual_seed(5)
    config = transformers.LlamaConfig(
        hidden_size=96,
        intermediate_size=200,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        vocab_size=500,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=[2, 77],
        pad_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(folder, safe_serialization=True)
    return model


def micro_prompts(folder, tokenizer):
    with open(os.path.join(folder, "tasks.jsonl")) as file:
        texts = [json.loads(line)["prompt"] for line in file][: 12 * N_PROMPTS : 12]
    bos = tokenizer.bos_token_id
    return [[bos] + tokenizer.encode(text, add_special_tokens=False) for text in texts]


def main():
    llq = oracle.library()
    tap = oracle.Tap()
    for name in ("generator", "model", "backend"):
        close = getattr(llq, f"llq_{name}_close")
        close.argtypes, close.restype = [ctypes.c_void_p], None
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(folder)
        generator = Generator(llq, folder)
        generate = torch.Generator().manual_seed(9)
        prompts = [
            torch.randint(3, 500, (n,), generator=generate).tolist()
            for n in (1, 17, 64, 65, 129)
        ]
        check_greedy(tap, "a random model", model, generator, prompts)
        check_sampling(tap, model, generator, prompts[2])
        generator.close()
    folder = os.path.join(os.environ["LLQ_DATA"], "llq-micro")
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=os.path.join(folder, "tokenizer.json"), bos_token="<|begin_of_text|>"
    )
    tokenizer.clean_up_tokenization_spaces = False
    generator = Generator(llq, folder)
    prompts = micro_prompts(folder, tokenizer)
    check_greedy(tap, "llq-micro", model, generator, prompts, tokenizer)
    generator.close()
    tap.done()


main()
