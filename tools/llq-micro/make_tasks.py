#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write held-out problems in HumanEval's format, and held-out text.

`tasks` draws from the shapes kept for the task set, `validation` from those
kept for tuning; both are absent from the training data.
"""

import argparse
import json
import random

from generator import document, problem, split

CASES = 8


def cases(rng, p):
    """Calls with varied inputs: the edges first, then random ones."""
    found, seen, results = [], set(), set()
    for i in range(60):
        given = [a.draw(rng, i if i < 4 else None) for a in p.args]
        if repr(given) in seen:
            continue
        value = p.call(*eval(repr(given)))
        if not problem.small(value) and len(repr(value)) > 300:
            continue
        seen.add(repr(given))
        found.append((given, value))
        results.add(repr(value))
        if len(found) >= CASES and len(results) >= 3:
            break
    enough = 2 if isinstance(found[-1][1], bool) else 3
    if len(found) < 6 or len(results) < enough:
        return None
    keep = found[:CASES - 2] + found[-2:] if len(found) > CASES else found
    return keep if len({repr(v) for _, v in keep}) >= enough else None


def test(calls):
    lines = ["", "", "def check(candidate):"]
    for given, value in calls:
        call = "candidate(%s)" % ", ".join(map(repr, given))
        lines.append("    assert %s %s %r" % (
            call, "is" if value is None else "==", value))
    return "\n".join(lines) + "\n"


def quotas(count):
    """A third fully told, a third with an open number, one with an open step."""
    third = count // 3
    return {"": third, "number": (count - third + 1) // 2,
            "step": (count - third) // 2}


def collect(bucket, count, seed):
    """Problems of a bucket, all of different shapes."""
    rng = random.Random("%s-%d" % (bucket, seed))
    shapes, names, found, left = set(), set(), [], quotas(count)
    while len(found) < count:
        p = problem.draw(rng)
        if split.bucket(p.shape, p.steps) != bucket or not left[p.open] \
                or p.shape in shapes or p.entry_point in names:
            continue
        calls = problem.limited(0.2, lambda: cases(rng, p))
        if not calls:
            continue
        shapes.add(p.shape)
        names.add(p.entry_point)
        left[p.open] -= 1
        found.append((p, calls))
    rng.shuffle(found)
    return [(p, {"task_id": "llq-micro/%d" % i, "prompt": p.prompt,
                 "entry_point": p.entry_point,
                 "canonical_solution": p.solution, "test": test(calls)})
            for i, (p, calls) in enumerate(found)]


def verify(tasks):
    for p, t in tasks:
        space = {}
        exec(t["prompt"] + t["canonical_solution"] + t["test"], space)
        space["check"](space[t["entry_point"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["tasks", "validation", "calibration",
                                         "heldout"])
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=164)
    parser.add_argument("--shapes", help="also write shape and family")
    parser.add_argument("--seed", type=int, default=20260)
    options = parser.parse_args()
    with open(options.out, "w") as f:
        if options.what in ("tasks", "validation"):
            found = collect(options.what, options.count, options.seed)
            verify(found)
            for _, t in found:
                f.write(json.dumps(t) + "\n")
            if options.shapes:
                with open(options.shapes, "w") as g:
                    for p, t in found:
                        g.write(json.dumps([t["task_id"], p.shape, p.steps,
                                            p.family, p.open]) + "\n")
            return
        rng = random.Random("%s-%d" % (options.what, options.seed))
        for _ in range(options.count):
            if options.what == "calibration":
                pieces = document.file(rng, rng.choice([2, 3, 4]))
                text = document.plain(pieces)
                text = text.replace(document.BEGIN, "").replace(
                    document.END, "")
                f.write(json.dumps({"text": text}) + "\n")
            else:
                while True:
                    p = problem.draw(rng)
                    if split.bucket(p.shape, p.steps) == split.VALIDATION:
                        break
                f.write(p.prompt.lstrip("\n") + p.solution + "\n\n")


if __name__ == "__main__":
    main()
