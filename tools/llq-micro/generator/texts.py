# SPDX-License-Identifier: Apache-2.0
"""Steps that start from a string or a list of strings."""

from . import mappings, predicates
from .stage import Stage, element, fixed, plural

CHARS = [
    (2, fixed("upper", "S", "convert the string to upper case|make it upper "
              "case", "@ in upper case", "@.upper()")),
    (2, fixed("lower", "S", "convert the string to lower case|make it lower "
              "case", "@ in lower case", "@.lower()")),
    (1, fixed("swapcase", "S", "swap the case of all letters",
              "@ with the case of all letters swapped", "@.swapcase()")),
    (2, fixed("reverse", "S", "reverse the string|write it backwards",
              "@ reversed|the reverse of @", "@[::-1]")),
    (2, fixed("sortchars", "S", "sort the characters",
              "@ with its characters sorted", "''.join(sorted(@))")),
    (2, fixed("uniquechars", "S", "drop repeated characters, keeping the first "
              "of each", "@ with only the first occurrence of each character",
              "''.join(dict.fromkeys(@))")),
    (2, fixed("firstk", "S", "keep the first K characters",
              "the first K characters of @", "@[:K]", 2, 6)),
    (2, fixed("lastk", "S", "keep the last K characters",
              "the last K characters of @", "@[-K:]", 2, 6)),
    (1, fixed("skipk", "S", "drop the first K characters",
              "@ without its first K characters", "@[K:]", 1, 4)),
    (1, fixed("everyk", "S", "keep every K-th character, starting with the "
              "first", "every K-th character of @, starting with the first",
              "@[::K]", 2, 3)),
    (1, fixed("rotate", "S", "rotate the string to the left by K",
              "@ rotated to the left by K", "@[K:] + @[:K]", 1, 4)),
    (1, fixed("mirror", "S", "append the reversed string to it",
              "@ followed by its reverse", "@ + @[::-1]")),
    (1, fixed("collapse", "S", "collapse runs of the same character into one",
              "@ with runs of the same character collapsed into one",
              "''.join(~ for i, ~ in enumerate(@) if i == 0 or ~ != @[i - 1])")),
    (1, fixed("alternate", "S", "write the characters at even indices in upper "
              "case and the others in lower case", "@ with upper case at even "
              "indices and lower case elsewhere",
              "''.join(~.lower() if i % 2 else ~.upper() "
              "for i, ~ in enumerate(@))")),
    (1, fixed("spaced", "S", "put a single space between the characters",
              "the characters of @ separated by spaces", "' '.join(@)")),
    (1, fixed("dashes", "S", "replace the spaces with dashes",
              "@ with dashes for spaces", "@.replace(' ', '-')")),
    (1, fixed("nospaces", "S", "remove the spaces|delete all spaces",
              "@ without spaces", "@.replace(' ', '')")),
    (1, fixed("title", "S", "capitalize every word",
              "@ with every word capitalized",
              "' '.join(~.capitalize() for ~ in @.split())")),
    (1, fixed("wordorder", "S", "reverse the order of the words",
              "@ with its words in reverse order",
              "' '.join(reversed(@.split()))")),
    (1, fixed("eachword", "S", "reverse each word in place",
              "@ with each word reversed",
              "' '.join(~[::-1] for ~ in @.split())")),
    (1, fixed("runs", "S", "encode it as runs: each character followed by the "
              "length of its run", "the run-length encoding of @ (each "
              "character followed by the length of its run)",
              ("out = ''", "i = 0", "while i < len(@):", "    j = i",
               "    while j < len(@) and @[j] == @[i]:", "        j += 1",
               "    out += @[i] + str(j - i)", "    i = j"))),
    (4, fixed("words", "W", "split it into words|split the string at white "
              "space", "the words of @", "@.split()")),
    (1, fixed("pieces", "W", "cut the string into pieces of K characters",
              "the pieces of K characters of @",
              "[@[i:i + K] for i in range(0, len(@), K)]", 2, 4)),
    (1, fixed("substrings", "W", "list all substrings of length K",
              "all substrings of length K of @",
              "[@[i:i + K] for i in range(len(@) - K + 1)]", 2, 4)),
    (1, fixed("prefixes", "W", "list all non-empty prefixes, the shortest first",
              "the non-empty prefixes of @, the shortest first",
              "[@[:i + 1] for i in range(len(@))]")),
    (2, fixed("digitlist", "L", "list its digits as integers",
              "the list of the digits in @ as integers",
              "[int(~) for ~ in @ if ~.isdigit()]")),
    (2, fixed("codes", "L", "list the character codes",
              "the character codes of @", "[ord(~) for ~ in @]")),
    (1, fixed("places", "L", "list the positions of its letters in the alphabet "
              "(a is 1), ignoring case and other characters", "the positions "
              "in the alphabet (a is 1) of the letters of @, ignoring case",
              "[ord(~) - 96 for ~ in @.lower() if 'a' <= ~ <= 'z']")),
    (1, fixed("wordlengths", "L", "list the lengths of its words",
              "the lengths of the words of @", "[len(~) for ~ in @.split()]")),
    (2, fixed("len", "I", "take its length", "the length of @", "len(@)",
              value=True)),
    (2, fixed("distinct", "I", "count its distinct characters",
              "the number of distinct characters in @", "len(set(@))",
              value=True)),
    (1, fixed("distinctcase", "I", "count its distinct characters, ignoring "
              "case", "the number of distinct characters in @, ignoring case",
              "len(set(@.lower()))", value=True)),
    (1, fixed("wordcount", "I", "count its words", "the number of words in @",
              "len(@.split())", value=True)),
    (1, fixed("doubles", "I", "count how often a character equals the one "
              "before it", "how often a character of @ equals the one before "
              "it", "sum(1 for a, b in zip(@, @[1:]) if a == b)",
              value=True)),
    (1, fixed("casegap", "I", "subtract the number of its lowercase letters "
              "from the number of its uppercase letters",
              "the number of uppercase letters of @ minus the number of its "
              "lowercase letters", "sum(~.isupper() for ~ in @) - "
              "sum(~.islower() for ~ in @)", value=True)),
    (1, fixed("palindrome", "B", "check whether it is a palindrome",
              "whether @ is a palindrome", "@ == @[::-1]", value=True)),
    (1, fixed("palindromecase", "B", "check whether it is a palindrome, "
              "ignoring case", "whether @ is a palindrome, ignoring case",
              "@.lower() == @.lower()[::-1]", value=True)),
    (1, fixed("isogram", "B", "check whether no character is repeated",
              "whether no character of @ is repeated",
              "len(set(@)) == len(@)", value=True)),
    (1, fixed("sortedchars", "B", "check whether its characters are in sorted "
              "order", "whether the characters of @ are in sorted order",
              "list(@) == sorted(@)", value=True)),
    (2, fixed("counts", "D", "count how often each character occurs, as a "
              "dictionary", "a dictionary from each character of @ to how "
              "often it occurs", "{~: @.count(~) for ~ in @}", value=True)),
    (1, fixed("firstindex", "D", "map each character to the index of its first "
              "occurrence", "a dictionary from each character of @ to the "
              "index of its first occurrence", "{~: @.index(~) for ~ in @}",
              value=True)),
    (1, fixed("mostcommon", "Z", "find the most common character, the earliest "
              "on a tie (an empty string if there is none)", "the most common "
              "character of @, the earliest on a tie (an empty string for an "
              "empty string)", "max(@, key=@.count, default='')",
              value=True)),
]


