# SPDX-License-Identifier: Apache-2.0
"""The kinds of problem: chains of steps, and ways to combine or extend them."""

from dataclasses import dataclass

from . import hidden, pipeline, values
from .context import HINTS
from .pipeline import Writer, describe, finish, nested, shape, walk
from .predicates import weighted


@dataclass
class Draft:
    """A problem before it has examples."""
    ctx: object
    text: list              # sentences
    body: list              # statements, not indented
    shape: str
    steps: int
    returns: str = ""       # type hint, where it is known
    slugs: tuple = ()


DEPTH = [(1.5, 1), (5, 2), (6, 3), (6, 4), (4, 5), (2, 6)]

VAGUE_DEPTH = [(5, 1), (6, 2), (3, 3), (1, 4)]


def slug(stages):
    found = []
    for s in stages:
        if s.key.startswith("?"):
            continue
        found += [p for p in s.key.replace("(", ":").replace(
            ")", "").replace(",", ":").split(":")[:2] if p.isalpha()]
    return tuple(found)


def chain(ctx):
    kind = weighted(ctx.rng, [(9, "L"), (6, "S"), (6, "W"), (2, "D"), (2, "M"),
                              (2.5, "I"), (2, "range")])
    vague = ctx.mode == "step"
    depth = weighted(ctx.rng, VAGUE_DEPTH if vague else DEPTH)
    first = []
    if kind == "range":
        kind = "I"
        first = [weighted(ctx.rng, values.STARTS)(ctx, "I")]
        depth -= 1
    name = ctx.arg(kind, 0, ctx.rng.choice([30, 99, 999]) if not first
                   else (40 if first[0].key != "digits" else 9999))
    if first:
        ctx.args[-1].high = max(ctx.args[-1].high, 20)
    rest = walk(ctx, first[0].to if first else kind, depth) if depth else []
    if rest is None or not first + rest:
        return None
    stages = first + rest
    if vague:
        found = hidden.hide(ctx, stages, kind)
        if not found:
            return None
        stages, ctx.settled = found
    writer = Writer(ctx)
    code = writer.run(stages, kind, name)
    return Draft(ctx, describe(ctx, stages, kind, name), finish(writer, code),
                 kind + "|" + shape(stages), len(stages) + vague,
                 HINTS.get(stages[-1].to, "bool" if stages[-1].to == "B"
                           else ""), slug(stages))


PAIRED = [
    (3, ("sums", "[a + b for a, b in zip(A, B)]",
         "add up A and B element by element|add the elements of A and B "
         "position by position")),
    (3, ("products", "[a * b for a, b in zip(A, B)]",
         "multiply A and B element by element")),
    (2, ("minus", "[a - b for a, b in zip(A, B)]",
         "subtract the elements of B from those of A, position by position")),
    (2, ("larger", "[max(a, b) for a, b in zip(A, B)]",
         "take the larger of each two elements of A and B at the same "
         "position")),
    (2, ("smaller", "[min(a, b) for a, b in zip(A, B)]",
         "take the smaller of each two elements of A and B at the same "
         "position")),
    (2, ("gaps", "[abs(a - b) for a, b in zip(A, B)]",
         "take the absolute differences of A and B, position by position")),
    (2, ("only", "[a for a in A if a not in B]",
         "take the elements of A that are not in B")),
    (2, ("both", "[a for a in A if a in B]",
         "take the elements of A that are also in B")),
    (1, ("interleave", "[v for pair in zip(A, B) for v in pair]",
         "interleave A and B, starting with A")),
    (1, ("concat", "A + B", "put B after A|append B to A")),
    (1, ("union", "sorted(set(A) | set(B))",
         "collect the distinct values of A and B in ascending order")),
    (1, ("where", "[a for a, b in zip(A, B) if a > b]",
         "take the elements of A that are greater than the element of B at "
         "the same position")),
]


def paired(ctx):
    """Two lists made one, then a chain."""
    a, b = ctx.arg("L"), ctx.arg("L")
    key, code, do = weighted(ctx.rng, PAIRED)
    fill = lambda t: t.replace("A", a).replace("B", b)
    do = fill(ctx.pick(do))
    rest = walk(ctx, "L", weighted(ctx.rng, [(4, 1), (4, 2), (2, 3)]))
    if rest is None:
        return None
    writer = Writer(ctx)
    result = writer.run(rest, "L", writer.assign("L", fill(code)))
    steps, final = pipeline.worded_steps(ctx, rest, "it")
    text = ["Given two lists of integers %s and %s, %s%s, and return %s." %
            (a, b, do, "".join(", then " + d for d in steps), final)]
    return Draft(ctx, text, finish(writer, result),
                 "two:%s|%s" % (key, shape(rest)), 1 + len(rest),
                 HINTS.get(rest[-1].to, ""), (key,) + slug(rest))


