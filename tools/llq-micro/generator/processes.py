# SPDX-License-Identifier: Apache-2.0
"""Problems with state: recurrences, loops until a condition, scans, cases."""

from . import mappings, predicates
from .families import Draft


def recurrence(ctx):
    """a(n) from the two terms before it."""
    rng = ctx.rng
    n = ctx.arg("I", 0, 9, ["n", "k", "index", "position"])
    s, t = rng.randint(0, 4), rng.randint(1, 5)
    p, q, r = rng.randint(1, 3), rng.randint(-2, 3), rng.randint(-3, 6)
    first = "%s%s" % ("%d * b" % p if p > 1 else "b", {
        0: "", 1: " + a", -1: " - a"}.get(
            q, " %s %d * a" % ("+" if q > 0 else "-", abs(q))))
    if r:
        first += " %s %d" % ("+" if r > 0 else "-", abs(r))
    say = ["%s the previous term" % ("%d times" % p) if p > 1 else
           "the previous term"]
    if q:
        say.append("%s %s" % ("plus" if q > 0 else "minus", "the one before "
                   "it" if abs(q) == 1 else "%d times the one before it"
                   % abs(q)))
    if r:
        say.append("%s %d" % ("plus" if r > 0 else "minus", abs(r)))
    rule = " ".join(say)
    whole = rng.random()
    text = ["A sequence starts with %d and %d. Each later term is %s." % (
        s, t, rule)]
    body = ["a, b = %d, %d" % (s, t)]
    if whole < 0.5:
        text.append(ctx.pick("Return the term with index %s, counting from 0.|"
                             "Return term number {0}, where the first one has "
                             "number 0.".format("%s")) % n)
        body += ["for _ in range(%s):" % n, "    a, b = b, " + first,
                 "return a"]
        key = "term"
    elif whole < 0.75:
        text.append("Return the list of its first %s terms." % n)
        body += ["terms = []", "for _ in range(%s):" % n,
                 "    terms.append(a)", "    a, b = b, " + first,
                 "return terms"]
        key = "terms"
    else:
        text.append("Return the sum of its first %s terms." % n)
        body += ["total = 0", "for _ in range(%s):" % n, "    total += a",
                 "    a, b = b, " + first, "return total"]
        key = "total"
    return Draft(ctx, text, body, "rec:%s:%d,%d,%d,%d,%d" % (
        key, s, t, p, q, r), 2, "List[int]" if key == "terms" else "int",
        ("sequence", key))


STEPS = [("halve it", "{v} //= 2"), ("subtract {k} from it", "{v} -= {k}"),
         ("divide it by {k}, rounding down", "{v} //= {k}"),
         ("remove its last digit", "{v} //= 10"),
         ("subtract its digit sum from it",
          "{v} -= sum(int(d) for d in str({v}))"),
         ("divide it by 3, rounding down, and subtract 1",
          "{v} = {v} // 3 - 1"),
         ("subtract its number of digits", "{v} -= len(str({v}))")]


def simulation(ctx):
    """Shrink a number until it is small; report on the way."""
    rng = ctx.rng
    n = ctx.arg("I", 0, 200, ["n", "start", "number", "amount"])
    stop = rng.randint(0, 9)
    k1, k2 = ctx.fixed(2, 9), rng.randint(2, 9)
    p = predicates.single(ctx, "L")
    a, b = rng.sample(STEPS, 2)
    what = rng.choice(["steps", "values", "last", "sum"])
    cond = p.test(n)
    move = ["    if %s:" % cond, "        " + a[1].format(v=n, k=k1),
            "    else:", "        " + b[1].format(v=n, k=k2)]
    text = ["While {n} is greater than {s}, repeat: if {n} {p}, {a}, and "
            "otherwise {b}.".format(n=n, s=stop, p=p.verb,
                                    a=a[0].format(k=k1),
                                    b=b[0].format(k=k2))]
    loop = "while %s > %d:" % (n, stop)
    if what == "steps":
        text.append("Return how many steps this takes.")
        body = ["steps = 0", loop] + move + ["    steps += 1", "return steps"]
    elif what == "values":
        text.append("Return the list of the values before each step.")
        body = ["seen = []", loop, "    seen.append(%s)" % n] + move + [
            "return seen"]
    elif what == "sum":
        text.append("Return the sum of the values before each step.")
        body = ["total = 0", loop, "    total += " + n] + move + [
            "return total"]
    else:
        text.append("Return the final value.")
        body = [loop] + move + ["return " + n]
    return Draft(ctx, text, body, "sim:%s:%s:%s:%s" % (
        what, p.key, a[0], b[0]), 4, "List[int]" if what == "values" else
        "int", ("shrink", what))


