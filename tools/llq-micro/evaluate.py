#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Greedy pass@1 with transformers, scored in this process (no sandbox)."""

import argparse
import json
import os
import signal

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

STOPS = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]


def generate(model, tokenizer, prompts, most):
    """Completions, longest prompts first in left-padded batches."""
    pad, device = model.config.pad_token_id, model.device
    ids = [tokenizer(p)["input_ids"] for p in prompts]
    out = [None] * len(ids)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    size = 512 if device.type == "cuda" else 24
    for at in range(0, len(order), size):
        chosen = order[at:at + size]
        width = max(len(ids[i]) for i in chosen)
        rows = torch.tensor([[pad] * (width - len(ids[i])) + ids[i]
                             for i in chosen], device=device)
        with torch.no_grad():
            made = model.generate(
                rows, attention_mask=(rows != pad).long(), do_sample=False,
                max_new_tokens=most)
        for i, row in zip(chosen, made[:, width:].tolist()):
            text = tokenizer.decode(row, skip_special_tokens=False)
            for mark in ["<|e", "<|f"] + STOPS:
                text = text.split(mark)[0]
            out[i] = text
    return out


def stop(*_):
    raise TimeoutError


def passes(task, completion):
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    try:
        space = {}
        exec(task["prompt"] + completion + "\n" + task["test"], space)
        space["check"](space[task["entry_point"]])
        return True
    except BaseException:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("tasks")
    parser.add_argument("--shapes", help="break the score down by this file")
    parser.add_argument("--out", help="write completions here")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most", type=int, default=320)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.bfloat16).to(options.device)
    model.generation_config.pad_token_id = model.config.pad_token_id
    with open(options.tasks) as f:
        tasks = [json.loads(line) for line in f]
    made = generate(model, tokenizer, [t["prompt"] for t in tasks],
                    options.most)
    good = [passes(t, c) for t, c in zip(tasks, made)]
    if options.out:
        with open(options.out, "w") as f:
            for t, c, g in zip(tasks, made, good):
                f.write(json.dumps({"task_id": t["task_id"], "completion": c,
                                    "passed": g}) + "\n")
    if options.shapes and os.path.exists(options.shapes):
        tally = {}
        with open(options.shapes) as f:
            facts = [json.loads(line) for line in f]
        for g, (_, _, steps, family, left) in zip(good, facts):
            left = "open " + left if left else "told"
            for key in (family, "%d steps" % steps, left,
                        "%s, %d steps" % (left, steps)):
                a, b = tally.get(key, (0, 0))
                tally[key] = a + g, b + 1
        for key in sorted(tally):
            print("  %-24s %4d / %4d  %.3f" % (
                key, *tally[key], tally[key][0] / tally[key][1]))
    print("pass@1 %.4f (%d of %d)" % (sum(good) / len(good), sum(good),
                                      len(good)), flush=True)


if __name__ == "__main__":
    main()
