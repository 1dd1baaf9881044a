# SPDX-License-Identifier: Apache-2.0
"""Chains of steps: drawing them, wording them and writing their code."""

import ast
import re

from . import lists, stage, texts, values
from .predicates import weighted

GENERAL_FOR = {"L": stage.GENERAL, "S": stage.GENERAL, "W": stage.GENERAL}
MIDDLE = [(7, stage.filtered), (6, stage.mapped), (3, stage.branched),
          (1, stage.taken), (1, stage.located)]
OWN = {"L": [(1, lambda c, k: weighted(c.rng, lists.SAME)(c, k)),
             (1.3, lambda c, k: weighted(c.rng, lists.DOWN)(c, k)),
             (0.1, texts.grouped), (0.1, texts.parted)],
       "S": texts.CHARS, "W": texts.STRINGS, "D": values.DICT,
       "M": lists.TABLE, "I": values.INTEGER}
KIND = {"L": "a list of integers|a list of numbers|a list of whole numbers",
        "S": "a string|a text|a string of characters",
        "W": "a list of strings|a list of words",
        "I": "an integer|a whole number|a number",
        "D": "a dictionary from strings to integers|a dictionary of integers",
        "M": "a matrix (a list of rows)|a list of rows of integers"}
VARIABLES = {"L": "kept values2 picked chosen selected changed step".split(),
             "S": "text2 piece cleaned changed built".split(),
             "W": "parts2 kept chosen picked selected".split(),
             "I": "total answer score amount".split()}
RESULTS = "result result res out ans current".split()


def next_stage(ctx, kind, last):
    r = ctx.rng.random()
    if kind in GENERAL_FOR:
        if not last and r < 0.62:
            return weighted(ctx.rng, MIDDLE)(ctx, kind)
        if last and r < 0.45:
            return weighted(ctx.rng, stage.GENERAL)(ctx, kind)
        if kind == "L" and not last and r < 0.92:
            return weighted(ctx.rng, lists.SAME)(ctx, kind)
        if kind == "L" and last and r < 0.85:
            return weighted(ctx.rng, lists.DOWN)(ctx, kind)
    return weighted(ctx.rng, OWN[kind])(ctx, kind)


def walk(ctx, kind, count, want=None, worded=False):
    """`count` steps from a value of this kind; None if the draw fails."""
    stages = []
    for i in range(count):
        last = i == count - 1
        for _ in range(12):
            s = next_stage(ctx, kind, last)
            ends = s.to in "ZB"
            if (stages and s.key == stages[-1].key) or (worded and not s.noun):
                continue
            if (not last and ends) or (last and want and s.to not in want):
                continue
            break
        else:
            return None
        stages.append(s)
        kind = s.to
    return stages


# wording

def put(phrase, what):
    return phrase.replace("@", what)


def nested(stages, what):
    for s in stages:
        what = put(s.noun, what)
    return what


def numbered(ctx, stages, steps, final):
    marks = ctx.rng.choice(["%d.", "(%d)", "%d)"])
    lines = [marks % (i + 1) + " " + cap(d) for i, d in enumerate(steps)]
    return lines + ["Return %s." % final]


def cap(text):
    return text[:1].upper() + text[1:]


def worded_steps(ctx, stages, what):
    """The imperatives and what to return after them."""
    steps = [put(s.do, what if i == 0 else "it")
             for i, s in enumerate(stages)]
    last = stages[-1]
    if stages[0].key.startswith(("then:", "is:", "label:")) or \
            stages[0].key in ("str", "binary", "hex"):
        steps[0] = steps[0].replace("the result", what)
    if last.value and last.noun and len(stages) > 1:
        return steps[:-1], put(last.noun, ctx.pick(
            "the result|the result|what you have then"))
    return steps, ctx.pick("the result|the result|what you get")


def describe(ctx, stages, kind, what):
    """Sentences that say what to do with the value called `what`."""
    known = ctx.pick(KIND[kind]) if kind in KIND else "values"
    can_nest = all(s.noun for s in stages) and len(stages) <= 3
    if can_nest and ctx.rng.random() < 0.45:
        start = ctx.pick("|%s " % known[2:].split(" (")[0]
                         if kind in "LSW" else "|")
        phrase = nested(stages, ("the " + start if start else "") + what)
        return [ctx.pick("Return %s.|Return %s.|Compute and return %s.|"
                         "Find %s.|Give back %s.") % phrase]
    steps, final = worded_steps(ctx, stages, what)
    form = ctx.rng.random()
    if form < 0.12 and len(steps) > 1:
        return ["%s %s%s." % (ctx.pick("Start from|Begin with"), known,
                              " called " + what)
                ] + numbered(ctx, stages, steps, final)
    if form < 0.5:
        intro = "Given %s %s, " % (known, what)
        return [intro + ", ".join(steps[:1]) + "".join(
            ", then %s" % d for d in steps[1:]) + ", and return %s." % final]
    if form < 0.75:
        sentences = [ctx.pick("Take {k} {w}.|You get {k} {w}.|The input "
                              "{w} is {k}.").format(k=known, w=what)]
        for i, d in enumerate(steps):
            lead = ctx.pick("First, |First |") if i == 0 else \
                ctx.pick("Then |Next, |After that, |")
            sentences.append((cap(lead + d)) + ".")
        tail = ctx.pick("Finally, return %s.|Return %s.") % final
        return sentences + [tail]
    sentence = cap(steps[0]) + ctx.pick(
        " (the input is %s %s)" % (known, what) + "| in %s" % what
        if "@" not in stages[0].do else "|")
    if len(steps) > 1:
        sentence += "; " + "; ".join("then " + d for d in steps[1:])
    return [sentence + ".", "Return %s." % final]