def cases(ctx):
    """A number handled by the first condition that holds."""
    rng = ctx.rng
    n = ctx.arg("I", rng.choice([0, -20]), rng.choice([40, 150]),
                ["n", "number", "value", "num"])
    count = rng.choice([2, 2, 3])
    tests = [predicates.single(ctx, "L") for _ in range(count)]
    acts = [mappings.draw(ctx, "L") for _ in range(count + 1)]
    if len({t.key for t in tests}) < count:
        return None
    labels = rng.random() < 0.3
    names = rng.sample("red green blue low mid high alpha beta gamma none "
                       "other north south".split(), count + 1)
    sayings, body = [], []
    for i, act in enumerate(acts):
        value = "'%s'" % names[i] if labels else act.call(n)
        said = value if labels else act.noun.replace("#", n, 1).replace(
            "#", "it")
        if i < count:
            body += ["%s %s:" % ("if" if i == 0 or not i % 3 else "elif",
                                 tests[i].test(n)), "    return " + value]
            lead = ["If it ", "otherwise, if it "][i > 0]
            sayings.append("%s%s, return %s" % (lead, tests[i].verb, said))
        else:
            body.append("return " + value)
            sayings.append("otherwise return " + said)
    text = ["Look at the integer %s. %s." % (n, "; ".join(sayings))]
    return Draft(ctx, text, [b.replace("elif", "if") for b in body]
                 if rng.random() < 0.5 else body,
                 "cases:" + ";".join(t.key for t in tests) + ":" + (
                     "label" if labels else ";".join(a.key for a in acts)),
                 count + 1, "str" if labels else "int", ("classify",))


CHANGES = [("add it to the {t}", "{t} += {x}"),
           ("subtract it from the {t}", "{t} -= {x}"),
           ("add {k} to the {t}", "{t} += {k}"),
           ("subtract {k} from the {t}", "{t} -= {k}"),
           ("add twice its value to the {t}", "{t} += 2 * {x}"),
           ("double the {t}", "{t} *= 2"),
           ("reset the {t} to {k}", "{t} = {k}"),
           ("add its absolute value to the {t}", "{t} += abs({x})"),
           ("leave the {t} alone", "continue"),
           ("replace the {t} by the larger of the two",
            "{t} = max({t}, {x})"),
           ("add its last digit to the {t}", "{t} += abs({x}) % 10")]


def scan(ctx):
    """One pass over a list that updates a running value."""
    rng = ctx.rng
    xs = ctx.arg("L")
    k1, k2 = ctx.fixed(1, 9), rng.randint(1, 9)
    start = ctx.number(0, 20, "start initial base")
    t = ctx.name(["balance", "score", "total", "level", "counter"])
    one, two = rng.sample(CHANGES[:-3] + CHANGES[-2:], 2)
    p, q = predicates.single(ctx, "L"), predicates.single(ctx, "L")
    three = rng.random() < 0.4 and q.key != p.key
    last = rng.choice(CHANGES)
    ways = [(p, one, k1), (q, two, k2)] if three else [(p, one, k1)]
    other = last if three else two
    if other[1] == ways[-1][1][1]:
        return None
    report = rng.choice(["end", "end", "trace", "peak", "low"])
    body, said = [], []
    for i, (c, change, k) in enumerate(ways):
        body += ["%s %s:" % ("elif" if i else "if", c.test(ctx.x)),
                 "    " + change[1].format(t=t, x=ctx.x, k=k)]
        said.append("%sif it %s, %s" % ("otherwise, " if i else "", c.verb,
                                        change[0].format(t=t, k=k)))
    if other[1] != "continue":
        body += ["else:", "    " + other[1].format(t=t, x=ctx.x, k=k2 + 1)]
        said.append("otherwise " + other[0].format(t=t, k=k2 + 1))
    head = ["%s = %s" % (t, start)]
    tail, done = ["return " + t], "Return the final %s." % t
    if report == "trace":
        head.append("trace = []")
        body, tail = body + ["trace.append(%s)" % t], ["return trace"]
        done = "Return the list of the values of the %s after each number." % t
    elif report != "end":
        f = {"peak": "max", "low": "min"}[report]
        head.append("best = " + t)
        body = body + ["best = %s(best, %s)" % (f, t)]
        tail = ["return best"]
        done = "Return the %s value that the %s ever has, including the start."\
            % ({"peak": "largest", "low": "smallest"}[report], t)
    text = ["Start with a %s of %s and go through the list %s. For each number:"
            " %s." % (t, start, xs, "; ".join(said)), done]
    lines = head + ["for %s in %s:" % (ctx.x, xs)] + [
        "    " + b for b in body] + tail
    return Draft(ctx, text, lines, "scan:%s:%s:%s" % (
        report, ";".join("%s>%s" % (w[0].key, w[1][1]) for w in ways),
        other[1]), 3 + len(ways), "List[int]" if report == "trace" else "int",
        ("track", t))


