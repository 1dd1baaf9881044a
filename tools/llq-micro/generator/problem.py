# SPDX-License-Identifier: Apache-2.0
"""One problem: a signature, a docstring with examples, a body, a shape."""

import math
import re
import signal
import textwrap
from dataclasses import dataclass
from typing import Dict, List, Tuple  # noqa: F401  names that programs use

from . import families, processes
from .context import HINTS, HOLE, Context
from .predicates import weighted

FAMILIES = [(11, families.chain), (1.6, families.paired),
            (3, families.combined), (2.5, families.conditional),
            (0.8, processes.recurrence), (1.2, processes.simulation),
            (1.4, processes.cases), (1.8, processes.scan),
            (1.5, processes.encode), (1, processes.pairs)]
MODES = [(10, ""), (4, "number"), (9, "step")]
VERBS = """calc compute find get make build run do derive produce form give
collect select handle transform convert work_out""".split()
NOUNS = """numbers values items words text data list result string entries
parts thing chain answer""".split()
ENDINGS = """step task rule here out items data now of_list value input v2
result job line part up of_it""".split()
WORDS = """zero one two three four five six seven eight nine ten eleven twelve
thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty""".split()
OPENINGS = ["    \"\"\" %s", "    \"\"\"%s", "    \"\"\"%s", "    \"\"\"\n    %s"]


@dataclass
class Problem:
    prompt: str
    entry_point: str
    solution: str
    shape: str
    steps: int
    family: str
    args: list
    call: object            # the compiled function
    open: str               # what is left to the examples


class TooSlow(Exception):
    pass


def stop(*_):
    raise TooSlow


def limited(seconds, call):
    """The value of call(), or None if it fails or takes more CPU time."""
    old = signal.signal(signal.SIGVTALRM, stop)
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            return call()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except (TooSlow, MemoryError, ArithmeticError, LookupError, ValueError,
            TypeError):
        return None
    finally:
        signal.signal(signal.SIGVTALRM, old)


def compiled(source, name):
    space = {"math": math, HOLE: 0, "List": List, "Dict": Dict, "Tuple": Tuple}
    exec(source, space)
    return space[name]


