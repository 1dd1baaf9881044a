#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write training shards: rows of 1,024 token ids as uint16.

Each row starts with a document and is filled with whole documents, the last
one cut. Bit 15 marks the tokens of answers, which the loss weighs more.
"""

import argparse
import multiprocessing
import os
import random

import numpy as np
from tokenizers import Tokenizer

from generator import document

ROW, ANSWER = 1024, 0x8000


def encode(tokenizer, pieces):
    ids = []
    for text, answer in pieces:
        found = tokenizer.encode(text, add_special_tokens=False).ids
        ids += [i | ANSWER for i in found] if answer else found
    return ids


def shard(job):
    index, options = job
    path = os.path.join(options.out, "shard-%05d.npy" % index)
    if os.path.exists(path):
        return
    tokenizer = Tokenizer.from_file(
        os.path.join(options.model, "tokenizer.json"))
    rng = random.Random("train-%d-%d" % (options.seed, index))
    rows = np.zeros((options.rows, ROW), np.uint16)
    for row in rows:
        used = 0
        while used < ROW:
            ids = encode(tokenizer, document.write(rng))[:ROW - used]
            row[used:used + len(ids)] = ids
            used += len(ids)
    with open(path + ".part", "wb") as f:
        np.save(f, rows)
    os.rename(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="directory with tokenizer.json")
    parser.add_argument("out", help="directory for the shards")
    parser.add_argument("--shards", type=int, default=1200)
    parser.add_argument("--rows", type=int, default=1024, help="in a shard")
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with multiprocessing.Pool(options.jobs) as pool:
        jobs = [(i, options) for i in range(options.shards)]
        for _ in pool.imap(shard, jobs, chunksize=1):
            pass


if __name__ == "__main__":
    main()
