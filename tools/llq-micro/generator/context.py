# SPDX-License-Identifier: Apache-2.0
"""What one problem has collected while it is drawn: arguments and names."""

import random
from dataclasses import dataclass, field

WORDS = """apple river stone cloud table garden window paper candle forest
bridge market silver yellow purple orange winter summer spring autumn level
radar noon civic kayak rotor eve dad pop wow abba otto lamp chair plate glass
spoon fork knife bread butter cheese honey lemon melon grape peach berry olive
tiger zebra horse mouse eagle robin shark whale otter koala panda lion wolf
bear fox owl cat dog bee ant egg ice oak elm ash sea sun moon star sky rain
snow wind fire earth metal brick roof door floor wall room house street city
town road path hill lake pond ocean beach island desert valley canyon music
drum piano violin guitar flute dance song story poem novel letter pencil
marker ruler eraser button ribbon cotton velvet leather rubber plastic copper
iron gold tin zinc a an up ok go hi no it me at""".split()

HOLE = "HOLE"

NAMES = {
    "L": "xs nums numbers values data items arr lst seq integers".split(),
    "S": "text s word phrase sentence line message string st".split(),
    "W": "words strings tokens labels entries lst items parts".split(),
    "I": "n num number value limit size count".split(),
    "D": "scores prices ages stock table points totals".split(),
    "M": "matrix grid rows table board".split(),
}
HINTS = {"L": "List[int]", "S": "str", "W": "List[str]", "I": "int",
         "D": "Dict[str, int]", "M": "List[List[int]]"}


def ints(rng):
    lo, hi = rng.choice([(-10, 30), (0, 100), (1, 9), (-20, 20), (0, 30)])
    values = [rng.randint(lo, hi) for _ in range(rng.randint(3, 8))]
    if rng.random() < 0.3:
        values += rng.sample(values, 2)
    return values


def word(rng):
    w = rng.choice(WORDS)
    r = rng.random()
    if r < 0.15:
        return w.capitalize()
    if r < 0.22:
        return w.upper()
    if r < 0.30:
        return w + str(rng.randint(0, 99))
    return w


def text(rng):
    r = rng.random()
    if r < 0.35:
        return word(rng)
    parts = [word(rng) for _ in range(rng.randint(2, 4))]
    if rng.random() < 0.15:
        parts[-1] += rng.choice("!?.")
    return " ".join(parts)


def mapping(rng):
    keys = rng.sample(WORDS, rng.randint(2, 5))
    return {k: rng.randint(-5, 40) for k in keys}


def matrix(rng):
    width = rng.randint(2, 4)
    lo, hi = rng.choice([(-9, 20), (0, 9), (1, 50)])
    return [[rng.randint(lo, hi) for _ in range(width)]
            for _ in range(rng.randint(2, 4))]


def words(rng):
    found = [word(rng) for _ in range(rng.randint(2, 6))]
    if rng.random() < 0.2:
        found.append(rng.choice(found))
    return found


DRAW = {"L": ints, "S": text, "W": words, "D": mapping, "M": matrix}
EDGES = {"L": [[], [0], [7], [-3, -3], [5, 4, 3, 2, 1], [2, 2, 2]],
         "S": ["", "a", "Hello World", "AbcABC 123", "zzz"],
         "W": [[], ["level"], ["b", "a", "b"], ["Kayak", "oak", "Ice"]],
         "D": [{}, {"oak": 7}, {"ash": -2, "elm": 12}],
         "M": [[[4]], [[1, 2], [3, 4]], [[-1, 0, 5]]]}


@dataclass
class Argument:
    name: str
    kind: str
    low: int = 0
    high: int = 60

    def draw(self, rng, edge=None):
        if self.kind == "I":
            if edge is not None:
                return (self.low, self.low + 1)[edge % 2]
            return rng.randint(self.low, self.high)
        if edge is not None and edge < len(EDGES[self.kind]):
            return EDGES[self.kind][edge]
        return DRAW[self.kind](rng)


@dataclass
class Context:
    rng: random.Random
    args: list = field(default_factory=list)
    taken: set = field(default_factory=set)
    spare: int = 1          # how many parameters may become arguments
    mode: str = ""          # what the examples settle: "number", "step"
    open: bool = False      # whether the next number is left to them
    hole: tuple = ()        # that number's range and value
    settled: object = None  # whether calls settle a hidden step

    def __post_init__(self):
        self.open = self.mode == "number"
        self.spare = int(self.mode != "step")
        self.x = self.rng.choice(["x", "x", "n", "v", "num", "value", "item"])
        self.c = self.rng.choice(["c", "c", "ch", "char", "letter"])
        self.w = self.rng.choice(["w", "w", "word", "s", "t", "part"])
        self.taken |= {self.x, self.c, self.w, "i", "j", "a", "b", "d", "t"}

    def pick(self, text):
        """One of the alternatives of `a|b|c`."""
        return self.rng.choice(text.split("|"))

    def name(self, pool):
        free = [n for n in pool if n not in self.taken]
        chosen = self.rng.choice(free or ["arg%d" % len(self.taken)])
        self.taken.add(chosen)
        return chosen

    def arg(self, kind, low=0, high=60, pool=None):
        argument = Argument(self.name(pool or NAMES[kind]), kind, low, high)
        self.args.append(argument)
        return argument.name

    def number(self, low, high, pool="k n m limit", spare=0.15):
        """A whole-number parameter: a literal or, now and then, an argument.

        One of them may be left open: it stands as HOLE in text and code.
        """
        if self.open:
            return self.fixed(low, high)
        if self.spare > 0 and self.rng.random() < spare:
            self.spare -= 1
            return self.arg("I", low, high, pool.split())
        return str(self.rng.randint(low, high))

    def fixed(self, low, high):
        """A literal number, or the hole."""
        value = self.rng.randint(low, high)
        if self.open:
            self.open, self.hole = False, (low, high, value)
            return HOLE
        return str(value)