def by_measure(ctx, kind):
    m = mappings.word_number(ctx)
    el = plural(element(ctx, "W"))
    what = m.noun.replace("the ", "", 1).replace("of #", "of each").replace(
        "in #", "in each")
    down = ctx.rng.random() < 0.4
    order = "from largest to smallest" if down else "from smallest to largest"
    code = "sorted(@, key=lambda {w}: {m}{d})".format(
        w=ctx.w, m=m.call(ctx.w), d=", reverse=True" if down else "")
    return Stage("sortby%s:%s" % ("down" if down else "", m.key), "W",
                 "sort the %s by the %s, %s" % (el, what, order),
                 "@ sorted by the %s, %s" % (what, order), code)


def measured(ctx, kind):
    m = mappings.word_number(ctx)
    el = element(ctx, "W")
    do = m.do.replace("#", "each " + el)
    return Stage("measure:" + m.key, "L", "for each %s, %s" % (
        el, m.do.replace("#", "it")) if ctx.rng.random() < 0.5 else do,
        "the list made of " + m.noun.replace("#", "each %s of @" % el),
        "[%s for %s in @]" % (m.call(ctx.w), ctx.w), loop=("map", m.call(ctx.w)))


def measure_dict(ctx, kind):
    m = mappings.word_number(ctx)
    el = element(ctx, "W")
    noun = "a dictionary from each %s of @ to %s" % (
        el, m.noun.replace("#", "it"))
    return Stage("dict:" + m.key, "D", "build " + noun.replace(" of @", ""),
                 noun, "{%s: %s for %s in @}" % (ctx.w, m.call(ctx.w), ctx.w),
                 value=True)