# code

def atomic(code):
    node = ast.parse(code, mode="eval").body
    return isinstance(node, (ast.Name, ast.Call, ast.ListComp, ast.Subscript,
                             ast.Constant, ast.List, ast.DictComp))


def merge(stages, kind, var):
    """A run of filters and at most one map as (tests, expr, used)."""
    tests, expr, used = [], var, 0
    for s in stages:
        if s.to != kind or not s.loop:
            break
        if s.loop[0] == "filter":
            tests.append(s.loop[1])
        elif s.loop[0] == "map":
            expr = s.loop[1]
            used += 1
            break
        else:
            break
        used += 1
    return tests, expr, used


class Writer:
    """Writes the statements of one function body."""

    def __init__(self, ctx):
        self.ctx = ctx
        self.lines = []
        style = ctx.rng.random()
        self.loops = style < 0.22
        self.fuse = 0.22 <= style < 0.6
        self.reuse = ctx.rng.choice(RESULTS) if ctx.rng.random() < 0.6 else ""
        if self.reuse in ctx.taken:
            self.reuse = ""

    def target(self, kind):
        if self.reuse:
            return self.reuse
        return self.ctx.name(VARIABLES.get(kind, []) + RESULTS)

    def assign(self, kind, code):
        name = self.target(kind)
        self.lines.append("%s = %s" % (name, code))
        return name

    def loop(self, stages, kind, source):
        """A for statement for a run of filters and a map, maybe a sum."""
        var = stage.variable(self.ctx, kind)
        tests, expr, used = merge(stages, kind, var)
        rest = stages[used:]
        name = self.target(kind)
        if name == source:
            name = self.ctx.name(["acc", "found", "new", "output"])
        first, grow = "%s = []" % name, "%s.append(%s)" % (name, expr)
        if kind == "S":
            first, grow = "%s = ''" % name, "%s += %s" % (name, expr)
            if " if " in expr:
                grow = "%s += (%s)" % (name, expr)
        if kind == "L" and rest and rest[0].key == "sum":
            first, grow = "%s = 0" % name, "%s += %s" % (name, expr)
            if " if " in expr:
                grow = "%s += (%s)" % (name, expr)
            used += 1
        elif used and expr == var and rest and rest[0].key.startswith(
                "count:") or not used and stages[0].key.startswith("count:"):
            tests = tests + [rest[0].loop[1]]
            first, grow = "%s = 0" % name, "%s += 1" % name
            used += 1
        self.lines += [first, "for %s in %s:" % (var, source)]
        pad = "    "
        for t in tests:
            self.lines.append(pad + "if %s:" % t)
            pad += "    "
        self.lines.append(pad + grow)
        return name, used

    def comprehension(self, stages, kind, source):
        var = stage.variable(self.ctx, kind)
        tests, expr, used = merge(stages, kind, var)
        code = "%s for %s in %s" % (expr, var, source)
        if tests:
            code += " if " + " and ".join(
                "(%s)" % t if " or " in t or " if " in t else t
                for t in tests)
        return ("''.join(%s)" if kind == "S" else "[%s]") % code, used

    def run(self, stages, kind, source):
        """Writes all steps; returns the expression of the result."""
        code, i = source, 0
        while i < len(stages):
            s, run = stages[i], 0
            if kind in "LSW":
                _, _, run = merge(stages[i:], kind, "")
            counts = s.key.startswith("count:") and kind in "LSW"
            if self.loops and (run or counts):
                code = self.plain(code, kind)
                code, used = self.loop(stages[i:], kind, code)
                kind, i = stages[i + used - 1].to, i + used
                continue
            if self.fuse and run > 1:
                code = self.plain(code, kind)
                code, used = self.comprehension(stages[i:], kind, code)
                kind, i = stages[i + used - 1].to, i + used
                continue
            code = self.one(s, kind, code)
            kind, i = s.to, i + 1
        return code

    def plain(self, code, kind):
        if re.fullmatch(r"\w+", code):
            return code
        return self.assign(kind, code)

    def one(self, s, kind, code):
        body = " ".join(s.lines) or s.code
        uses = body.count("@")
        simple = re.fullmatch(r"\w+", code)
        if not simple:
            keep = self.fuse and uses == 1 and not s.lines and \
                len(code) + len(body) < 76 and atomic(code)
            if not keep:
                code = self.assign(kind, code)
        if not s.lines:
            return s.code.replace("@", code)
        name = self.target(s.to)
        if name == code:
            name = self.ctx.name(["acc", "found", "new", "output"])
        self.lines += [re.sub(r"\bout\b", name, line).replace("@", code)
                       for line in s.lines]
        return name


def finish(writer, code):
    """The body with its return statement."""
    lines = writer.lines
    if lines and lines[-1].startswith(code + " = ") and \
            writer.ctx.rng.random() < 0.7:
        return lines[:-1] + ["return " + lines[-1][len(code) + 3:]]
    return lines + ["return " + code]


def shape(stages):
    return "|".join(s.key for s in stages)
