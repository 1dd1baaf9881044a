# SPDX-License-Identifier: Apache-2.0
"""Conditions on a number, a character or a word.

In code `#` stands for the element. A condition is worded once in the singular
("is even"); the plural is derived, and an adjective is given where one fits.
"""

from dataclasses import dataclass

PLURAL = {"is": "are", "has": "have", "does": "do", "leaves": "leave",
          "contains": "contain", "ends": "end", "starts": "start",
          "reads": "read", "appears": "appear", "comes": "come"}


@dataclass
class Predicate:
    key: str
    code: str
    verb: str               # "is even"
    adjective: str = ""     # "even"
    const: str = ""
    verbs: str = ""         # "are even"

    def __post_init__(self):
        if not self.verbs:
            head, _, tail = self.verb.partition(" ")
            self.verbs = "%s %s" % (PLURAL[head], tail)

    def test(self, var):
        return self.code.replace("#", var)


def plain(key, code, verb, adjective=""):
    def make(ctx):
        return Predicate(key, code, ctx.pick(verb), adjective)
    return make


def with_number(key, code, verb, low, high, pool="k n m limit"):
    def make(ctx):
        k = ctx.number(low, high, pool)
        return Predicate(key, code.replace("K", k),
                         ctx.pick(verb).replace("K", k), const=k)
    return make


def between(ctx):
    a = ctx.rng.randint(-5, 15)
    b = a + ctx.rng.randint(3, 30)
    verb = ctx.pick("is between {a} and {b} inclusive|is in the range from {a} "
                    "to {b}|is at least {a} and at most {b}")
    return Predicate("between", "%d <= # <= %d" % (a, b),
                     verb.format(a=a, b=b), const="%d,%d" % (a, b))


def outside(ctx):
    a = ctx.rng.randint(-5, 15)
    b = a + ctx.rng.randint(3, 30)
    verb = ctx.pick("is less than {a} or greater than {b}|is outside the range "
                    "from {a} to {b}")
    return Predicate("outside", "(# < %d or # > %d)" % (a, b),
                     verb.format(a=a, b=b), const="%d,%d" % (a, b))


def remainder(ctx):
    k = ctx.rng.randint(3, 9)
    r = ctx.rng.randint(1, k - 1)
    return Predicate("remainder", "# %% %d == %d" % (k, r),
                     "leaves remainder %d when divided by %d" % (r, k),
                     const="%d,%d" % (k, r))


def digit(key, code, verb):
    def make(ctx):
        d = str(ctx.rng.randint(0, 9))
        return Predicate(key, code.replace("K", d),
                         ctx.pick(verb).replace("K", d), const=d)
    return make


