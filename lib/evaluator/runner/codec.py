# SPDX-License-Identifier: Apache-2.0
# Plain data as bytes, and frames of bytes on file descriptor 3. Both sides of
# a check begin with this file. What is decoded is never trusted: a tag can
# make nothing but plain data.
from posix import _exit, closerange, read, write
from struct import pack, unpack

SIZE_MAX = 30 << 20  # of one value
DEPTH_MAX = 100


class NotPlain(Exception):
    pass


class TooLarge(Exception):
    pass


def put(out, tag, data):
    out += tag + len(data).to_bytes(4, "big")
    out += data


def put_items(out, tag, n, items, depth):
    out += tag + n.to_bytes(4, "big")
    for item in items:
        encode(item, out, depth + 1)


# Subclasses are sent as the plain data that they hold: methods they override
# stay behind.
def encode(value, out, depth=0):
    if len(out) > SIZE_MAX:
        raise TooLarge
    if depth > DEPTH_MAX:
        raise NotPlain("nested too deeply")
    kind = type(value)
    if value is None:
        out += b"N"
    elif kind is bool:
        out += b"T" if value else b"F"
    elif issubclass(kind, int):
        size = int.bit_length(value) // 8 + 1
        put(out, b"i", int.to_bytes(value, size, "big", signed=True))
    elif issubclass(kind, float):
        out += pack(">cd", b"f", value)
    elif issubclass(kind, str):
        put(out, b"s", str.encode(value, "utf-8", "surrogatepass"))
    elif issubclass(kind, list):
        put_items(out, b"l", list.__len__(value), list.__iter__(value), depth)
    elif issubclass(kind, tuple):
        put_items(out, b"t", tuple.__len__(value), tuple.__iter__(value), depth)
    elif issubclass(kind, dict):
        put_items(out, b"m", dict.__len__(value), dict.items(value), depth)
    else:
        encode_rare(value, kind, out, depth)


def encode_rare(value, kind, out, depth):
    if issubclass(kind, (set, frozenset)):
        base = set if issubclass(kind, set) else frozenset
        tag = b"e" if base is set else b"z"
        put_items(out, tag, base.__len__(value), base.__iter__(value), depth)
    elif issubclass(kind, (bytes, bytearray)):
        put(out, b"b", bytes(memoryview(value)))
    elif issubclass(kind, complex):
        parts = complex.__getnewargs__(value)
        put_items(out, b"c", 2, parts, depth)
    elif kind is range:
        put_items(out, b"r", 3, (value.start, value.stop, value.step), depth)
    else:
        raise NotPlain(kind.__name__)


class Decoder:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, n):
        data = self.data[self.at:self.at + n]
        if len(data) != n:
            raise ValueError("truncated")
        self.at += n
        return data

    def value(self, depth=0):
        if depth > DEPTH_MAX + 1:
            raise ValueError("nested too deeply")
        tag = self.take(1)
        if tag in b"NTF":
            return {b"N": None, b"T": True, b"F": False}[tag]
        if tag == b"f":
            return unpack(">d", self.take(8))[0]
        n = int.from_bytes(self.take(4), "big")
        if tag in b"isb":
            return self.scalar(tag, self.take(n))
        if n > len(self.data) - self.at:
            raise ValueError("truncated")
        return self.collection(tag, [self.value(depth + 1) for _ in range(n)])

    def scalar(self, tag, data):
        if tag == b"i":
            return int.from_bytes(data, "big", signed=True)
        return data.decode("utf-8", "surrogatepass") if tag == b"s" else data

    def collection(self, tag, items):
        make = {b"l": list, b"t": tuple, b"e": set, b"z": frozenset, b"m": dict}
        if tag in make:
            return make[tag](items)
        if tag == b"c" and [type(item) for item in items] == [float] * 2:
            return complex(*items)
        if tag == b"r" and [type(item) for item in items] == [int] * 3:
            return range(*items)
        raise ValueError("unknown tag")


# Raises ValueError, or TypeError (an unhashable key), for what no encoder wrote.
def decode(data):
    decoder = Decoder(data)
    value = decoder.value()
    if decoder.at != len(data):
        raise ValueError("data after the value")
    return value


def receive_bytes(n):
    data = bytearray()
    while len(data) < n:
        piece = read(3, min(n - len(data), 1 << 20))
        if not piece:
            _exit(0)
        data += piece
    return bytes(data)


# A frame: payload size (4 bytes), kind (1 byte), payload.
def receive():
    n = int.from_bytes(receive_bytes(4), "big")
    return receive_bytes(1), receive_bytes(n)


def send(kind, payload):
    data = memoryview(len(payload).to_bytes(4, "big") + kind + payload)
    while data:
        data = data[write(3, data):]


# "<type>\n<message>", as both are shown.
def describe(error):
    try:
        message = str(error)[:200]
    except BaseException:
        message = ""
    text = type(error).__name__[:80] + "\n" + message
    return text.encode("utf-8", "replace")
