# SPDX-License-Identifier: Apache-2.0
"""Training text: a list of (text, is_answer) pieces for each document."""

from . import problem, split

BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
TURN = "<|start_header_id|>%s<|end_header_id|>\n\n"
EOT = "<|eot_id|>"
DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
REQUESTS = [
    ("Please provide a self-contained Python script that solves the following "
     "problem in a markdown code block:\n```\n%s\n```",
     "Below is a Python script with a self-contained function that solves the "
     "problem and passes corresponding tests:\n```python\n"),
    ("Write a solution to the following problem and make sure that it passes "
     "the tests:\n```python\n%s\n```",
     "Here is the completed function:\n```python\n"),
    ("Complete this Python function:\n```python\n%s\n```", "```python\n"),
]


def training_problem(rng):
    """A problem whose shape is not held out."""
    while True:
        p = problem.draw(rng)
        if split.bucket(p.shape, p.steps) == split.TRAIN:
            return p


def chat(rng):
    p = training_problem(rng)
    ask, answer = rng.choice(REQUESTS)
    system = TURN % "system" + DATES + EOT if rng.random() < 0.7 else ""
    code = p.prompt.strip()
    return [(BEGIN + system + TURN % "user" + ask % code + EOT
             + TURN % "assistant" + answer + code + "\n", False),
            (p.solution + "```" + EOT, True)]


def file(rng, count):
    """Functions one after another, as in a module."""
    pieces = []
    for i in range(count):
        p = training_problem(rng)
        lead = (BEGIN if i == 0 else "\n\n")
        prompt = p.prompt if i == 0 else p.prompt.lstrip("\n")
        pieces += [(lead + prompt, False), (p.solution, True)]
    pieces[-1] = (pieces[-1][0] + END, True)
    return pieces


def write(rng):
    r = rng.random()
    if r < 0.09:
        return chat(rng)
    return file(rng, 1 if r < 0.88 else rng.choice([2, 2, 3]))


def plain(pieces):
    return "".join(t for t, _ in pieces)
