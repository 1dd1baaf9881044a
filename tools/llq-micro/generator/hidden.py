# SPDX-License-Identifier: Apache-2.0
"""Steps that the text leaves open and the examples settle.

A step is replaced by a vague wording. The examples are only accepted when no
other step of the same group explains them.
"""

import functools
import math
import random

from . import lists, mappings, stage, texts
from .context import Context

VAGUE = {
    "map:L": "change each number by the rule that the examples show|apply to "
             "every number the same rule as in the examples|transform each "
             "number in the way the examples show",
    "map:S": "change each character by the rule that the examples show|treat "
             "every character in the way the examples show",
    "map:W": "change each word by the rule that the examples show|treat every "
             "word in the way the examples show",
    "L": "transform the list by the rule that the examples show|change or "
         "reorder the list in the way the examples show",
    "I": "turn the list into one number by the rule that the examples show|"
         "reduce the list to a number in the way the examples show",
    "S": "transform the string by the rule that the examples show|change the "
         "string in the way the examples show",
}


class Probe(Context):
    """Draws a step with a given number and records the number's range."""
    bounds = None
    value = 0

    def number(self, low, high, pool="", spare=0):
        self.bounds = (low, high)
        return str(self.value)


def variants(make):
    """A step drawn with every value of its number."""
    ctx = Probe(random.Random(0))
    found = [make(ctx)]
    if ctx.bounds is None:
        return found
    found = []
    for ctx.value in range(ctx.bounds[0], ctx.bounds[1] + 1):
        found.append(make(ctx))
    return found


@functools.lru_cache(None)
def alternatives(group):
    """Functions of all steps of a group, by code."""
    kind = group[-1]
    steps = []
    if group.startswith("map:"):
        for _, make in mappings.POOL[kind]:
            for m in variants(make):
                code = "[%s for x in @]" % m.call("x")
                if kind == "S":
                    code = "''.join(%s)" % code[1:-1]
                steps.append(stage.Stage("", kind, "", "", code))
    else:
        table = {"L": lists.SAME, "I": lists.DOWN, "S": texts.CHARS}[kind]
        for _, make in table:
            steps += [s for s in variants(lambda c: make(c, "L"))
                      if s.to == kind]
    return [function(s.code, s.lines) for s in steps]


@functools.lru_cache(20000)
def function(code, lines=()):
    body = ["out = " + code] if not lines else lines
    text = "def f(given):\n" + "".join(
        "    %s\n" % b.replace("@", "given") for b in body) + "    return out\n"
    space = {"math": math}
    exec(text, space)
    return space["f"]


def group_of(s, kind):
    if s.key.startswith("map:"):
        return "map:" + kind
    if kind == "L" and s.loop == () and s.to == "L" and ":" not in s.key:
        return "L"
    if kind == "L" and s.to == "I" and s.value and ":" not in s.key:
        return "I"
    if kind == "S" and s.to == "S" and ":" not in s.key:
        return "S"
    return None


def hide(ctx, stages, kind):
    """Makes one step vague; returns (stages, check) or None."""
    open_to, at = [], kind
    for i, s in enumerate(stages):
        group = group_of(s, at)
        if group and at != "I":
            open_to.append((i, group))
        at = s.to
    if not open_to:
        return None
    i, group = ctx.rng.choice(open_to)
    s = stages[i]
    vague = stage.Stage("?" + s.key, s.to, ctx.pick(VAGUE[group]), "", s.code,
                        s.lines, s.loop, s.const)
    before, after = stages[:i], stages[i + 1:]

    def settled(calls):
        """Whether no alternative explains all the calls."""
        mine = function(s.code, s.lines)
        inner = [chain(before, given[0]) for given, _ in calls]
        results = [mine(v) for v in inner]
        for other in alternatives(group):
            try:
                got = [other(v) for v in inner]
                if got == results:
                    if same(other, mine, kind_of(group)):
                        continue
                    return False
                if all(chain(after, g) == want
                       for g, (_, want) in zip(got, calls)):
                    return False
            except (ArithmeticError, LookupError, ValueError, TypeError):
                continue
        return True

    return stages[:i] + [vague] + after, settled


def kind_of(group):
    return {"I": "L"}.get(group[-1], group[-1])


def same(one, two, kind):
    """Whether two steps also agree on what the calls do not show."""
    if one is two:
        return True
    try:
        return all(one(v) == two(v) for v in PROBES[kind])
    except (ArithmeticError, LookupError, ValueError, TypeError):
        return False


PROBES = {"L": [[], [5], [-7, 3], [12, 4, 4, -9, 30, 7], [9, 8, 1, 2, 25],
                 [100, -45, 16, 3, 3, 11, 28]],
          "W": [[], ["", "a", "Ab"], ["Hello", "wOrld42", "zzAbc--x", "in"]],
          "S": ["", "Ab", "Hello wOrld 42", "zzAbc--x yy", "stone Bridge 7"]}


def chain(stages, value):
    for s in stages:
        value = function(s.code, s.lines)(value)
    return value
