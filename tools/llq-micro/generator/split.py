# SPDX-License-Identifier: Apache-2.0
"""Which problems are held out of training.

A problem's shape names its steps and how they are combined, without wording,
names and constants. Shapes are dealt by hash, so that a held-out problem is a
combination that training never shows with any wording or any constant.
"""

import hashlib

TRAIN, TASKS, VALIDATION = "train", "tasks", "validation"


def bucket(shape, steps):
    """Problems of a single step are building blocks: always trained on."""
    if steps < 2:
        return TRAIN
    h = int.from_bytes(hashlib.sha256(shape.encode()).digest()[:4], "big")
    return {0: TASKS, 1: VALIDATION}.get(h % 24, TRAIN)
