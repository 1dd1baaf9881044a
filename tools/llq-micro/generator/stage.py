# SPDX-License-Identifier: Apache-2.0
"""One step of a computation, with its wording and its code.

Kinds of value: L list of integers, S string, W list of strings, I integer,
B truth value, D dict from string to integer, M list of rows, Z anything else
(always last). In code and phrases `@` stands for the step's input.
"""

from dataclasses import dataclass

from . import mappings, predicates

ELEMENT = {"L": "number|number|element|value|integer",
           "S": "character|character|letter",
           "W": "word|word|string|entry"}


def plural(noun):
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


@dataclass
class Stage:
    key: str
    to: str
    do: str                 # imperative: "sort the numbers"
    noun: str               # noun phrase: "@ sorted in ascending order"
    code: str = ""          # an expression
    lines: tuple = ()       # or statements that set `out` from `@`
    loop: tuple = ()        # ("filter", test), ("map", expr), ("sum", ...)
    const: str = ""
    value: bool = False     # `noun` alone says what to return


def variable(ctx, kind):
    return {"L": ctx.x, "S": ctx.c, "W": ctx.w}[kind]


def element(ctx, kind):
    return ctx.pick(ELEMENT[kind])


def filtered(ctx, kind):
    """Keep, or drop, the elements that satisfy a condition."""
    p = predicates.draw(ctx, kind)
    el, var = plural(element(ctx, kind)), variable(ctx, kind)
    test, key = p.test(var), "keep:" + p.key
    if ctx.rng.random() < 0.25:
        key, test = "drop:" + p.key, "not (%s)" % test
        do = ctx.pick("remove|drop|discard|leave out") + ctx.pick(
            " the %s that %s| all %s that %s| every one that %s")
        noun = "@ without the %s that %s" % (el, p.verbs)
        do = (do % (el, p.verbs) if do.count("%s") == 2 else do % p.verb)
    else:
        do = ctx.pick("keep only|keep|select|take|pick out") + ctx.pick(
            " the %s that %s| those %s that %s") % (el, p.verbs)
        noun = ctx.pick("the %s in @ that %s|the %s of @ that %s|those %s of @ "
                        "that %s") % (el, p.verbs)
        if p.adjective and ctx.rng.random() < 0.6:
            do = "keep only the %s %s" % (p.adjective, el)
            noun = ctx.pick("the %s %s in @|the %s %s of @") % (
                p.adjective, el)
    code = "[{v} for {v} in @ if {t}]".format(v=var, t=test)
    if kind == "S":
        code = "''.join(%s)" % code[1:-1]
    return Stage(key, kind, do, noun, code, loop=("filter", test),
                 const=p.const)


def mapped(ctx, kind):
    """Apply a function to every element."""
    m, var = mappings.draw(ctx, kind), variable(ctx, kind)
    el = element(ctx, kind)
    every = ctx.pick("each {e}|every {e}").format(e=el)
    do = m.do.replace("#", every, 1).replace("#", "it")
    inner = ctx.pick("each {e} of @|every {e} in @").format(e=el)
    noun = "the list made of " + m.noun.replace("#", inner, 1).replace(
        "#", "it")
    if kind == "S":
        noun = "the string made of " + noun[len("the list made of "):]
    body = m.call(var)
    code = "[%s for %s in @]" % (body, var)
    if kind == "S":
        code = "''.join(%s)" % code[1:-1]
    return Stage("map:" + m.key, kind, do, noun, code, loop=("map", body),
                 const=m.const)


def branched(ctx, kind):
    """Apply one function where a condition holds and another elsewhere."""
    p = predicates.draw(ctx, kind)
    a, b = mappings.draw(ctx, kind), mappings.draw(ctx, kind)
    var, el = variable(ctx, kind), element(ctx, kind)
    every = ctx.pick("each|every") + " " + el
    same = a.key == b.key or ctx.rng.random() < 0.45
    other = var if same else b.call(var)
    tail = ctx.pick(" and leave the others unchanged| and keep the rest as "
                    "they are") if same else (
        ", and otherwise " + b.do.replace("#", "it"))
    do = "%s if it %s%s" % (a.do.replace("#", every, 1).replace("#", "it"),
                            p.verb, tail)
    if same:
        do = "%s%s" % (a.do.replace("#", "%s that %s" % (every, p.verb), 1)
                       .replace("#", "it"), tail)
    body = "%s if %s else %s" % (bracket(a.call(var)), p.test(var),
                                 bracket(other))
    code = "[%s for %s in @]" % (body, var)
    if kind == "S":
        code = "''.join(%s)" % code[1:-1]
    key = "branch:%s:%s:%s" % (p.key, a.key, "same" if same else b.key)
    return Stage(key, kind, do, "", code, loop=("map", body),
                 const="%s;%s;%s" % (p.const, a.const, b.const))


def bracket(code):
    return "(%s)" % code if " if " in code else code


def counted(ctx, kind):
    p = predicates.draw(ctx, kind)
    var, el = variable(ctx, kind), plural(element(ctx, kind))
    noun = ctx.pick("the number of %s in @ that %s|how many %s in @ %s|how "
                    "many %s of @ %s") % (el, p.verbs)
    do = ctx.pick("count the %s that %s|count how many %s %s") % (el, p.verbs)
    code = "sum(1 for {v} in @ if {t})".format(v=var, t=p.test(var))
    return Stage("count:" + p.key, "I", do, noun, code,
                 loop=("count", p.test(var)), const=p.const, value=True)