def small(value):
    """Whether a value is fit for an example."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return abs(value) < 10 ** 7
    if isinstance(value, str):
        return len(value) < 60 and value.isprintable()
    if isinstance(value, dict):
        return len(value) < 9 and all(
            small(k) and small(v) for k, v in value.items())
    return len(value) < 14 and all(small(v) for v in value)


def examples(rng, function, args, count, tries=8):
    """Calls with small results, not all the same; None if there are too few."""
    found, seen = [], set()
    for i in range(tries):
        edge = rng.randrange(6) if rng.random() < 0.1 else None
        given = [a.draw(rng, edge) for a in args]
        value = function(*eval(repr(given)))
        if not small(value) or repr(given) in seen:
            continue
        seen.add(repr(given))
        found.append((given, value))
        if len(found) == count:
            break
    if len(found) < count or (count > 1 and len(
            {repr(v) for _, v in found}) == 1 and rng.random() < 0.9):
        return None
    return found


def determined(function, hole, calls):
    """Whether no other value of the open number explains the calls."""
    low, high, value = hole
    for other in range(low, max(high, 12) + 1):
        if other == value:
            continue
        function.__globals__[HOLE] = other
        try:
            if all(function(*eval(repr(given))) == want
                   for given, want in calls):
                return False
        except (ArithmeticError, LookupError, ValueError, TypeError):
            continue
    return True


def spelled(sentence):
    """The sentence with its small numbers written as words."""
    if re.match(r"\(?\d[.)]", sentence):
        return sentence
    return re.sub(r"(?<![\w.'-])(\d+)(?![\w.'-])", lambda m: WORDS[
        int(m.group(1))] if int(m.group(1)) < len(WORDS) else m.group(1),
        sentence)


def naming(ctx, slugs):
    rng = ctx.rng
    r = rng.random()
    words = [s for s in slugs if s.isalpha()]
    if r < 0.55 and len(words) > 1:
        words = words[:rng.choice([2, 3, 3, 4])]
        name = "_".join(words)
    elif r < 0.75 and words:
        name = "%s_%s" % (rng.choice(VERBS), "_".join(words[:2]))
    else:
        name = "%s_%s" % (rng.choice(VERBS), rng.choice(NOUNS))
    while name.count("_") < 2:
        name += "_" + rng.choice(ENDINGS)
    if rng.random() < 0.05:
        name = re.sub("_(.)", lambda m: m.group(1).upper(), name)
    return name


def signature(ctx, name, draft):
    style = ctx.rng.random()
    if style < 0.3:
        return "def %s(%s):" % (name, ", ".join(a.name for a in ctx.args)), ""
    hints = [HINTS[a.kind] for a in ctx.args]
    returns = draft.returns
    if style < 0.55:
        hints = [h.replace("List", "list").replace("Dict", "dict")
                 for h in hints]
        returns = returns.replace("List", "list").replace("Dict", "dict")
    text = "def %s(%s)" % (name, ", ".join(
        "%s: %s" % (a.name, h) for a, h in zip(ctx.args, hints)))
    line = text + (" -> %s:" % returns if returns else ":")
    used = [t for t in ("Dict", "List") if t + "[" in line]
    return line, "from typing import %s\n" % ", ".join(used) if used else ""


def shown(rng, name, calls):
    """The lines of the examples."""
    form = rng.random()
    lines = []
    for given, value in calls:
        call = "%s(%s)" % (name, ", ".join(map(repr, given)))
        if form < 0.8:
            lines += [">>> " + call] + ([repr(value)] if value is not None
                                        else [])
        elif form < 0.9:
            lines.append("%s == %r" % (call, value))
        elif form < 0.96:
            lines.append("%s -> %r" % (call, value))
        else:
            lines.append("%s should return %r" % (call, value))
    lead = []
    if form >= 0.8 or rng.random() < 0.15:
        lead = [rng.choice(["Examples:", "For example:", "Example:"])]
    return lead + lines


def docstring(rng, name, sentences, calls):
    width = rng.choice([72, 76, 88, 100])
    if any(re.match(r"\(?\d[.)]", s) for s in sentences):
        paragraphs = sentences
    else:
        paragraphs = [" ".join(sentences)]
    lines = []
    for p in paragraphs:
        lines += textwrap.wrap(p, width, break_long_words=False,
                               break_on_hyphens=False)
    rest = lines[1:]
    if rng.random() < 0.4:
        rest.append("")
    rest += shown(rng, name, calls)
    text = rng.choice(OPENINGS) % lines[0]
    for line in rest:
        text += "\n" + ("    " + line if line else "")
    return text + "\n    \"\"\"\n"


def header(rng, imports):
    if imports:
        return imports + "\n\n"
    return rng.choice(["", "", "\n", "\n\n"])


def attempt(rng, make, mode):
    ctx = Context(rng, mode=mode)
    draft = make(ctx)
    if draft is None or mode == "number" and not any(
            HOLE in b for b in draft.body):
        return None
    name = naming(ctx, draft.slugs)
    line, imports = signature(ctx, name, draft)
    body = "".join("    %s\n" % b for b in draft.body)
    if "math." in body:
        imports = "import math\n" + imports
    if max(map(len, draft.body)) > 100 or len(body) > 900 or \
            len(draft.body) == 1 and (
                " for " not in body or draft.steps < 2):
        return None
    function = compiled(imports + line + "\n" + body, name)
    open_number = mode == "number"
    if open_number:
        function.__globals__[HOLE] = ctx.hole[2]
    count = rng.choice([2, 3, 3, 4] if mode else [1, 2, 2, 3])
    calls = limited(0.05, lambda: examples(rng, function, ctx.args, count))
    if calls is None or ctx.settled and not limited(
            0.2, lambda: ctx.settled(calls)):
        return None
    if open_number:
        if not limited(0.2, lambda: determined(function, ctx.hole, calls)):
            return None
        function.__globals__[HOLE] = ctx.hole[2]
        body = body.replace(HOLE, str(ctx.hole[2]))
        letter = rng.choice("CCKN")
        draft.text = [t.replace(HOLE, letter) for t in draft.text] + [
            ctx.pick("The constant %s is the same in all examples.|%s is a "
                     "constant that the examples determine.|Find the constant "
                     "%s from the examples.") % letter]
    if rng.random() < 0.15:
        draft.text = [spelled(t) for t in draft.text]
    prompt = header(rng, imports) + line + "\n" + docstring(
        rng, name, draft.text, calls)
    shape = "?" + draft.shape if open_number else draft.shape
    return Problem(prompt, name, body, shape, draft.steps + open_number,
                   make.__name__, ctx.args, function,
                   mode)


def draw(rng, tries=40):
    """One problem of any family."""
    while True:
        make = weighted(rng, FAMILIES)
        mode = weighted(rng, MODES if make is families.chain else MODES[:2])
        for _ in range(tries):
            found = attempt(rng, make, mode)
            if found is not None:
                return found