def extreme(ctx, kind):
    m = mappings.word_number(ctx)
    el = element(ctx, "W")
    how, f = ctx.rng.choice([("largest", "max"), ("smallest", "min")])
    noun = "the %s of @ with the %s value of %s, the earliest on a tie (an " \
        "empty string if there is none)" % (el, how, m.noun.replace(
            "the ", "", 1).replace(" of #", "").replace(" in #", ""))
    return Stage("%sby:%s" % (f, m.key), "S", "find " + noun.replace(
        " of @", "", 1), noun, "%s(@, key=lambda %s: %s, default='')" % (
            f, ctx.w, m.call(ctx.w)), value=True)


def grouped(ctx, kind):
    """A dict of lists."""
    if kind == "W":
        key, say, var = ctx.rng.choice([
            ("len(#)", "length", ctx.w), ("#[:1]", "first character", ctx.w),
            ("#[-1:]", "last character", ctx.w)])
    else:
        k = str(ctx.rng.randint(2, 5))
        key, say, var = ctx.rng.choice([
            ("# % " + k, "remainder when divided by " + k, ctx.x),
            ("abs(#) % 10", "last digit", ctx.x),
            ("len(str(abs(#)))", "number of digits", ctx.x),
            ("# // 10", "value divided by 10, rounded down", ctx.x)])
    el = plural(element(ctx, kind))
    noun = "a dictionary that groups the %s of @ by their %s" % (el, say)
    lines = ("out = {}", "for %s in @:" % var,
             "    out.setdefault(%s, []).append(%s)" % (
                 key.replace("#", var), var))
    return Stage("group:" + say.rstrip("2345"), "Z", "group the %s by their %s "
                 "in a dictionary" % (el, say), noun, lines=lines, const=key,
                 value=True)


def parted(ctx, kind):
    p = predicates.draw(ctx, kind)
    var = {"L": ctx.x, "W": ctx.w}[kind]
    el = plural(element(ctx, kind))
    noun = "a tuple of two lists: the %s of @ that %s, and the rest" % (
        el, p.verbs)
    code = "([{v} for {v} in @ if {t}], [{v} for {v} in @ if not ({t})])"
    return Stage("split:" + p.key, "Z", "split the %s into a tuple of two "
                 "lists, those that %s and the rest" % (el, p.verbs), noun,
                 code.format(v=var, t=p.test(var)), const=p.const, value=True)


def joined(ctx, kind):
    sep, said = ctx.rng.choice([
        ("' '", "separated by spaces"), ("'-'", "separated by dashes"),
        ("', '", "separated by a comma and a space"),
        ("''", "without a separator"), ("'_'", "separated by underscores")])
    return Stage("join", "S", "join them into one string " + said,
                 "the elements of @ joined into one string " + said,
                 "%s.join(@)" % sep, const=sep)


