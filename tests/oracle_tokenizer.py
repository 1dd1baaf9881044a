#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Token ids against the packages tokenizers and tiktoken, on Llama 3's own
vocabulary; the chat format against Llama 3.1's template."""

import ctypes
import gzip
import json
import os
import random
import tempfile
import time
import unicodedata

import oracle
import tokenizer_files

tiktoken = oracle.need("tiktoken")
tokenizers = oracle.need("tokenizers")
jinja2 = oracle.need("jinja2")

BOS, SPECIAL = 1, 2
N_RANDOM = 4000

FRAGMENTS = [
    # code
    "def f(x):\n", "    return x\n", "\tif a != b:\r\n", "for(int i=0;i<n;i++)",
    "#include <stdio.h>\n", "lambda *a, **k: None", "a[i][j] += 0x1F;", "'''",
    '"""Docstring."""\n', "// comment", "self.__init__", "camelCaseName",
    "SCREAMING_SNAKE", "=>", "!==", "&&&", "...", "->", "\\n", "#####",
    # contractions, also with a long s and a curly apostrophe
    "don't", "I'LL", "we've", "they'Re", "it'\u017f", "it\u2019s", "'d", "'m'",
    # languages
    "hello world", " the quick brown fox", "Straße", "naïve café", "Ελληνικά",
    "Привет, мир", "שלום", "مرحبا بالعالم", "नमस्ते दुनिया",
    "สวัสดีชาวโลก", "你好，世界", "こんにちは", "안녕하세요", "吾輩は猫である。", "ﷺ", "ǅ", "ﬁ",
    # emoji, combining marks, joiners
    "😀", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301", "a\u0300\u0301\u0302", "\u200d",
    "\ufe0f", "\u0e33\u0e31", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "\u1100\u1161\u11a8",
    # numbers
    "1", "12", "123", "1234", "3.14159", "1e-10", "١٢٣", "Ⅷ", "½", "𝟘𝟙𝟚", "1,000,000",
    # white space
    " ", "  ", "\n", "\n\n", "\r\n", "\t", "\v\f", "\u00a0", "\u3000", "\u2028",
    "\u0085", "\u180e", "\u200b", "\x1c", "\x1f", "\ufeff", " \n", "\n ", " " * 17,
    # special tokens as text, and nearly
    "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>user<|end_header_id|>",
    "<|eot_id", "|>", "<|", "<|reserved_special_token_7|>", "<|<|eot_id|>|>",
    # the rest
    "\x00", "\x7f", "\ufffd", "\U0010ffff", "\ue000", "!", "?!", "--", "\u0378",
]
INVALID = [
    b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80",
    b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xe0\x80\xaf", b"\xf4\x90\x80\x80", b"\xfe\xff",
]


class Tokenizer:
    """libllq's tokenizer."""

    def __init__(self, llq, path):
        self.llq = llq
        self.handle = ctypes.c_void_p()
        oracle.call(llq, "llq_tokenizer_open", ctypes.byref(self.handle), os.fsencode(path))

    def close(self):
        self.llq.llq_tokenizer_close(self.handle)

    def encode(self, text, flags=0):
        ids = (ctypes.c_int32 * (3 * len(text) + 1))()
        n = ctypes.c_size_t()
        oracle.call(
            self.llq, "llq_tokenizer_encode", self.handle, text, ctypes.c_size_t(len(text)),
            flags, ids, ctypes.c_size_t(len(ids)), ctypes.byref(n),
        )
        return ids[: n.value]

    def decode(self, ids, special=1):
        array = (ctypes.c_int32 * len(ids))(*ids)
        text = ctypes.create_string_buffer(128 * len(ids) + 1)
        n = ctypes.c_size_t()
        oracle.call(
            self.llq, "llq_tokenizer_decode", self.handle, array, ctypes.c_size_t(len(ids)),
            special, text, ctypes.c_size_t(len(text)), ctypes.byref(n),
        )
        return text.raw[: n.value]

    def chat(self, messages, date, add_prompt):
        class Message(ctypes.Structure):
            _fields_ = [("role", ctypes.c_char_p), ("content", ctypes.c_char_p)]

        array = (Message * len(messages))(
            *((m["role"].encode(), m["content"].encode()) for m in messages)
        )
        out = ctypes.c_void_p()
        oracle.call(
            self.llq, "llq_tokenizer_chat", self.handle, array, ctypes.c_size_t(len(messages)),
            None if date is None else date.encode(), add_prompt, ctypes.byref(out),
        )
        text = ctypes.string_at(out).decode()
        self.llq.llq_free(out)
        return text


def assigned(text):
    """Whether every Unicode version in use agrees on what text's characters
    are: new letters are letters only to those who know them."""
    return all(unicodedata.category(c) != "Cn" or c in "\u0378\U0010ffff" for c in text)