JOIN = [("sum", "{a} + {b}", "the sum of two things: {x}, and {y}"),
        ("minus", "{a} - {b}", "{x}, minus {y}"),
        ("times", "{a} * {b}", "the product of {x} and {y}"),
        ("larger", "max({a}, {b})", "the larger of {x} and {y}"),
        ("smaller", "min({a}, {b})", "the smaller of {x} and {y}"),
        ("gap", "abs({a} - {b})", "the absolute difference between {x} and "
         "{y}"),
        ("tuple", "({a}, {b})", "a tuple of two things: {x}, and {y}"),
        ("greater", "{a} > {b}", "whether {x} is greater than {y}"),
        ("equal", "{a} == {b}", "whether {x} equals {y}")]


def reduced(ctx, kind, count):
    """A chain to an integer that can be named by a noun phrase."""
    return walk(ctx, kind, count, want="I", worded=True)


def simple(ctx, name, kind, stages):
    """Code of a chain as an expression, with its statements written first."""
    writer = Writer(ctx)
    writer.loops, writer.fuse, writer.reuse = False, True, ""
    return writer, writer.run(stages, kind, name)


def combined(ctx):
    """Two numbers computed from one value, joined by an operation."""
    kind = ctx.rng.choice("LLSW")
    name = ctx.arg(kind)
    one = reduced(ctx, kind, ctx.rng.choice([1, 1, 2]))
    two = reduced(ctx, kind, ctx.rng.choice([1, 1, 2]))
    if not one or not two or shape(one) == shape(two):
        return None
    first, a = simple(ctx, name, kind, one)
    second, b = simple(ctx, name, kind, two)
    named = ctx.rng.random() < 0.6
    lines = list(first.lines)
    if named:
        lines.append("%s = %s" % (ctx.name(["first", "left", "one"]), a))
        a = lines[-1].split(" = ")[0]
    lines += second.lines
    if named:
        lines.append("%s = %s" % (ctx.name(["second", "right", "two"]), b))
        b = lines[-1].split(" = ")[0]
    key, code, words = ctx.rng.choice(JOIN)
    enclose = lambda c: c if pipeline.atomic(c) else "(%s)" % c
    code = code.format(a=enclose(a), b=enclose(b))
    text = ctx.pick("Return %s.|Compute %s.|Given %s %s, return %%s." % (
        "%s", "%s", ctx.pick(pipeline.KIND[kind]), name)) % words.format(
            x=nested(one, name), y=nested(two, name))
    return Draft(ctx, [text], lines + ["return " + code],
                 "%s:%s(%s;%s)" % (key, kind, shape(one), shape(two)),
                 1 + len(one) + len(two), "", slug(one) + (key,) + slug(two))


def conditional(ctx):
    """A test on the whole value decides which chain is applied."""
    kind = ctx.rng.choice("LLSW")
    name = ctx.arg(kind)
    test = walk(ctx, kind, ctx.rng.choice([1, 1, 2]), want="B", worded=True)
    one = walk(ctx, kind, ctx.rng.choice([1, 1, 2]), worded=True)
    if not test or not one:
        return None
    two = walk(ctx, kind, ctx.rng.choice([1, 1, 2]), want=one[-1].to,
               worded=True)
    if not two or shape(one) == shape(two):
        return None
    head, cond = simple(ctx, name, kind, test)
    yes, a = simple(ctx, name, kind, one)
    no, b = simple(ctx, name, kind, two)
    if ctx.rng.random() < 0.5:
        tail = no.lines + ["return " + b]
    else:
        tail = ["else:"] + ["    " + t for t in no.lines + ["return " + b]]
    body = head.lines + ["if %s:" % cond] + [
        "    " + t for t in yes.lines + ["return " + a]] + tail
    cond_text = nested(test, name).replace("whether ", "", 1)
    text = ctx.pick("If {c}, return {x}; otherwise, return {y}.|Return {x} if "
                    "{c}, and {y} if not.|When {c}, the answer is {x}. In all "
                    "other cases it is {y}.").format(
        c=cond_text, x=nested(one, name), y=nested(two, name))
    return Draft(ctx, [text], body, "if:%s(%s;%s;%s)" % (
        kind, shape(test), shape(one), shape(two)),
        len(test) + len(one) + len(two), HINTS.get(one[-1].to, ""),
        ("pick",) + slug(one) + slug(two))
