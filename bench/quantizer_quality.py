# SPDX-License-Identifier: Apache-2.0
"""What each scheme and method loses on a model, by the command `llq`: the
outputs of linears on a text that calibration has not seen, KL divergence and
top-1 agreement against the original, perplexity, and pass@1 with paired
statistics. Prints tables in Markdown; what is in DIR already is not made again.

    LLQ_COMMAND=build/llq LLQ_DATA=data python3 bench/quantizer_quality.py DIR
"""

import argparse
import json
import os
import subprocess
import sys

LLQ = os.environ.get("LLQ_COMMAND", "llq")
DATA = os.environ.get("LLQ_DATA", "data")
TYPES = ["q", "k", "v", "o", "gate", "up", "down"]
INT4 = ["--scheme", "w4a16-int"]
CHANNEL = INT4 + ["--group-size", "-1"]

# Whose programs are not looked at.
UNEVALUATED = ("none", "group", "mse")

# A name, what `llq quantize` is told, and the line that it is compared with.
VARIANTS = [(name, [*scheme, "--method", *method.split()], base)
            for base, scheme, methods in [
                ("int4 g128 rtn", INT4, [
                    "rtn", "rtn --observer mse", "gptq --order none", "gptq --order group",
                    "gptq", "gptq --observer mse", "awq", "awq+gptq"]),
                ("int4 channel rtn", CHANNEL, [
                    "rtn", "gptq", "gptq --observer mse", "awq", "awq+gptq"]),
                ("w8a8-int rtn", ["--scheme", "w8a8-int"], [
                    "rtn", "gptq", "smoothquant --smoothing 0.5",
                    "smoothquant+gptq --smoothing 0.5"]),
                ("w8a8-fp rtn", ["--scheme", "w8a8-fp"], ["rtn", "gptq"]),
                ("w8a16-int rtn", ["--scheme", "w8a16-int"], ["rtn", "gptq"])]
            for method in methods
            for name in [base[:-3] + method.replace("--order ", "").replace("--observer ", "")
                         .replace("--smoothing ", "")]]

# The KV cache in 8 bits, by itself and with quantized weights.
CACHES = [(f"{name}kv {cache}", [*arguments, "--kv-cache", cache])
          for name, arguments in [("", ["--scheme", "bf16"]),
                                  ("int4 g128 gptq, ", [*INT4, "--method", "gptq"])]
          for cache in ("fp8", "int8")]


def llq(*arguments):
    run = subprocess.run([LLQ, *map(str, arguments), "--json"], stdout=subprocess.PIPE,
                         text=True)
    if run.returncode != 0:
        sys.exit(f"llq {' '.join(map(str, arguments))}: exit status {run.returncode}")
    return json.loads(run.stdout)


def kept(path, make):
    """What a file holds, or what `make` gives it to hold."""
    if not os.path.exists(path):
        found = make()
        with open(path + ".part", "w") as file:
            json.dump(found, file, indent=1)
        os.rename(path + ".part", path)
    return json.load(open(path))


class Bench:
    def __init__(self, options):
        self.options = options
        self.held_out = os.path.join(options.directory, "held-out.txt")
        os.makedirs(options.directory, exist_ok=True)
        text = open(options.held_out, encoding="utf-8").read()
        with open(self.held_out, "w", encoding="utf-8") as file:
            file.write(text[:options.characters])
        self.few = os.path.join(options.directory, "few.txt")  # of which 512 tokens count
        with open(self.few, "w", encoding="utf-8") as file:
            file.write(text[:6000])

    def path(self, name, what):
        return os.path.join(self.options.directory, name.replace(" ", "_").replace("+", "-") + what)

    def quantize(self, name, arguments):
        return llq("quantize", self.options.model, self.path(name, ""), *arguments,
                   "--calibration", self.options.calibration,
                   "--samples", self.options.calibration_samples, "--length", 512,
                   "--measure-on", self.few, "--threads", self.options.threads)

    def measure(self, name, arguments):
        """The linears, and how the model predicts the text."""
        linears = kept(self.path(name, ".linears.json"),
                       lambda: self.quantize(name, arguments))["linears"]
        text = kept(self.path(name, ".text.json"), lambda: llq(
            "perplexity", self.path(name, ""), "--text", self.held_out,
            "--against", self.options.model, "--threads", self.options.threads))
        return linears, text

    def evaluate(self, name, model):
        directory = self.path(name, ".eval")
        return kept(self.path(name, ".eval.json"), lambda: llq(
            "eval", model, "--task", self.options.task, "--samples", self.options.samples,
            "--temperature", 0.2, "--top-p", 0.95, "-o", directory,
            "--backend", self.options.backend, "--sandbox", self.options.sandbox,
            "--threads", self.options.threads))

    def compare(self, a, b):
        return kept(self.path(b, f".against-{a.replace(' ', '_')}.json"), lambda: llq(
            "compare", self.path(a, ".eval"), self.path(b, ".eval")))


