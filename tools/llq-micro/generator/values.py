# SPDX-License-Identifier: Apache-2.0
"""Steps that start from a dict or an integer."""

from . import mappings, predicates
from .stage import Stage, fixed


def dict_values(ctx, kind):
    p = predicates.draw(ctx, "L")
    noun = "the entries of @ whose value %s" % p.verb
    return Stage("values:" + p.key, "D", "keep the entries whose value "
                 + p.verb, noun, "{key: val for key, val in @.items() if %s}" %
                 p.test("val"), const=p.const)


def dict_keys(ctx, kind):
    p = predicates.draw(ctx, "W")
    return Stage("keys:" + p.key, "D", "keep the entries whose key " + p.verb,
                 "the entries of @ whose key " + p.verb,
                 "{key: val for key, val in @.items() if %s}" % p.test("key"),
                 const=p.const)


def dict_map(ctx, kind):
    m = mappings.draw(ctx, "L")
    return Stage("mapvalues:" + m.key, "D", m.do.replace(
        "#", "each value", 1).replace("#", "it"), "the dictionary from each "
        "key of @ to " + m.noun.replace("#", "its value", 1).replace(
            "#", "it"), "{key: %s for key, val in @.items()}" % m.call("val"),
        const=m.const)


def dict_rename(ctx, kind):
    m = mappings.draw(ctx, "W")
    return Stage("mapkeys:" + m.key, "D", m.do.replace(
        "#", "each key", 1).replace("#", "it") + " (later entries win)",
        "the dictionary @ with each key replaced by " + m.noun.replace(
            "#", "the key", 1).replace("#", "it") + " (later entries win)",
        "{%s: val for key, val in @.items()}" % m.call("key"), const=m.const)


DICT = [
    (6, dict_values), (4, dict_keys), (5, dict_map), (2, dict_rename),
    (2, fixed("keys", "W", "take the keys in alphabetical order",
              "the keys of @ in alphabetical order", "sorted(@)")),
    (2, fixed("byvalue", "W", "list the keys by increasing value",
              "the keys of @ by increasing value",
              "sorted(@, key=lambda key: @[key])")),
    (2, fixed("byvaluedown", "W", "list the keys by decreasing value",
              "the keys of @ by decreasing value",
              "sorted(@, key=lambda key: @[key], reverse=True)")),
    (2, fixed("keylist", "W", "list the keys", "the list of the keys of @",
              "list(@)")),
    (3, fixed("valuelist", "L", "list the values",
              "the list of the values of @", "list(@.values())")),
    (1, fixed("sumvalues", "I", "add up the values",
              "the sum of the values of @", "sum(@.values())", value=True)),
    (1, fixed("size", "I", "count the entries", "the number of entries of @",
              "len(@)", value=True)),
    (2, fixed("best", "S", "find the key with the largest value (an empty "
              "string if there is none)", "the key of @ with the largest value "
              "(an empty string if there is none)",
              "max(@, key=lambda key: @[key], default='')", value=True)),
    (1, fixed("invert", "Z", "swap keys and values (later entries win)",
              "@ with keys and values swapped (later entries win)",
              "{val: key for key, val in @.items()}")),
    (1, fixed("items", "Z", "list the (key, value) pairs sorted by key",
              "the (key, value) pairs of @ sorted by key",
              "sorted(@.items())", value=True)),
    (1, fixed("lengths", "L", "multiply each value by the length of its key and "
              "list the results", "the values of @ multiplied by the lengths "
              "of their keys", "[val * len(key) for key, val in @.items()]")),
]


def scalar(ctx, kind):
    m = mappings.draw(ctx, "L")
    return Stage("then:" + m.key, "I", m.do.replace("#", "the result", 1)
                 .replace("#", "it"), m.noun.replace("#", "@", 1).replace(
                     "#", "it"), m.code.replace("#", "@"), const=m.const)


def tested(ctx, kind):
    p = predicates.draw(ctx, "L")
    return Stage("is:" + p.key, "B", "check whether the result " + p.verb,
                 "whether @ " + p.verb, p.test("@"), const=p.const, value=True)


def labelled(ctx, kind):
    p = predicates.draw(ctx, "L")
    a, b = ctx.rng.choice([("yes", "no"), ("high", "low"), ("hit", "miss"),
                           ("good", "bad"), ("big", "small"), ("in", "out"),
                           ("left", "right"), ("pass", "fail")])
    noun = "'%s' if @ %s and '%s' otherwise" % (a, p.verb, b)
    return Stage("label:" + p.key, "Z", "give '%s' if the result %s and '%s' "
                 "otherwise" % (a, p.verb, b), noun, "'%s' if %s else '%s'" % (
                     a, p.test("@"), b), const=p.const + a, value=True)


INTEGER = [
    (8, scalar), (3, tested), (2, labelled),
    (1, fixed("str", "S", "convert the result to a string", "@ as a string",
              "str(@)")),
    (1, fixed("binary", "S", "write the result in binary (without a prefix)",
              "@ written in binary (without a prefix)", "format(@, 'b')")),
    (1, fixed("hex", "S", "write the result in lowercase hexadecimal (without a "
              "prefix)", "@ written in lowercase hexadecimal (without a "
              "prefix)", "format(@, 'x')")),
    (2, fixed("digits", "L", "list the digits of its absolute value",
              "the list of the digits of the absolute value of @",
              "[int(d) for d in str(abs(@))]")),
    (1, fixed("divisors", "L", "list its positive divisors in ascending order",
              "the list of the positive divisors of @",
              "[d for d in range(1, @ + 1) if @ % d == 0]")),
]
STARTS = [  # from an integer argument
    (3, fixed("range1", "L", "list the integers from 1 to @",
              "the integers from 1 to @", "list(range(1, @ + 1))")),
    (2, fixed("range0", "L", "list the integers from 0 up to but not including "
              "@", "the integers from 0 up to but not including @",
              "list(range(@))")),
    (1, fixed("down", "L", "list the integers from @ down to 1",
              "the integers from @ down to 1", "list(range(@, 0, -1))")),
    (1, fixed("stepped", "L", "list the multiples of K from K up to and "
              "including @", "the multiples of K from K up to and including @",
              "list(range(K, @ + 1, K))", 2, 7)),
    (3, fixed("digits", "L", "list the decimal digits of @",
              "the decimal digits of @", "[int(d) for d in str(@)]")),
    (2, fixed("divisors", "L", "list the positive divisors of @",
              "the positive divisors of @",
              "[d for d in range(1, @ + 1) if @ % d == 0]")),
    (1, fixed("squares", "L", "list the squares of the integers from 1 to @",
              "the squares of the integers from 1 to @",
              "[i * i for i in range(1, @ + 1)]")),
    (1, fixed("base", "L", "list the digits of @ in base K, least significant "
              "first", "the digits of @ in base K, least significant first",
              ("rest = @", "out = []", "while rest > 0:",
               "    out.append(rest % K)", "    rest //= K"), 2, 9)),
    (1, fixed("factors", "L", "list the prime factors of @ in ascending order, "
              "with repeats", "the prime factors of @ in ascending order, with "
              "repeats", ("rest = @", "out = []", "d = 2",
                          "while d * d <= rest:", "    while rest % d == 0:",
                          "        out.append(d)", "        rest //= d",
                          "    d += 1", "if rest > 1:",
                          "    out.append(rest)"))),
]
