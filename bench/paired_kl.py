# SPDX-License-Identifier: Apache-2.0
"""Whether quantized models differ in KL divergence from the original: token by
token on the same text, against the first of them, with standard errors over
tokens and over windows, whose tokens depend on each other.

    LLQ_COMMAND=build/llq LLQ_DATA=data python3 bench/paired_kl.py A B ...
"""

import argparse
import json
import os
import subprocess
import tempfile

import numpy

LLQ = os.environ.get("LLQ_COMMAND", "llq")
DATA = os.environ.get("LLQ_DATA", "data")


def llq(*arguments, **more):
    return subprocess.run([LLQ, *map(str, arguments)], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, **more).stdout


def log_probabilities(model, ids, threads):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "logits.npy")
        llq("logits", model, "--tokens", json.dumps(ids), "-o", path, "--threads", threads)
        x = numpy.load(path).astype(numpy.float64)
    x -= x.max(1, keepdims=True)
    return x - numpy.log(numpy.exp(x).sum(1, keepdims=True))


def describe(name, values):
    """A mean of [windows, tokens] and its two errors, in nats / 1000 tokens."""
    windows = values.mean(1)
    by_token = values.std(ddof=1) / values.size ** 0.5
    by_window = windows.std(ddof=1) / len(windows) ** 0.5
    return (f"{name}{1000 * values.mean():.2f} +- {1000 * by_token:.2f} (tokens), "
            f"+- {1000 * by_window:.2f} (windows)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--base", default="llq-micro")
    parser.add_argument("--text", default=os.path.join(DATA, "llq-micro", "heldout.txt"))
    parser.add_argument("--window", type=int, default=1024, metavar="TOKENS")
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    options = parser.parse_args()
    with open(options.text, encoding="utf-8") as file:
        ids = json.loads(llq("tokenize", options.base, "--bos", input=file.read()))
    n = options.window
    windows = [ids[at:at + n] for at in range(0, len(ids) - n + 1, n)]
    found = {model: [] for model in options.models}
    for window in windows:
        base = log_probabilities(options.base, window, options.threads)
        for model in options.models:
            ours = log_probabilities(model, window, options.threads)
            found[model].append((numpy.exp(base) * (base - ours)).sum(1)[:-1])
    kl = {model: numpy.array(rows) for model, rows in found.items()}
    print(f"{len(windows)} windows of {n} tokens; nats / 1000 tokens")
    first = options.models[0]
    for model in options.models:
        print(describe(f"{model}: KL ", kl[model]))
        if model != first:
            print(describe(f"  less {first}'s: ", kl[model] - kl[first]))


main()