NUMBER = [
    (5, plain("even", "# % 2 == 0", "is even", "even")),
    (5, plain("odd", "# % 2 == 1", "is odd", "odd")),
    (4, plain("positive", "# > 0", "is positive|is greater than zero",
              "positive")),
    (3, plain("negative", "# < 0", "is negative|is below zero", "negative")),
    (2, plain("nonnegative", "# >= 0", "is not negative|is zero or more",
              "non-negative")),
    (2, plain("nonzero", "# != 0", "is not zero|is different from zero",
              "nonzero")),
    (5, with_number("multiple", "# % K == 0",
                    "is divisible by K|is a multiple of K", 3, 9)),
    (3, with_number("notmultiple", "# % K != 0",
                    "is not divisible by K|is not a multiple of K", 2, 9)),
    (5, with_number("above", "# > K",
                    "is greater than K|is larger than K|is above K|is more "
                    "than K", 1, 25, "k limit threshold bound")),
    (5, with_number("below", "# < K", "is less than K|is smaller than K|is "
                    "below K", 2, 30, "k limit threshold bound")),
    (3, with_number("atleast", "# >= K",
                    "is at least K|is no less than K|is K or more", 1, 20)),
    (3, with_number("atmost", "# <= K",
                    "is at most K|is no more than K|is K or less", 1, 30)),
    (2, with_number("differs", "# != K",
                    "is not equal to K|is different from K", 0, 9)),
    (3, between), (2, outside), (3, remainder),
    (2, digit("lastdigit", "abs(#) % 10 == K",
              "ends in the digit K|has last digit K|ends with K")),
    (2, digit("hasdigit", "'K' in str(#)",
              "contains the digit K|has the digit K in it")),
    (2, digit("lacksdigit", "'K' not in str(#)",
              "does not contain the digit K")),
    (2, with_number("digits", "len(str(abs(#))) == K",
                    "has exactly K digits|has K digits", 1, 2)),
    (2, plain("digitsumeven", "sum(int(d) for d in str(abs(#))) % 2 == 0",
              "has an even digit sum|has an even sum of digits")),
    (2, plain("digitsumodd", "sum(int(d) for d in str(abs(#))) % 2 == 1",
              "has an odd digit sum|has an odd sum of digits")),
    (2, with_number("digitsumabove", "sum(int(d) for d in str(abs(#))) > K",
                    "has a digit sum greater than K|has a digit sum above K",
                    3, 12)),
    (2, plain("square", "(# >= 0 and round(# ** 0.5) ** 2 == #)",
              "is a perfect square|is a square number")),
    (2, plain("prime", "(# > 1 and all(# % d for d in range(2, #)))",
              "is prime|is a prime number", "prime")),
    (1, plain("composite", "(# > 1 and not all(# % d for d in range(2, #)))",
              "is composite|is a composite number", "composite")),
    (2, plain("palindrome", "str(#) == str(#)[::-1]",
              "is a palindrome|reads the same backwards")),
    (2, plain("poweroftwo", "(# > 0 and # & (# - 1) == 0)",
              "is a power of two|is a power of 2")),
    (1, plain("samedigits", "len(set(str(abs(#)))) == 1",
              "has only one distinct digit|has all digits equal")),
    (1, plain("distinctdigits", "len(set(str(#))) == len(str(#))",
              "has no repeated digit|has all different digits")),
    (1, plain("triangular",
              "# in [t * (t + 1) // 2 for t in range(1, abs(#) + 2)]",
              "is a triangular number", "triangular")),
    (1, plain("perfect", "(# > 1 and sum(d for d in range(1, #) "
              "if # % d == 0) == #)", "is a perfect number|has proper "
              "divisors that add up to itself", "perfect")),
    (1, plain("abundant", "sum(d for d in range(1, #) if # % d == 0) > #",
              "is abundant|has proper divisors with a sum above itself",
              "abundant")),
]

CHARACTER = [
    (5, plain("vowel", "#.lower() in 'aeiou'", "is a vowel")),
    (3, plain("notvowel", "#.lower() not in 'aeiou'", "is not a vowel")),
    (3, plain("consonant", "(#.isalpha() and #.lower() not in 'aeiou')",
              "is a consonant")),
    (4, plain("upper", "#.isupper()", "is an uppercase letter|is in upper "
              "case|is a capital letter")),
    (3, plain("lower", "#.islower()", "is a lowercase letter|is in lower "
              "case")),
    (4, plain("digit", "#.isdigit()", "is a digit")),
    (3, plain("letter", "#.isalpha()", "is a letter|is alphabetic")),
    (2, plain("notletter", "not #.isalpha()", "is not a letter")),
    (2, plain("alnum", "#.isalnum()", "is a letter or a digit|is "
              "alphanumeric")),
    (2, plain("space", "# == ' '", "is a space")),
    (2, plain("notspace", "# != ' '", "is not a space")),
    (2, plain("firsthalf", "'a' <= #.lower() <= 'm'",
              "is in the first half of the alphabet|is a letter from a to m")),
    (2, plain("evencode", "ord(#) % 2 == 0",
              "has an even character code|has an even code point")),
]


def char_after(ctx):
    c = ctx.rng.choice("cdefghijklmnopqrs")
    verb = ctx.pick("comes after '%s' in the alphabet|comes later than '%s' in "
                    "the alphabet" % (c, c))
    return Predicate("after", "(#.isalpha() and #.lower() > '%s')" % c, verb,
                     const=c)


