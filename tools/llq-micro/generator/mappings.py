# SPDX-License-Identifier: Apache-2.0
"""Functions of a number, a character or a word.

In code and in phrases `#` stands for the element. `do` is an imperative on one
element ("square #"); `noun` names the result ("the square of #").
"""

from dataclasses import dataclass

from .predicates import weighted


@dataclass
class Mapping:
    key: str
    code: str
    do: str
    noun: str
    const: str = ""

    def call(self, var):
        return self.code.replace("#", var)


def mapping(key, code, do, noun, low=None, high=None, pool="k n m step"):
    def make(ctx):
        k = "" if low is None else ctx.number(low, high, pool)
        return Mapping(key, code.replace("K", k),
                       ctx.pick(do).replace("K", k),
                       ctx.pick(noun).replace("K", k), k)
    return make


def affine(ctx):
    a, b = ctx.rng.randint(2, 5), ctx.rng.randint(1, 9)
    do = ctx.pick("multiply # by {a} and add {b}|multiply # by {a}, then add "
                  "{b} to it")
    return Mapping("affine", "# * %d + %d" % (a, b), do.format(a=a, b=b),
                   "{a} times # plus {b}".format(a=a, b=b), "%d,%d" % (a, b))


def clamp(ctx):
    a = ctx.rng.randint(-3, 5)
    b = a + ctx.rng.randint(4, 20)
    return Mapping("clamp", "min(max(#, %d), %d)" % (a, b),
                   ctx.pick("clamp # to the range from {a} to {b}|limit # to "
                            "at least {a} and at most {b}").format(a=a, b=b),
                   "# limited to the range from %d to %d" % (a, b),
                   "%d,%d" % (a, b))


NUMBER = [
    (5, mapping("add", "# + K", "add K to #|increase # by K",
                "# plus K|K more than #", 2, 12)),
    (4, mapping("subtract", "# - K", "subtract K from #|decrease # by K",
                "# minus K|K less than #", 1, 12)),
    (5, mapping("times", "# * K", "multiply # by K", "K times #", 2, 9)),
    (4, mapping("square", "# * #", "square #|multiply # by itself",
                "the square of #")),
    (2, mapping("cube", "# ** 3", "cube #|raise # to the third power",
                "the cube of #")),
    (3, mapping("absolute", "abs(#)", "take the absolute value of #",
                "the absolute value of #")),
    (3, mapping("negate", "-#", "negate #|flip the sign of #",
                "the negation of #|minus #")),
    (3, mapping("remainder", "# % K", "take # modulo K|take the remainder of # "
                "divided by K", "the remainder of # divided by K|# modulo K",
                2, 11)),
    (3, mapping("divide", "# // K", "divide # by K, rounding down|divide # by "
                "K with integer division", "# divided by K, rounded down",
                2, 7)),
    (2, mapping("from", "K - #", "subtract # from K",
                "K minus #|the difference between K and #", 5, 50)),
    (3, mapping("digitsum", "sum(int(d) for d in str(abs(#)))",
                "take the digit sum of #|add up the digits of #",
                "the digit sum of #|the sum of the digits of #")),
    (2, mapping("lastdigit", "abs(#) % 10", "take the last digit of #",
                "the last digit of #")),
    (2, mapping("firstdigit", "int(str(abs(#))[0])",
                "take the first digit of #", "the first digit of #")),
    (2, mapping("reversed", "int(str(abs(#))[::-1])",
                "reverse the digits of the absolute value of #",
                "the absolute value of # with its digits reversed")),
    (2, mapping("digits", "len(str(abs(#)))", "count the digits of #",
                "the number of digits of #")),
    (2, mapping("atleast", "max(#, K)", "raise # to K if it is lower|take the "
                "larger of # and K", "the larger of # and K", 0, 15)),
    (2, mapping("atmost", "min(#, K)", "lower # to K if it is higher|take the "
                "smaller of # and K", "the smaller of # and K", 3, 25)),
    (2, mapping("distance", "abs(# - K)", "take the distance of # from K|take "
                "the absolute difference of # and K",
                "the distance between # and K", 2, 20)),
    (2, mapping("divisors", "sum(1 for d in range(1, abs(#) + 1) "
                "if # % d == 0)", "count the divisors of #",
                "the number of divisors of #")),
    (2, mapping("triangle", "# * (# + 1) // 2",
                "multiply # by one more than # and halve it",
                "half of # times one more than #")),
    (2, mapping("digitproduct", "math.prod(int(d) for d in str(abs(#)))",
                "multiply the digits of # together",
                "the product of the digits of #")),
    (2, mapping("bits", "bin(#).count('1')",
                "count the ones in the binary form of #",
                "the number of ones in the binary form of #")),
    (2, mapping("multipledown", "# - # % K",
                "round # down to a multiple of K",
                "the largest multiple of K not above #", 3, 9)),
    (2, mapping("xor", "# ^ K", "combine # with K by bitwise xor",
                "the bitwise xor of # and K", 1, 15)),
    (3, affine), (2, clamp),
]


def shift(ctx):
    k = str(ctx.rng.randint(1, 12))
    return Mapping("shift", "chr((ord(#) - 97 + %s) %% 26 + 97) if "
                   "'a' <= # <= 'z' else #" % k,
                   "shift # by %s places in the alphabet if it is a lowercase "
                   "letter" % k, "# shifted by %s places if it is a lowercase "
                   "letter" % k, k)