STRINGS = [
    (2, fixed("sort", "W", "sort them alphabetically", "@ in alphabetical "
              "order", "sorted(@)")),
    (1, fixed("sortdown", "W", "sort them in reverse alphabetical order",
              "@ in reverse alphabetical order",
              "sorted(@, reverse=True)")),
    (1, fixed("sortlast", "W", "sort them by their last character",
              "@ sorted by last character",
              "sorted(@, key=lambda ~: ~[-1:])")),
    (1, fixed("sortlength", "W", "sort them by length and then alphabetically",
              "@ sorted by length and then alphabetically",
              "sorted(@, key=lambda ~: (len(~), ~))")),
    (2, by_measure),
    (2, fixed("reverse", "W", "reverse the list", "@ in reverse order",
              "@[::-1]")),
    (2, fixed("unique", "W", "remove duplicates, keeping the first of each",
              "the distinct elements of @ in order of first appearance",
              "list(dict.fromkeys(@))")),
    (2, fixed("firstk", "W", "keep the first K of them",
              "the first K elements of @", "@[:K]", 2, 4)),
    (1, fixed("lastk", "W", "keep the last K of them",
              "the last K elements of @", "@[-K:]", 2, 4)),
    (1, fixed("every", "W", "keep every other one, starting with the first",
              "every other element of @, starting with the first", "@[::2]")),
    (1, fixed("numbered", "W", "put its position (counting from 1) and a colon "
              "in front of each", "the elements of @ with their position "
              "(counting from 1) and a colon in front",
              "[f'{i}:{~}' for i, ~ in enumerate(@, 1)]")),
    (1, fixed("neighbours", "W", "glue each one to the next one",
              "each element of @ glued to the next one",
              "[a + b for a, b in zip(@, @[1:])]")),
    (3, joined),
    (2, fixed("initials", "S", "join their first characters into a string",
              "the string of the first characters of @",
              "''.join(~[:1] for ~ in @)")),
    (1, fixed("finals", "S", "join their last characters into a string",
              "the string of the last characters of @",
              "''.join(~[-1:] for ~ in @)")),
    (2, extreme),
    (1, fixed("smallest", "S", "take the alphabetically first one (an empty "
              "string if there is none)", "the alphabetically first element of "
              "@ (an empty string if there is none)", "min(@, default='')",
              value=True)),
    (3, measured), (2, measure_dict), (1, grouped), (1, parted),
    (1, fixed("len", "I", "count them", "the number of elements of @",
              "len(@)", value=True)),
    (1, fixed("distinct", "I", "count the distinct ones",
              "the number of distinct elements of @", "len(set(@))",
              value=True)),
    (2, fixed("total", "I", "add up their lengths",
              "the total length of the elements of @",
              "sum(len(~) for ~ in @)", value=True)),
    (1, fixed("maxlen", "I", "take the length of the longest one (0 if there is "
              "none)", "the length of the longest element of @ (0 if there is "
              "none)", "max((len(~) for ~ in @), default=0)", value=True)),
    (1, fixed("ascending", "B", "check whether they are in alphabetical order",
              "whether @ is in alphabetical order", "@ == sorted(@)",
              value=True)),
    (1, fixed("alldistinct", "B", "check whether all of them are different",
              "whether all elements of @ are different",
              "len(set(@)) == len(@)", value=True)),
    (1, fixed("counts", "D", "count how often each of them occurs, as a "
              "dictionary", "a dictionary from each element of @ to how often "
              "it occurs", "{~: @.count(~) for ~ in @}", value=True)),
    (1, fixed("withlength", "Z", "pair each one with its length as (element, "
              "length) tuples", "a list of (element, length) tuples for @",
              "[(~, len(~)) for ~ in @]", value=True)),
]