def char_in(ctx):
    letters = "".join(ctx.rng.sample("abcdefghilmnoprstuwy", 3))
    verb = ctx.pick("is one of '%s'|appears in '%s'" % (letters, letters))
    return Predicate("oneof", "# in '%s'" % letters, verb, const=letters)


def char_not(ctx):
    c = ctx.rng.choice("aeiorstln")
    verb = ctx.pick("is not '%s'|is different from '%s'" % (c, c))
    return Predicate("not", "# != '%s'" % c, verb, const=c)


CHARACTER += [(2, char_after), (3, char_in), (2, char_not)]


def word_with(key, code, verb, letters="aeiorstlnpc"):
    def make(ctx):
        c = ctx.rng.choice(letters)
        return Predicate(key, code.replace("K", c),
                         ctx.pick(verb).replace("K", c), const=c)
    return make


WORD = [
    (5, with_number("longer", "len(#) > K", "is longer than K characters|has "
                    "more than K characters", 2, 6)),
    (4, with_number("shorter", "len(#) < K", "is shorter than K characters|has "
                    "fewer than K characters", 3, 7)),
    (3, with_number("length", "len(#) == K", "has exactly K characters|has "
                    "length K", 2, 6)),
    (3, plain("evenlength", "len(#) % 2 == 0", "has an even length|has an even "
              "number of characters")),
    (3, plain("oddlength", "len(#) % 2 == 1", "has an odd length|has an odd "
              "number of characters")),
    (3, word_with("starts", "#.startswith('K')",
                  "starts with 'K'|starts with the letter 'K'")),
    (3, word_with("ends", "#.endswith('K')",
                  "ends with 'K'|ends with the letter 'K'")),
    (3, word_with("contains", "'K' in #",
                  "contains 'K'|contains the letter 'K'")),
    (3, word_with("lacks", "'K' not in #",
                  "does not contain 'K'|does not contain the letter 'K'")),
    (2, plain("wordpalindrome", "# == #[::-1]",
              "is a palindrome|reads the same backwards")),
    (2, plain("title", "#[:1].isupper()", "starts with a capital letter|starts "
              "with an uppercase letter")),
    (2, plain("alpha", "#.isalpha()", "contains only letters|has only "
              "letters")),
    (2, plain("anydigit", "any(d.isdigit() for d in #)",
              "contains a digit|has at least one digit")),
    (2, plain("vowelstart", "#[:1].lower() in tuple('aeiou')",
              "starts with a vowel")),
    (2, plain("sameends", "#[:1] == #[-1:]", "starts and ends with the same "
              "character|has the same first and last character")),
    (2, plain("repeats", "len(set(#)) < len(#)", "has a repeated character|"
              "contains some character more than once")),
    (2, with_number("vowels", "sum(v in 'aeiou' for v in #) >= K",
                    "contains at least K lowercase vowels|has K or more "
                    "lowercase vowels", 1, 3)),
]

POOL = {"L": NUMBER, "S": CHARACTER, "W": WORD}


def weighted(rng, table):
    total = sum(weight for weight, _ in table)
    at = rng.random() * total
    for weight, item in table:
        at -= weight
        if at < 0:
            return item
    return table[-1][1]


def single(ctx, kind):
    return weighted(ctx.rng, POOL[kind])(ctx)


def draw(ctx, kind):
    """A condition; one in eight joins two of them."""
    one = single(ctx, kind)
    if ctx.rng.random() > 0.12:
        return one
    two = single(ctx, kind)
    if two.key == one.key:
        return one
    how = ctx.rng.choice(["and", "or"])
    return Predicate("%s(%s,%s)" % (how, one.key, two.key),
                     "(%s %s %s)" % (one.code, how, two.code),
                     "%s %s %s" % (one.verb, how, two.verb),
                     const="%s;%s" % (one.const, two.const),
                     verbs="%s %s %s" % (one.verbs, how, two.verbs))