def by_type(linears):
    """Of each type, the mean over layers of error / power."""
    sums = {}
    for linear in linears:
        kind = linear["name"].split(".")[-1].split("_")[0]
        sums.setdefault(kind, []).append(linear["error"] / linear["power"])
    return [sum(sums[kind]) / len(sums[kind]) for kind in TYPES]


def row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def head(*names):
    row(names)
    row(["---"] + ["---:"] * (len(names) - 1))


def tables(bench, variants):
    print("\nLost of the outputs of linears on the held-out text, "
          "mean square over that of the outputs, in 1/1000:\n")
    head("", *TYPES)
    measured = {}
    for name, arguments, _ in variants:
        measured[name] = bench.measure(name, arguments)
        row([name] + [f"{1000 * x:.3f}" for x in by_type(measured[name][0])])
    texts({name: measured[name][1] for name, _, _ in variants})
    return measured


def texts(found):
    print("\nThe held-out text:\n")
    head("", "perplexity", "KL, nats / 1000 tokens", "same top-1, %")
    for name, text in found.items():
        row([name, f"{text['perplexity']:.4f}",
             f"{1000 * text['kl']:.3f} +- {1000 * text['kl_error']:.3f}",
             f"{100 * text['top1_agreement']:.2f}"])


def check(variants, measured):
    """GPTQ and AWQ must lose less than rounding, by type and overall. 8-bit
    activations are rounded by any method: their linears are told, not held."""
    wrong = []
    for name, arguments, base in variants:
        if name == base or base not in measured or not ("gptq" in name or "awq" in name):
            continue
        ours, theirs = (by_type(measured[n][0]) for n in (name, base))
        more = [kind for kind, a, b in zip(TYPES, ours, theirs) if a >= b]
        kl = [measured[n][1]["kl"] for n in (name, base)]
        if more:
            wrong.append(f"{name}: linears {' '.join(more)} lose no less than {base}")
        if kl[0] >= kl[1]:
            wrong.append(f"{name}: KL {kl[0]:.6f}, {base} {kl[1]:.6f}")
    print("\n" + "\n".join(wrong or ["GPTQ and AWQ lose less than RTN of every type, and in KL."]))


def programs(bench, variants):
    print(f"\nPrograms, {bench.options.samples} samples a task, paired by task:\n")
    head("", "pass@1, %", "against bf16, points", "p", "against RTN, points", "p")
    metrics = bench.evaluate("bf16", bench.options.model)["metrics"]
    row(["bf16", f"{100 * metrics['pass@1']:.2f}", "", "", "", ""])
    for name, _, base in variants:
        if name.endswith(UNEVALUATED):
            continue
        metrics = bench.evaluate(name, bench.path(name, ""))["metrics"]
        cells = [name, f"{100 * metrics['pass@1']:.2f}"]
        for other in ("bf16", base):
            if other == name:
                cells += ["", ""]
                continue
            found = bench.compare(other, name)
            low, high = found["difference_ci95"]
            cells += [f"{100 * found['difference']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                      f"{found['p']:.3f}"]
        row(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    micro = os.path.join(DATA, "llq-micro")
    parser.add_argument("directory", metavar="DIR", help="of models, runs and figures")
    parser.add_argument("--model", default="llq-micro")
    parser.add_argument("--calibration", default=os.path.join(micro, "calibration.jsonl"))
    parser.add_argument("--calibration-samples", type=int, default=16, metavar="N")
    parser.add_argument("--held-out", default=os.path.join(micro, "heldout.txt"), metavar="FILE")
    parser.add_argument("--characters", type=int, default=16000, metavar="N",
                        help="of the held-out text that are used")
    parser.add_argument("--task", default="llq-micro")
    parser.add_argument("--samples", type=int, default=8, metavar="N",
                        help="a task; 0: no programs")
    parser.add_argument("--backend", default="cpu", metavar="NAME", help="for the programs")
    parser.add_argument("--sandbox", default="bwrap", metavar="NAME")
    parser.add_argument("--threads", type=int, default=0, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="variants with this in their name")
    options = parser.parse_args()
    variants = [v for v in VARIANTS if options.only in v[0]]
    bench = Bench(options)
    if variants:
        check(variants, tables(bench, variants))
    texts({name: bench.measure(name, arguments)[1] for name, arguments in CACHES
           if options.only in name})
    if options.samples > 0 and variants:
        programs(bench, variants)


main()
