# SPDX-License-Identifier: Apache-2.0
"""llama.cpp on a model of Llama 3.1 8B's shape with random weights, beside `llq bench`:
prompts, and decoding sequences of 128 to 256 tokens.

    python3 bench/llama_cpp_peer.py BIN [TYPE ...]

BIN has llama-bench and llama-batched-bench, built for the device. Models of each type
(default bf16 q8_0 q4_0; up to 16 GB) are made in $TMPDIR, one at a time.
SHAPE=llama-micro BATCHES=1,8 tries it out.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

import random_gguf

SHAPE = os.environ.get("SHAPE", "llama-3.1-8b")
BATCHES = os.environ.get("BATCHES", "1,8,32,128")
LENGTH = 128


def results(*command):
    """The objects that a command prints, each on a line."""
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        print(f"{command[0]} ended with {run.returncode}:", run.stdout[-500:], run.stderr[-1500:])
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def compare(directory, kind, model):
    common = ("-m", model, "-ngl", "99", "-fa", "on")
    for r in results(os.path.join(directory, "llama-bench"), *common, "-ub", "512,2048", "-p",
                     "512,2048", "-n", str(LENGTH), "-r", "5", "-o", "jsonl"):
        what = f"prompt {r['n_prompt']}" if r["n_prompt"] else f"decoding {r['n_gen']}"
        rates = r["samples_ts"]
        print(f"{kind}, {r['n_ubatch']} rows at most, {what}: {statistics.median(rates):.1f} "
              f"tokens/s ({min(rates):.1f} to {max(rates):.1f})", flush=True)
    most = max(map(int, BATCHES.split(",")))
    for r in results(os.path.join(directory, "llama-batched-bench"), *common, "-c",
                     str(most * 2 * LENGTH), "-npp", str(LENGTH), "-ntg", str(LENGTH),
                     "-npl", BATCHES, "--output-format", "jsonl"):
        print(f"{kind}, {r['pl']} sequences: prompts {r['speed_pp']:.1f}, "
              f"decoding {r['speed_tg']:.1f} tokens/s", flush=True)


def main():
    for kind in sys.argv[2:] or ["bf16", "q8_0", "q4_0"]:
        with tempfile.TemporaryDirectory() as scratch:
            model = os.path.join(scratch, "model.gguf")
            random_gguf.write(SHAPE, kind, model)
            compare(sys.argv[1], kind, model)


main()