def quantified(ctx, kind):
    p = predicates.draw(ctx, kind)
    var, el = variable(ctx, kind), element(ctx, kind)
    how = ctx.rng.choice(["any", "all", "none"])
    if how == "any":
        noun = ctx.pick("whether some %s of @ %s|whether at least one %s in @ "
                        "%s") % (el, p.verb)
    elif how == "all":
        noun = "whether every %s of @ %s" % (el, p.verb)
    else:
        noun = "whether no %s of @ %s" % (el, p.verb)
    code = "{f}({t} for {v} in @)".format(
        f={"none": "not any"}.get(how, how), t=p.test(var), v=var)
    return Stage("%s:%s" % (how, p.key), "B", "check " + noun.replace(
        " of @", "").replace(" in @", ""), noun, code, const=p.const,
        value=True)


def found(ctx, kind):
    """The first or last element that satisfies a condition."""
    p = predicates.draw(ctx, kind)
    var, el = variable(ctx, kind), element(ctx, kind)
    default, said = {"L": ("-1", "-1"), "S": ("''", "an empty string"),
                     "W": ("''", "an empty string")}[kind]
    end, source = ctx.rng.choice([("first", "@"), ("last", "reversed(@)")])
    noun = "the %s %s of @ that %s, or %s if there is none" % (
        end, el, p.verb, said)
    code = "next((%s for %s in %s if %s), %s)" % (
        var, var, source, p.test(var), default)
    return Stage("%s:%s" % (end, p.key), "I" if kind == "L" else "Z",
                 "find the %s %s that %s (%s if there is none)" % (
                     end, el, p.verb, said), noun, code, const=p.const,
                 value=True)


def located(ctx, kind):
    """The positions of the elements that satisfy a condition."""
    p = predicates.draw(ctx, kind)
    var, el = variable(ctx, kind), plural(element(ctx, kind))
    noun = ctx.pick("the indices of the %s in @ that %s|the positions "
                    "(counting from 0) of the %s in @ that %s") % (el, p.verbs)
    code = "[i for i, %s in enumerate(@) if %s]" % (var, p.test(var))
    return Stage("where:" + p.key, "L", "list " + noun.replace(" in @", ""),
                 noun, code, const=p.const, value=True)


def taken(ctx, kind):
    """The longest prefix, or what follows it, under a condition."""
    p = predicates.draw(ctx, kind)
    var, el = variable(ctx, kind), plural(element(ctx, kind))
    empty, grow = ("[]", "out.append(%s)" % var)
    if kind == "S":
        empty, grow = "''", "out += " + var
    if ctx.rng.random() < 0.6:
        do = ctx.pick("take %s from the start until one %s|keep the %s before "
                      "the first one that %s") % (el, p.verb)
        lines = ("out = " + empty, "for %s in @:" % var,
                 "    if %s:" % p.test(var), "        break", "    " + grow)
        return Stage("until:" + p.key, kind, do, "the %s of @ before the first "
                     "one that %s" % (el, p.verb), lines=lines, const=p.const)
    lines = ("start = 0", "while start < len(@) and %s:" % p.test("@[start]"),
             "    start += 1", "out = @[start:]")
    return Stage("strip:" + p.key, kind, ctx.pick(
        "remove %s from the start while they %s|skip the leading %s that %s")
        % (el, p.verbs), "@ without the leading %s that %s" % (el, p.verbs),
        lines=lines, const=p.const)


def run_length(ctx, kind):
    p = predicates.draw(ctx, kind)
    var, el = variable(ctx, kind), plural(element(ctx, kind))
    noun = ctx.pick("the length of the longest run of consecutive %s in @ that "
                    "%s|the size of the longest streak of %s in @ that %s") % (
        el, p.verbs)
    lines = ("out = 0", "run = 0", "for %s in @:" % var,
             "    run = run + 1 if %s else 0" % p.test(var),
             "    out = max(out, run)")
    return Stage("run:" + p.key, "I", "find " + noun.replace(" in @", ""),
                 noun, lines=lines, const=p.const, value=True)


GENERAL = [(7, filtered), (6, mapped), (3, branched), (3, counted),
           (1.5, quantified), (1.5, found), (1.5, located), (1.5, taken),
           (1, run_length)]


def fixed(key, to, do, noun, code, low=None, high=None, value=False,
          pool="k n m size"):
    """A step with at most one number `K`."""
    def make(ctx, kind):
        k = "" if low is None else ctx.number(low, high, pool)
        parts = [ctx.pick(t).replace("K", k) for t in (do, noun)]
        body = code if isinstance(code, tuple) else (code,)
        body = tuple(line.replace("K", k).replace("$", ctx.x)
                     .replace("~", ctx.w) for line in body)
        if isinstance(code, tuple):
            return Stage(key, to, parts[0], parts[1], lines=body, const=k,
                         value=value)
        return Stage(key, to, parts[0], parts[1], body[0], const=k,
                     value=value)
    return make