def const_char(ctx):
    c = ctx.rng.choice("*-_.#x")
    return Mapping("const", "'%s'" % c.replace("#", "+"),
                   "replace # by '%s'" % c.replace("#", "+"),
                   "'%s'" % c.replace("#", "+"), c)


CHARACTER = [
    (5, mapping("upper", "#.upper()", "convert # to upper case|make # "
                "uppercase", "# in upper case")),
    (4, mapping("lower", "#.lower()", "convert # to lower case|make # "
                "lowercase", "# in lower case")),
    (4, mapping("swap", "#.swapcase()", "swap the case of #",
                "# with its case swapped")),
    (4, mapping("repeat", "# * K", "repeat # K times|write # K times in a row",
                "# repeated K times", 2, 4)),
    (4, const_char), (3, shift),
    (3, mapping("bracket", "'(' + # + ')'", "put # in parentheses|surround # "
                "with parentheses", "# in parentheses")),
    (2, mapping("dash", "# + '-'", "put a dash after #|add a dash after #",
                "# followed by a dash")),
    (2, mapping("dot", "'.' + #", "put a dot before #|add a dot before #",
                "# with a dot before it")),
    (2, mapping("code", "str(ord(#))", "replace # by its character code",
                "the character code of #")),
]


def affix(ctx):
    piece = ctx.rng.choice(["!", "_x", "-", "s", "er", "ing", "?", "_", "un",
                            "re", "0", "ly"])
    if ctx.rng.random() < 0.5:
        return Mapping("prefix", "'%s' + #" % piece, ctx.pick(
            "put '%s' before #|add the prefix '%s' to #").replace("%s", piece),
            "# with '%s' before it" % piece, piece)
    return Mapping("suffix", "# + '%s'" % piece, ctx.pick(
        "append '%s' to #|add '%s' to the end of #").replace("%s", piece),
        "# followed by '%s'" % piece, piece)


def swap_letter(ctx):
    a, b = ctx.rng.sample("aeiorstln", 2)
    return Mapping("swapletter", "#.replace('%s', '%s')" % (a, b),
                   ctx.pick("replace every '{a}' in # with '{b}'|change each "
                            "'{a}' in # to '{b}'").format(a=a, b=b),
                   "# with every '%s' replaced by '%s'" % (a, b), a + b)


WORD = [
    (5, mapping("upper", "#.upper()", "convert # to upper case|make # "
                "uppercase", "# in upper case")),
    (3, mapping("lower", "#.lower()", "convert # to lower case|make # "
                "lowercase", "# in lower case")),
    (4, mapping("capital", "#.capitalize()", "capitalize #",
                "# capitalized")),
    (5, mapping("reverse", "#[::-1]", "reverse #|write # backwards",
                "# reversed|# written backwards")),
    (2, mapping("swap", "#.swapcase()", "swap the case of every letter in #",
                "# with the case of its letters swapped")),
    (4, mapping("first", "#[:K]", "keep only the first K characters of #|cut # "
                "to its first K characters", "the first K characters of #",
                1, 4)),
    (3, mapping("last", "#[-K:]", "keep only the last K characters of #|cut # "
                "to its last K characters", "the last K characters of #",
                1, 4)),
    (3, mapping("drop", "#[K:]", "drop the first K characters of #|remove the "
                "first K characters of #", "# without its first K characters",
                1, 3)),
    (2, mapping("dropend", "#[:-1]", "drop the last character of #|remove the "
                "last character of #", "# without its last character")),
    (3, mapping("repeat", "# * K", "repeat # K times", "# repeated K times",
                2, 3)),
    (2, mapping("sorted", "''.join(sorted(#))", "sort the characters of #|put "
                "the characters of # in alphabetical order",
                "# with its characters sorted")),
    (2, mapping("mirror", "# + #[::-1]", "append the reverse of # to it",
                "# followed by its reverse")),
    (2, mapping("odd", "#[::2]", "keep every other character of #, starting "
                "with the first", "every other character of #")),
    (2, mapping("novowels", "''.join(v for v in # if v.lower() not in "
                "'aeiou')", "drop the vowels of #|delete all vowels from #",
                "# without its vowels")),
    (2, mapping("withlength", "# + str(len(#))", "append the length of # to "
                "it|add the length of # at its end",
                "# followed by its length")),
    (2, mapping("swapends", "#[-1:] + #[1:-1] + #[:1] if len(#) > 1 else #",
                "swap the first and last characters of #",
                "# with its first and last characters swapped")),
    (2, mapping("rotate", "#[K:] + #[:K]",
                "rotate # to the left by K characters|move the first K "
                "characters of # to its end",
                "# rotated left by K characters", 1, 3)),
    (4, affix), (3, swap_letter),
]

POOL = {"L": NUMBER, "S": CHARACTER, "W": WORD}


def draw(ctx, kind):
    return weighted(ctx.rng, POOL[kind])(ctx)


WORD_NUMBER = [
    (4, mapping("length", "len(#)", "take the length of #",
                "the length of #")),
    (2, mapping("vowels", "sum(v in 'aeiou' for v in #)",
                "count the lowercase vowels in #",
                "the number of lowercase vowels in #")),
    (2, mapping("distinct", "len(set(#))", "count the distinct characters of #",
                "the number of distinct characters of #")),
    (2, mapping("capitals", "sum(v.isupper() for v in #)",
                "count the uppercase letters of #",
                "the number of uppercase letters of #")),
    (2, mapping("digitsin", "sum(v.isdigit() for v in #)",
                "count the digits in #", "the number of digits in #")),
]


def word_number(ctx):
    return weighted(ctx.rng, WORD_NUMBER)(ctx)
