#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Load times and encoding rates of libllq, tokenizers and tiktoken on one
thread, with Llama 3's vocabulary on HumanEval's texts, in CPU time, so that
other work on the machine does not count. The packages take turns; shown are
medians over the rounds, and ratios of libllq to each.

usage: LLQ_TEST_DATA=DIR top_builddir=BUILD bench/tokenizer.py [rounds]
"""

import ctypes
import gzip
import json
import os
import statistics
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "support"))

import tiktoken
import tokenizers

import oracle
import tokenizer_files


class Libllq:
    def __init__(self, llq, path):
        self.llq = llq
        self.handle = ctypes.c_void_p()
        oracle.call(llq, "llq_tokenizer_open", ctypes.byref(self.handle), os.fsencode(path))

    def close(self):
        self.llq.llq_tokenizer_close(self.handle)

    def encode(self, texts):
        total = 0
        n = ctypes.c_size_t()
        for text in texts:
            room = len(text) + 1
            ids = (ctypes.c_int32 * room)()
            oracle.call(self.llq, "llq_tokenizer_encode", self.handle, text,
                        ctypes.c_size_t(len(text)), 0, ids, ctypes.c_size_t(room), ctypes.byref(n))
            total += n.value
        return total


def took(work):
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def medians(contenders, rounds):
    """Runs each in turn; gives a median time for each, and checks that they
    agree."""
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        results = set()
        for name, work in contenders.items():
            seconds, result = took(work)
            times[name].append(seconds)
            results.add(result)
        assert len(results) == 1, results
    return {name: statistics.median(all) for name, all in times.items()}


def show(what, times, n_bytes=None):
    ours = times["libllq"]
    for name, seconds in times.items():
        figure = f"{n_bytes / seconds / 1e6:7.2f} MB/s" if n_bytes else f"{seconds:7.3f} s"
        ratio = "" if name == "libllq" else f"   libllq is {seconds / ours:5.1f} times as fast"
        print(f"{what:34} {name:10} {figure}{ratio}", flush=True)


def texts_of(path):
    with gzip.open(path) as lines:
        problems = [json.loads(line) for line in lines]
    return [p["prompt"] + p["canonical_solution"] + p["test"] for p in problems]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    llq = oracle.library()
    ranks = oracle.data("llama3-tokenizer.model")
    tik = tokenizer_files.tiktoken_encoding(tiktoken, ranks)
    texts = texts_of(oracle.data("HumanEval.jsonl.gz"))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        tokenizer_files.write_json(tik, tokenizer_files.merges_of(tik), path)

        def load(file):
            Libllq(llq, file).close()

        show("load tokenizer.json (17 MB)",
             medians({"libllq": lambda: load(path),
                      "tokenizers": lambda: tokenizers.Tokenizer.from_file(path) and None}, rounds))
        show("load tokenizer.model (2 MB)",
             medians({"libllq": lambda: load(ranks),
                      "tiktoken": lambda: tokenizer_files.tiktoken_encoding(tiktoken, ranks) and None},
                     rounds))
        ours, theirs = Libllq(llq, path), tokenizers.Tokenizer.from_file(path)
    for what, some in (("164 HumanEval texts", texts), ("the same as one text", ["".join(texts)])):
        as_bytes = [text.encode() for text in some]
        show(f"encode {what}",
             medians({"libllq": lambda: ours.encode(as_bytes),
                      "tokenizers": lambda: sum(len(e.ids) for e in theirs.encode_batch_fast(
                          some, add_special_tokens=False)),
                      "tiktoken": lambda: sum(len(tik.encode_ordinary(t)) for t in some)}, rounds),
             sum(map(len, as_bytes)))


main()