def random_texts():
    """Varied strings, the same ones every time."""
    random.seed(3)
    for _ in range(N_RANDOM // 2):
        yield "".join(random.choices(FRAGMENTS, k=random.randint(1, 12))).encode()
    for _ in range(N_RANDOM // 8):
        yield "".join(
            chr(random.choice((random.randint(32, 0x2FF), random.randint(0x300, 0xD7FF))))
            for _ in range(random.randint(1, 30))
        ).encode()
    for _ in range(N_RANDOM // 8):
        yield b"".join(
            random.choice((random.choice(FRAGMENTS).encode(), random.choice(INVALID)))
            for _ in range(random.randint(1, 10))
        )
    for _ in range(N_RANDOM // 8):
        yield random.choice((" ", "\n", "\t", " \n", "a", "é", "字", "7", "-", "\r\n")).encode() * (
            random.randint(1, 700)
        ) + random.choice(FRAGMENTS).encode()
    for _ in range(N_RANDOM // 8):
        yield random.randbytes(random.randint(1, 40))


def problem_texts():
    with gzip.open(oracle.data("HumanEval.jsonl.gz")) as lines:
        for line in lines:
            problem = json.loads(line)
            yield problem["prompt"].encode()
            yield (problem["canonical_solution"] + problem["test"]).encode()


def every_character():
    """All characters, in contexts that tell letters, numbers and spaces."""
    for block in range(0, 0x110000, 64):
        characters = [
            chr(c) for c in range(block, block + 64) if not 0xD800 <= c < 0xE000
        ]
        kept = [c for c in characters if assigned(c)]
        if kept:
            yield "".join(f"'{c}x {c} 1{c}2  {c}\n" for c in kept).encode()


def differences(texts, encode, expected):
    n = 0
    first = ""
    for text in texts:
        ours, theirs = encode(text), expected(text.decode("utf-8", "replace"))
        if ours != theirs:
            n += 1
            first = first or f"{text!r}: {ours} expected {theirs}"
    return n, first


def compare(tap, what, ours, expected, sets):
    """Compares ids, without and with special tokens, and what they decode to.
    expected(special) gives a function from text to ids."""
    for name, texts in sets.items():
        for special in (False, True):
            flags = SPECIAL if special else 0
            n, first = differences(texts, lambda t: ours.encode(t, flags), expected(special))
            mode = "with" if special else "without"
            tap.check(
                n == 0,
                f"{what}: {len(texts)} {name}, {mode} special tokens, have the same ids",
                f"{n} differ; {first}",
            )
        lost = sum(
            ours.decode(ours.encode(t)) != t.decode("utf-8", "replace").encode() for t in texts
        )
        tap.check(lost == 0, f"{what}: {len(texts)} {name} decode to their bytes", f"{lost} differ")


def by_tiktoken(encoding):
    return lambda special: lambda text: encoding.encode(
        text, allowed_special="all" if special else set(), disallowed_special=()
    )


def by_tokenizers(path):
    tokenizer = tokenizers.Tokenizer.from_file(path)

    def expected(special):
        tokenizer.encode_special_tokens = not special
        return lambda text: tokenizer.encode(text, add_special_tokens=False).ids

    return expected


# Llama 3.1's template, without the branches for tools.
TEMPLATE = (
    "{{- '<|begin_of_text|>' }}"
    "{%- if messages[0]['role'] == 'system' %}"
    "{%- set system_message = messages[0]['content']|trim %}"
    "{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
    "{{- 'Cutting Knowledge Date: December 2023\\n' }}"
    "{{- 'Today Date: ' + date_string + '\\n\\n' }}"
    "{{- system_message }}{{- '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)


def compare_chat(tap, ours):
    template = jinja2.Environment().from_string(TEMPLATE)
    random.seed(5)
    spaces = [chr(c) for c in range(0x3001) if chr(c).isspace() and c > 0] + ["x", "\u200b", ""]
    bad = ""
    for i in range(500):
        roles = random.choice((["system"], [])) + random.choices(["user", "assistant"], k=1 + i % 4)
        messages = [
            {"role": role, "content": "".join(random.choices(spaces, k=4)) + random.choice(FRAGMENTS[:40])
             + "".join(random.choices(spaces, k=4))}
            for role in roles
        ]
        date, add = random.choice((None, "1 Jan 2025")), i % 2
        expected = template.render(
            messages=messages, date_string=date or "26 Jul 2024", add_generation_prompt=bool(add)
        )
        if ours.chat(messages, date, add) != expected:
            bad = bad or f"{messages}: {ours.chat(messages, date, add)!r}"
    tap.check(not bad, "500 chats are rendered as Llama 3.1's template renders them", bad)


def load_time(llq, path):
    begin = time.process_time()
    Tokenizer(llq, path).close()
    return time.process_time() - begin


def main():
    tap = oracle.Tap()
    llq = oracle.library()
    ranks = oracle.data("llama3-tokenizer.model")
    tik = tokenizer_files.tiktoken_encoding(tiktoken, ranks)
    merges = tokenizer_files.merges_of(tik)
    some = {"random strings": list(random_texts()), "HumanEval texts": list(problem_texts())}
    sets = some | {"blocks of all characters": list(every_character())}
    ours = Tokenizer(llq, ranks)
    compare(tap, "tokenizer.model as tiktoken", ours, by_tiktoken(tik), sets)
    compare_chat(tap, ours)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        tokenizer_files.write_json(tik, merges, path)
        seconds = min(load_time(llq, path) for _ in range(3))
        tap.check(seconds < 0.5, "tokenizer.json of 128,256 tokens loads in half a second of CPU time",
                  f"{seconds:.3f} s")
        compare(tap, "tokenizer.json as tokenizers", Tokenizer(llq, path), by_tokenizers(path), sets)
        tokenizer_files.write_json(tik, merges, path, ignore_merges=False)
        compare(tap, "tokenizer.json without ignore_merges", Tokenizer(llq, path),
                by_tokenizers(path), some)
        for form in ("strings", "escaped"):
            tokenizer_files.write_json(tik, merges, path, form)
            again = Tokenizer(llq, path)
            same = all(again.encode(t) == ours.encode(t) for t in some["HumanEval texts"])
            tap.check(same, f"tokenizer.json with merges as {form} gives the same ids")
    micro = os.path.join(os.environ.get("LLQ_DATA", ""), "llq-micro", "tokenizer.json")
    if os.path.exists(micro):
        compare(tap, "llq-micro as tokenizers", Tokenizer(llq, micro), by_tokenizers(micro), some)
    tap.done()


main()