def encode(ctx):
    """Rewrite a string character by character by the first rule that fits."""
    rng = ctx.rng
    s = ctx.arg("S")
    count = rng.choice([2, 2, 3])
    tests = [predicates.single(ctx, "S") for _ in range(count)]
    acts = [mappings.draw(ctx, "S") for _ in range(count)]
    if len({t.key for t in tests}) < count or \
            len({a.key for a in acts}) < count:
        return None
    out = ctx.name(["result", "out", "built", "encoded"])
    body, said = ["%s = ''" % out, "for %s in %s:" % (ctx.c, s)], []
    for i, (t, a) in enumerate(zip(tests, acts)):
        value = a.call(ctx.c)
        value = "(%s)" % value if " if " in value else value
        body += ["    %s %s:" % ("elif" if i else "if", t.test(ctx.c)),
                 "        %s += %s" % (out, value)]
        said.append("%sif it %s, %s" % (
            "otherwise, " if i else "", t.verb, a.do.replace("#", "it")))
    drop = rng.random() < 0.4
    if drop:
        said.append("otherwise leave it out")
    else:
        body += ["    else:", "        %s += %s" % (out, ctx.c)]
        said.append("otherwise leave it unchanged")
    text = ["Build a new string from the characters of %s. For each character: "
            "%s." % (s, "; ".join(said)), "Return the new string."]
    return Draft(ctx, text, body + ["return " + out], "encode:%s:%s:%s" % (
        ";".join(t.key for t in tests), ";".join(a.key for a in acts), drop),
        2 * count + 1, "str", ("encode",))


def pairs(ctx):
    """Nested loops over the pairs of a list."""
    rng = ctx.rng
    xs = ctx.arg("L")
    p = predicates.single(ctx, "L")
    key, value, said = rng.choice([
        ("sum", "{x}[i] + {x}[j]", "sum"), ("product", "{x}[i] * {x}[j]",
                                            "product"),
        ("gap", "abs({x}[i] - {x}[j])", "absolute difference"),
        ("larger", "max({x}[i], {x}[j])", "larger element")])
    value = value.format(x=xs)
    cond = p.code.replace("#", "value")
    what = rng.choice(["count", "list", "best", "first"])
    head, hit, tail, ask = {
        "count": (["count = 0"], ["count += 1"], ["return count"],
                  "Return the number of pairs"),
        "list": (["found = []"], ["found.append((%s[i], %s[j]))" % (xs, xs)],
                 ["return found"], "Return the list of pairs, as tuples,"),
        "best": (["best = 0"], ["best = max(best, value)"], ["return best"],
                 "Return the largest such %s (at least 0) over all pairs"
                 % said),
        "first": ([], ["return (%s[i], %s[j])" % (xs, xs)], ["return None"],
                  "Return the first pair as a tuple, or None if there is none,"
                  )}[what]
    text = ["%s of elements of %s at positions i < j whose %s %s." % (
        ask, xs, said, p.verb)]
    body = head + ["for i in range(len(%s)):" % xs,
                   "    for j in range(i + 1, len(%s)):" % xs,
                   "        value = " + value, "        if %s:" % cond] + [
        "            " + h for h in hit] + tail
    if "value" in ctx.taken and any(a.name == "value" for a in ctx.args):
        return None
    return Draft(ctx, text, body, "pairs:%s:%s:%s" % (key, p.key, what), 3,
                 {"count": "int", "best": "int"}.get(what, ""),
                 (said.split()[-1], "pairs", what))
