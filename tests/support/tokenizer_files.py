# SPDX-License-Identifier: Apache-2.0
"""Llama 3's tokenizer as a tiktoken encoding and as a tokenizer.json."""

import json

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NAMED = (
    "begin_of_text end_of_text reserved_special_token_0 reserved_special_token_1 "
    "finetune_right_pad_id step_id start_header_id end_header_id eom_id eot_id python_tag image"
).split()


def special_tokens():
    names = NAMED + [f"reserved_special_token_{i}" for i in range(2, 2 + 256 - len(NAMED))]
    return [f"<|{name}|>" for name in names]


def tiktoken_encoding(tiktoken, path):
    """The encoding of a file of ranks; its special tokens follow them."""
    from tiktoken.load import load_tiktoken_bpe

    ranks = load_tiktoken_bpe(path)
    special = {name: len(ranks) + i for i, name in enumerate(special_tokens())}
    return tiktoken.Encoding(
        "llama3", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special
    )


def characters():
    """The printable character that stands for each byte."""
    itself = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    other = [b for b in range(256) if b not in itself]
    return {b: chr(b) for b in itself} | {b: chr(256 + i) for i, b in enumerate(other)}


def token_texts(ranks):
    """How a tokenizer.json writes each token."""
    to_text = characters()
    return {token: "".join(to_text[b] for b in token) for token in ranks}


def merges_of(encoding):
    """The merges that transformers makes of ranks: all pairs of tokens that are
    a token, by its rank and then by theirs."""
    ranks = encoding._mergeable_ranks
    text = token_texts(ranks)
    merges = []
    for token in ranks:
        splits = [(token[:i], token[i:]) for i in range(1, len(token))]
        splits = [s for s in splits if s[0] in ranks and s[1] in ranks]
        splits.sort(key=lambda s: (ranks[s[0]], ranks[s[1]]))
        merges += [(text[left], text[right]) for left, right in splits]
    return merges


def write_json(encoding, merges, path, form="pairs", ignore_merges=True):
    """Writes a tokenizer.json like Llama 3's. The forms: merges as "pairs", as
    "strings", or those with every character beyond ASCII "escaped"."""
    ranks = encoding._mergeable_ranks
    text = token_texts(ranks)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    root = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": name} | flags for name, id in encoding._special_tokens.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": ignore_merges,
            "vocab": {text[token]: rank for token, rank in ranks.items()},
            "merges": [list(m) if form == "pairs" else " ".join(m) for m in merges],
        },
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(root, file, ensure_ascii=form == "escaped", indent=2 if form == "pairs" else None)
