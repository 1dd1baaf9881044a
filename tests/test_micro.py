#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llq-micro's files agree with each other, its tasks are held out from its
training data, and that data knows nothing of HumanEval."""

import ast
import builtins
import gzip
import json
import os
import random
import re
import struct
import sys

import oracle

TOP = os.environ.get("top_srcdir", ".")
MICRO = os.path.join(TOP, "data", "llq-micro")
SEED = 20260
N_DOCUMENTS = int(os.environ.get("LLQ_TEST_DOCUMENTS", "6000"))

sys.path.insert(0, os.path.join(TOP, "tools", "llq-micro"))
from generator import document, split  # noqa: E402


def path(name):
    return os.path.join(MICRO, name)


def read_tasks(name):
    opener = gzip.open if name.endswith(".gz") else open
    with opener(name, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


class Rename(ast.NodeTransformer):
    """Gives the function's own names numbers in order of appearance."""

    def __init__(self):
        self.names = {}

    def visit_Name(self, node):
        if node.id not in vars(builtins):
            node.id = self.names.setdefault(node.id, f"v{len(self.names)}")
        return node

    def visit_arg(self, node):
        node.arg = self.names.setdefault(node.arg, f"v{len(self.names)}")
        node.annotation = None
        return node


def body_of(source, name):
    """The function's code but for its name, hints, docstring and names."""
    found = [n for n in ast.parse(source).body
             if isinstance(n, ast.FunctionDef) and n.name == name][0]
    found.name, found.returns = "f", None
    first = found.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        found.body = found.body[1:]
    return ast.dump(Rename().visit(found))


def sentences(prompt):
    """The sentences of a docstring, in lower case, of at least four words."""
    text = prompt.partition("def ")[2]
    text = re.sub(r">>>.*\n.*", "", text)
    parts = re.split(r"[.;\n]\s*\n|\.\s", re.sub(r"\n +", " ", text))
    plain = (re.sub(r"\W+", " ", p).strip().lower() for p in parts)
    return {p for p in plain if len(re.findall(r"[a-z]+", p)) > 3}


def drawn(count):
    """Documents of the training data's first shards, and their problems."""
    problems, texts = [], []
    original = document.training_problem

    def keep(rng):
        problems.append(original(rng))
        return problems[-1]

    document.training_problem = keep
    for shard in range(10):
        rng = random.Random(f"train-{SEED}-{shard}")
        texts += [document.plain(document.write(rng))
                  for _ in range(count // 10)]
    document.training_problem = original
    return problems, texts


def check_model(tap):
    with open(path("model.safetensors"), "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
    header.pop("__metadata__", None)
    size = os.path.getsize(path("model.safetensors"))
    tap.check(size <= 16 << 20 and size == 8 + length + max(
        t["data_offsets"][1] for t in header.values()),
        "the checkpoint is whole and at most 16 MiB", size)
    tap.check({t["dtype"] for t in header.values()} == {"BF16"},
              "all its tensors are bf16")
    with open(path("config.json")) as f:
        config = json.load(f)
    scaling = config["rope_scaling"]
    tap.check(scaling["rope_type"] == "llama3" and scaling["factor"] > 1 and
              scaling["original_max_position_embeddings"] <
              config["max_position_embeddings"] and
              config["num_key_value_heads"] < config["num_attention_heads"],
              "grouped-query attention and llama3 rope scaling are in use")
    with open(path("tokenizer.json"), encoding="utf-8") as f:
        tokenizer = json.load(f)
    ids = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    with open(path("generation_config.json")) as f:
        ends = json.load(f)["eos_token_id"]
    tap.check(len(tokenizer["model"]["vocab"]) + len(ids) ==
              config["vocab_size"] and ends == config["eos_token_id"] ==
              [ids["<|end_of_text|>"], ids["<|eot_id|>"]] and
              config["bos_token_id"] == ids["<|begin_of_text|>"],
              "tokenizer, config and generation config agree")


def check_tasks(tap, tasks):
    tap.check(len(tasks) == 164 and [t["task_id"] for t in tasks] == [
        f"llq-micro/{i}" for i in range(164)] and all(
            set(t) == {"task_id", "prompt", "entry_point",
                       "canonical_solution", "test"} and
            t["prompt"].endswith('"""\n') and t["test"].count("assert") >= 6
            for t in tasks), "there are 164 tasks in HumanEval's format")
    failed = []
    for t in tasks:
        space = {}
        try:
            exec(t["prompt"] + t["canonical_solution"] + t["test"], space)
            space["check"](space[t["entry_point"]])
        except Exception as error:
            failed.append(f"{t['task_id']}: {error!r}")
    tap.check(not failed, "every canonical solution passes its test",
              "\n".join(failed))


def check_held_out(tap, tasks, problems):
    shapes = set()
    with open(os.path.join(TOP, "tools", "llq-micro", "shapes.txt")) as f:
        shapes.update(f.read().splitlines())
    tap.check(len(shapes) == 164 and all(
        split.bucket(s, 2) == split.TASKS for s in shapes),
        "the shapes of the tasks are different and held out")
    seen = shapes & {p.shape for p in problems}
    tap.check(not seen, "no task's shape is drawn for training", seen)
    prompts = {t["prompt"] for t in tasks}
    again = [p.prompt for p in problems if p.prompt in prompts]
    tap.check(not again, "no task's prompt is drawn for training",
              "\n".join(again))


def check_humaneval(tap, problems, texts):
    theirs = read_tasks(oracle.data("HumanEval.jsonl.gz"))
    names = {t["entry_point"] for t in theirs}
    found = {p.entry_point for p in problems} & names
    called = {n for text in texts for n in re.findall(r"\bdef (\w+)", text)}
    tap.check(not found and not called & names,
              "no function has a name of HumanEval's", found)
    known = set().union(*(sentences(t["prompt"]) for t in theirs))
    found = known & set().union(*(sentences(p.prompt) for p in problems))
    tap.check(len(known) > 300 and not found,
              "no sentence of HumanEval's prompts occurs", found)
    bodies = {body_of(t["prompt"] + t["canonical_solution"],
                      t["entry_point"]) for t in theirs}
    found = [p.prompt + p.solution for p in problems
             if body_of(p.prompt + p.solution, p.entry_point) in bodies]
    tap.check(not found, "no function is a solution of HumanEval's, whatever "
              "its names", "\n".join(found[:3]))


def main():
    tap = oracle.Tap()
    tasks = read_tasks(path("tasks.jsonl"))
    check_model(tap)
    check_tasks(tap, tasks)
    problems, texts = drawn(N_DOCUMENTS)
    tap.note(f"{len(problems)} training problems drawn")
    check_held_out(tap, tasks, problems)
    if os.path.exists(os.path.join(os.environ.get("LLQ_TEST_DATA", "."),
                                   "HumanEval.jsonl.gz")):
        check_humaneval(tap, problems, texts)
    else:
        tap.note("HumanEval.jsonl.gz is not here")
        tap.check(True, "training knows nothing of HumanEval # SKIP no data")
    tap.done()


if __name__ == "__main__":
    main()
